"""The JSON Schema of flows in YAML, so that an editor completes and checks them while they are written."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Sequence
from typing import cast, get_args, get_origin

from pydantic import JsonValue, TypeAdapter
from pydantic.fields import FieldInfo

from voiceagent.spec.declared import Declared
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import Compare, Operator
from voiceagent.spec.phase import ToolSucceeds
from voiceagent.spec.tool import Tool
from voiceagent.spec.yaml_code import REFERENCE
from voiceagent.spec.yaml_facts import FACT_NAME, FACT_TYPES
from voiceagent.spec.yaml_files import INCLUDE
from voiceagent.spec.yaml_shapes import (
    SKILL,
    entries_of,
    fields_of,
    is_declared,
    items_of,
    keys_of,
    may_be_none,
    only_key_of,
    parts_of,
    variants_of,
    words_of,
)

__all__ = ["flow_schema"]

Schema = dict[str, JsonValue]

_CODE: Schema = {
    "type": "string",
    "pattern": REFERENCE,
    "description": "Code in a module of the agent's folder, as `module:name`.",
}
_INCLUDE: Schema = {
    "type": "object",
    "description": "Stands for the content of another file, named as seen from the agent's folder.",
    "properties": {INCLUDE: {"type": "string"}},
    "required": [INCLUDE],
    "additionalProperties": False,
}
_FACTS: Schema = {
    "type": "object",
    "propertyNames": {"pattern": FACT_NAME},
    "additionalProperties": {
        "anyOf": [
            {"enum": list(FACT_TYPES)},
            {
                "type": "object",
                "properties": {
                    "type": {"enum": list(FACT_TYPES)},
                    "one_of": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    "default": {},
                },
                "oneOf": [{"required": ["type"]}, {"required": ["one_of"]}],
                "additionalProperties": False,
            },
        ]
    },
}
_GUARD: Schema = {
    "type": "object",
    "description": "`fact: value`, or `fact: {operator: value}`; every line must hold.",
    "properties": {
        "any_of": {"type": "array", "items": {"$ref": "#/$defs/guard"}},
        "all_of": {"type": "array", "items": {"$ref": "#/$defs/guard"}},
        "not": {"$ref": "#/$defs/guard"},
    },
    "additionalProperties": {
        "anyOf": [
            {"not": {"type": "object"}},
            {"type": "object", "properties": {word: {} for word in get_args(Operator)}, "additionalProperties": False},
        ]
    },
}


def flow_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of `flow.yaml`; a file that it includes is one of its `$defs`."""
    definitions: Schema = {"include": _INCLUDE, "guard": _GUARD, "facts": _FACTS, "code": _CODE}
    top = _reference(Flow, definitions)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A flow of voiceagent",
        **top,
        "$defs": definitions,
    }


