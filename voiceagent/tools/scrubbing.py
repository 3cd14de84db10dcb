"""Scrubbing: what let a tool into its service does not come back in what the tool says, even if repeated to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

__all__ = ["without_credential"]

_INSTEAD = "⟨credential⟩"
_SHORTEST = 8
"""Shorter ones are words of any text, and no secrets."""


def without_credential(value: JsonValue, headers: Mapping[str, str]) -> JsonValue:
    """Return a JSON value in which none of the credentials in these headers stands."""
    # The last word of each: `Bearer` before it is no secret.
    secrets = [header.split(" ")[-1] for header in headers.values()]
    text = scrubbed = json.dumps(value, ensure_ascii=False)
    for secret in secrets:
        if len(secret) >= _SHORTEST:
            scrubbed = scrubbed.replace(json.dumps(secret, ensure_ascii=False)[1:-1], _INSTEAD)
    return value if scrubbed == text else cast("JsonValue", json.loads(scrubbed))
