"""Described: what a flow declares as plain JSON values, the same in every process and in every notation."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import cast

from pydantic import BaseModel, JsonValue, TypeAdapter

from voiceagent.spec.declared import Declared
from voiceagent.spec.tool import Tool

__all__ = ["described", "sha256_of"]

_LEFT_OUT = {"prompts"}
_json_values: TypeAdapter[object] = TypeAdapter(object)


def sha256_of(value: JsonValue) -> str:
    """Return the hash of a JSON value; the order of keys does not matter."""
    return hashlib.sha256(json.dumps(value, sort_keys=True, ensure_ascii=False).encode()).hexdigest()


def described(value: object) -> JsonValue:
    """Return everything that a declaration says, without the text of prompts.

    Code is described by what the model sees of it (names, schemas), not by its body.
    """
    match value:
        case Declared():
            parts = {
                name: described(getattr(value, name)) for name in type(value).model_fields if name not in _LEFT_OUT
            }
            return {"is": type(value).__name__, **parts}  # or silence would look like a time-out: neither has fields
        case Tool():
            return _tool(value)
        case type():
            return _type(value)
        case Mapping():
            return {str(key): described(item) for key, item in cast("Mapping[object, object]", value).items()}
        case tuple() | list():
            return [described(item) for item in cast("Sequence[object]", value)]
        case FunctionType():
            return value.__qualname__  # the module has another name in every load
        case _:
            return cast("JsonValue", _json_values.dump_python(value, mode="json"))


def _tool(tool: Tool) -> JsonValue:
    return {
        "name": tool.name,
        "description": tool.description,
        "arguments": tool.arguments.model_json_schema(),
        "effect": tool.effect,
        "requires": list(tool.requires),
        "grants": [*tool.grants, tool.grants_when],
        "sets": dict(tool.sets),
        "binds": dict(tool.binds),
        "sealed": list(tool.sealed),
        "timeout_ms": tool.timeout_ms,
        "retries": tool.retries,
        "filler": described(tool.filler),
        "invalidates": list(tool.invalidates),
        "fresh_ms": tool.fresh_ms,
        "confirm": tool.confirm,
        "scopes": list(tool.scopes),
        "egress": [str(place) for place in tool.egress],
        "attempts": described(tool.attempts),
        "reconcile": tool.reconcile is not None,
    }


def _type(kind: type) -> JsonValue:
    """Return the fields of a model: what it is called, and what its author says about it, decides nothing."""
    if not issubclass(kind, BaseModel):
        return kind.__name__
    schema = kind.model_json_schema()
    return {"properties": schema.get("properties", {}), "$defs": schema.get("$defs", {})}
