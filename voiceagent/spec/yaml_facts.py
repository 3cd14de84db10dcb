"""Facts declared in YAML: their names, types and what is known of them when a call begins."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal, cast

from pydantic import TypeAdapter, ValidationError, create_model

from voiceagent.errors import nearest
from voiceagent.spec.facts import Facts
from voiceagent.spec.yaml_files import Written

__all__ = ["FACT_NAME", "FACT_TYPES", "facts_from"]

FACT_TYPES: Mapping[str, type] = {
    "text": str,
    "integer": int,
    "decimal": Decimal,
    "boolean": bool,
    "date": date,
    "datetime": datetime,
}
FACT_NAME = r"^[a-z][a-z0-9_]{0,63}$"
_KEYS = ("type", "one_of", "default")


def facts_from(written: Written) -> type[Facts]:
    """Return the facts of a flow, written as `name: type` or `name: {type: …, default: …}`.

    `one_of: [a, b]` instead of a type lists the values that a fact may have. Without a default a fact is not known
    when a call begins. Raises PhaseError for what is none of that.
    """
    if not isinstance(written.value, dict):
        raise written.refused("facts are written as `name: type` lines, or as the `module:name` of a class of Facts")
    fields: dict[str, Any] = {name: _field(name, fact) for name, fact in written.value.items()}
    return create_model("FlowFacts", __base__=Facts, **fields)


def _field(name: str, fact: Written) -> tuple[object, object]:
    if not re.fullmatch(FACT_NAME, name):
        raise fact.refused(f"the fact {name!r}: a name is lower case letters, digits and underscores, at most 64")
    if hasattr(Facts, name):
        raise fact.refused(f"a fact cannot be called {name!r}: facts have a method of that name")
    parts = fact.value if isinstance(fact.value, dict) else {"type": fact}
    for key, part in parts.items():
        if key not in _KEYS:
            raise part.refused(f"the fact {name!r}: unknown key {key!r}{nearest(key, _KEYS)}")
    kind = _kind(name, fact, parts)
    if "default" not in parts or parts["default"].value is None:
        return kind | None, None
    default = parts["default"]
    try:
        return kind, TypeAdapter[object](kind).validate_json(json.dumps(default.plain()), strict=True)
    except ValidationError as exc:
        raise default.refused(f"the fact {name!r}: default: {exc.errors()[0]['msg']}") from exc


def _kind(name: str, fact: Written, parts: Mapping[str, Written]) -> Any:
    if ("type" in parts) == ("one_of" in parts):
        raise fact.refused(f"the fact {name!r} needs either `type` or `one_of`")
    if "one_of" in parts:
        choices = parts["one_of"].plain()
        if not isinstance(choices, list) or not choices or not all(isinstance(choice, str) for choice in choices):
            raise parts["one_of"].refused(f"the fact {name!r}: `one_of` is a list of texts")
        return Literal[tuple(cast("list[str]", choices))]
    kind = parts["type"].plain()
    if not isinstance(kind, str) or kind not in FACT_TYPES:
        hint = nearest(str(kind), FACT_TYPES) or f"; there are: {', '.join(FACT_TYPES)}"
        raise parts["type"].refused(f"the fact {name!r}: there is no type {kind!r}{hint}")
    return FACT_TYPES[kind]
