"""Shows tools to Gemini Live models, in the part of OpenAPI that they read.

The SDK has `parametersJsonSchema` too, but a live model then calls the tool without arguments
(https://github.com/googleapis/python-genai/issues/1147), so a JSON schema is rewritten. What cannot be said there is
said in the description: the model is only shown this, and arguments are validated by the full schema afterwards.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import cast

from pydantic import JsonValue

from voiceagent.ports import OfferedTool

__all__ = ["declaration", "gemini_schema"]

Schema = dict[str, JsonValue]

_TAKEN_OVER = frozenset(
    {
        "default",
        "description",
        "maxItems",
        "maxLength",
        "maxProperties",
        "maximum",
        "minItems",
        "minLength",
        "minProperties",
        "minimum",
        "pattern",
        "title",
    }
)
_SAID_IN_WORDS = ("exclusiveMinimum", "exclusiveMaximum", "multipleOf", "uniqueItems")
_FORMATS = {"STRING": {"date-time"}, "NUMBER": {"float", "double"}, "INTEGER": {"int32", "int64"}}
_MOST_LEVELS = 12
"""A schema that refers to itself has no end; neither has OpenAPI's subset a way to say so."""


def declaration(tool: OfferedTool, behavior: str | None) -> Schema:
    """Return the function declaration of a tool or a move; one without parameters has none."""
    function: Schema = {"name": tool.name, "description": tool.description}
    parameters = gemini_schema(tool.parameters)
    if parameters.get("properties"):
        function["parameters"] = parameters
    if behavior is not None:
        function["behavior"] = behavior
    return function


def gemini_schema(schema: Mapping[str, JsonValue]) -> Schema:
    """Return a JSON schema in the provider's words."""
    definitions = _mapping(schema.get("$defs")) or _mapping(schema.get("definitions")) or {}
    return _Rewriting(definitions).rewrite(schema, _MOST_LEVELS)


class _Rewriting:
    """Rewrites one schema with its definitions."""

    def __init__(self, definitions: Mapping[str, JsonValue]) -> None:
        self._definitions = definitions

    def rewrite(self, schema: Mapping[str, JsonValue], levels: int) -> Schema:
        if levels == 0:
            return {"type": "OBJECT"}
        schema = self._resolved(schema)
        choices = _choices(schema)
        others = [choice for choice in choices if choice.get("type") != "null"]
        outer: Schema = {key: schema[key] for key in ("description", "title") if key in schema}
        if not others:
            return self._plain(schema, levels)
        if len(others) == 1:
            rewritten = self.rewrite({**others[0], **outer}, levels - 1)
        else:
            rewritten: Schema = {**outer, "anyOf": [self.rewrite(choice, levels - 1) for choice in others]}
        if len(others) < len(choices):
            rewritten["nullable"] = True
        return rewritten

    def _plain(self, schema: Mapping[str, JsonValue], levels: int) -> Schema:
        kind = _kind(schema).upper()
        rewritten: Schema = {"type": kind}
        rewritten.update({key: value for key, value in schema.items() if key in _TAKEN_OVER})
        remarks = [f"{key}: {json.dumps(schema[key])}" for key in _SAID_IN_WORDS if key in schema]
        if kind == "OBJECT":
            rewritten.update(self._fields(schema, levels))
        elif kind == "ARRAY":
            items = _mapping(schema.get("items"))
            rewritten["items"] = self.rewrite(items, levels - 1) if items else {"type": "STRING"}
        words = schema.get("enum", [schema["const"]] if "const" in schema else None)
        if isinstance(words, list):
            if kind == "STRING":
                rewritten["enum"] = [word for word in words if isinstance(word, str)]
                rewritten["format"] = "enum"
            else:
                remarks.append(f"one of {json.dumps(words)}")
        if isinstance(form := schema.get("format"), str):
            if form in _FORMATS.get(kind, ()):
                rewritten["format"] = form
            else:
                remarks.append(f"format: {form}")
        if remarks:
            told = rewritten.get("description")
            rewritten["description"] = " ".join([*([str(told)] if told else []), f"({'; '.join(remarks)})"])
        return rewritten

    def _fields(self, schema: Mapping[str, JsonValue], levels: int) -> Schema:
        properties = _mapping(schema.get("properties")) or {}
        fields: Schema = {name: self.rewrite(_mapping(part) or {}, levels - 1) for name, part in properties.items()}
        required = schema.get("required")
        named = [name for name in required if name in fields] if isinstance(required, list) else []
        return {"properties": fields, **({"required": cast("list[JsonValue]", named)} if named else {})}

    def _resolved(self, schema: Mapping[str, JsonValue]) -> Mapping[str, JsonValue]:
        """Return the schema with what it refers to, or the parts of its `allOf`, put in their place."""
        for _ in range(_MOST_LEVELS):
            rest = {key: value for key, value in schema.items() if key not in ("$ref", "allOf")}
            if isinstance(reference := schema.get("$ref"), str):
                schema = {**(_mapping(self._definitions.get(reference.rpartition("/")[2])) or {}), **rest}
            elif parts := _schemas(schema.get("allOf")):
                schema = {**{key: value for part in parts for key, value in part.items()}, **rest}
            else:
                break
        return schema


def _choices(schema: Mapping[str, JsonValue]) -> list[Schema]:
    """Return the alternatives that a schema is made of; none where it is one thing."""
    kinds = schema.get("type")
    if isinstance(kinds, list):
        return [{**schema, "type": kind} for kind in kinds]
    return [*_schemas(schema.get("anyOf")), *_schemas(schema.get("oneOf"))]


def _kind(schema: Mapping[str, JsonValue]) -> str:
    """Return the type of a schema, guessed where it names none: OpenAPI's subset knows no `any`."""
    if isinstance(kind := schema.get("type"), str):
        return kind
    if "properties" in schema:
        return "object"
    if "items" in schema:
        return "array"
    match schema.get("const"):
        case bool():
            return "boolean"
        case int():
            return "integer"
        case float():
            return "number"
        case _:
            return "string"


def _mapping(value: JsonValue) -> dict[str, JsonValue] | None:
    return value if isinstance(value, dict) else None


def _schemas(value: JsonValue) -> list[Schema]:
    return [part for part in value if isinstance(part, dict)] if isinstance(value, list) else []