def _reference(kind: type[Declared], definitions: Schema) -> Schema:
    name = kind.__name__
    if name not in definitions:
        definitions[name] = {}  # seen, so that a declaration inside of itself comes to an end
        definitions[name] = _declared(kind, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _declared(kind: type[Declared], definitions: Schema) -> JsonValue:
    described = _field_docstrings(kind)
    fields = fields_of(kind)
    properties: Schema = {}
    for name, field in fields.items():
        properties[name] = _field(field, definitions)
        if name in described:
            properties[name] = {**cast("Schema", properties[name]), "description": described[name]}
    required: list[JsonValue] = [name for name, field in fields.items() if field.is_required()]
    schema: Schema = {
        "type": "object",
        **_description(kind),
        "properties": properties,
        "additionalProperties": False,
    }
    if SKILL in keys_of(kind):
        text = "Folder of a SKILL.md, as seen from the agent's, that says name, prompt and tools of the phase."
        properties[SKILL] = {"type": "string", "description": text}
        schema["oneOf"] = [{"required": required}, {"required": [SKILL]}]
    elif required:
        schema["required"] = required
    return schema


def _field(field: FieldInfo, definitions: Schema) -> Schema:
    parts = parts_of(field.annotation)
    structured = any(is_declared(part) or part is Tool or items_of(part) or entries_of(part) for part in parts)
    if not structured and not any(get_origin(part) is type for part in parts):
        return _leaf(field.rebuild_annotation(), field)
    wanted = _value(field.annotation, definitions)
    if parts != (Tool,):
        wanted = _alternatives(wanted, {"$ref": "#/$defs/include"})
    nullable = may_be_none(field.annotation) and Compare not in parts
    return _alternatives(wanted, {"type": "null"}) if nullable else wanted


def _value(kind: object, definitions: Schema) -> Schema:
    parts = parts_of(kind)
    if Compare in parts:
        return _alternatives({"$ref": "#/$defs/guard"}, {"$ref": "#/$defs/code"})
    if any(get_origin(part) is type for part in parts):
        return _alternatives({"$ref": "#/$defs/facts"}, {"$ref": "#/$defs/code"})
    if len(parts) == 1:
        return _one(parts[0], definitions)
    return _one_of(parts, definitions)


def _one(part: object, definitions: Schema) -> Schema:
    items, entries = items_of(part), entries_of(part)
    if part is Tool:
        return {"$ref": "#/$defs/code"}
    if is_declared(part):
        return _reference(part, definitions)
    if items is not None:
        return {"type": "array", "items": _alternatives(_value(items, definitions), {"$ref": "#/$defs/include"})}
    if entries is not None:
        return {"type": "object", "additionalProperties": _value(entries, definitions)}
    return _leaf(part)


def _one_of(parts: Sequence[object], definitions: Schema) -> Schema:
    variants = variants_of(parts)
    choices: list[Schema] = [{"const": word} for word in words_of(parts)]
    choices += [{"const": word, **_description(kind)} for word, kind in variants.items() if not _required(kind)]
    choices += [_variant(word, kind, definitions) for word, kind in variants.items() if fields_of(kind)]
    if ToolSucceeds in parts or Tool in parts:
        choices.append({"$ref": "#/$defs/code"})
    others = [part for part in parts if not is_declared(part) and part is not Tool and not words_of([part])]
    choices += [_leaf(part) for part in others]
    return _alternatives(*choices)


def _variant(word: str, kind: type[Declared], definitions: Schema) -> Schema:
    body = _reference(kind, definitions)
    key = only_key_of(kind)
    if key is not None:
        body = _alternatives(body, _field(fields_of(kind)[key], definitions))
    schema: Schema = {"type": "object", "properties": {word: body}, "required": [word], "additionalProperties": False}
    return {**schema, **_description(kind)}


def _description(kind: type[Declared]) -> Schema:
    return {"description": inspect.cleandoc(kind.__doc__)} if kind.__doc__ else {}


def _required(kind: type[Declared]) -> bool:
    return any(field.is_required() for field in fields_of(kind).values())


def _leaf(kind: object, field: FieldInfo | None = None) -> Schema:
    """Return pydantic's own schema of a value that has no parts of ours in it."""
    schema = cast("Schema", TypeAdapter(cast("type[object]", kind)).json_schema())
    if field is not None and not field.is_required() and field.default_factory is None:
        schema["default"] = cast("JsonValue", field.default)
    return schema


def _alternatives(*schemas: Schema) -> Schema:
    flat: list[JsonValue] = []
    for schema in schemas:
        inner = schema.get("anyOf")
        flat += inner if isinstance(inner, list) and len(schema) == 1 else [schema]
    return cast("Schema", flat[0]) if len(flat) == 1 else {"anyOf": flat}


def _field_docstrings(kind: type[Declared]) -> dict[str, str]:
    """Return the text below each field of a class, as it stands in its source."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(kind))).body[0]
    found: dict[str, str] = {}
    name: str | None = None
    for statement in cast("ast.ClassDef", tree).body:
        match statement:
            case ast.AnnAssign(target=ast.Name(id=name)):
                pass
            case ast.Expr(value=ast.Constant(value=str(text))) if name is not None:
                found[name] = inspect.cleandoc(text)
                name = None
            case _:
                name = None
    return found
