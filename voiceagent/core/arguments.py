"""Arguments: the JSON text a model writes for a tool, read without trust."""

from __future__ import annotations

import json
from typing import cast

from pydantic import JsonValue

__all__ = ["parsed_arguments"]

_SHOWN = 120


def parsed_arguments(text: str) -> tuple[dict[str, JsonValue], str | None]:
    """Return the arguments, or none and what is wrong with the text; an empty text means no arguments."""
    if not text.strip():
        return {}, None
    try:
        value: object = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return {}, f"not JSON: {text[:_SHOWN]}"
    if not isinstance(value, dict):
        return {}, f"not a JSON object: {text[:_SHOWN]}"
    return cast("dict[str, JsonValue]", value), None


def _no_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
