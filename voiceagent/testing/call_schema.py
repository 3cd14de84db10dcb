"""The JSON Schema of `*.call.yaml`, so that an editor completes and checks scripted conversations as they are written.

It is made of the rows by which the files are read. A file's scalars are read as text, an editor's are not: where text
is wanted a number will do, and a yes is a boolean.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import cast, get_args

from pydantic import BaseModel, JsonValue

from voiceagent.testing.call_rows import (
    ACTS,
    AtRow,
    ExpectRow,
    FaultsRow,
    FileRow,
    ModelRow,
    PersonaRow,
    ReplyRow,
    RuleRow,
    ScriptRow,
    SettingsRow,
    ToolAnswerRow,
)

__all__ = ["call_schema"]

Schema = dict[str, JsonValue]

_ROWS: Mapping[str, type[BaseModel]] = {
    row.__name__: row
    for row in (
        *ACTS.values(),
        AtRow,
        ExpectRow,
        FaultsRow,
        ModelRow,
        PersonaRow,
        ReplyRow,
        RuleRow,
        ScriptRow,
        SettingsRow,
        ToolAnswerRow,
    )
}
_ANYTHING: Schema = {"$ref": "#/$defs/JsonValue"}
_YES_OR_NO: Schema = {"enum": [True, False, "yes", "no", "on", "off"]}
_ALONE = [name for name, row in ACTS.items() if get_args(row.model_fields[name].annotation) == ("",)]
"""Acts that need nothing beside their name."""


def _ref(row: type[BaseModel]) -> Schema:
    return {"$ref": f"#/$defs/{row.__name__}"}


def _any_of(*schemas: Schema) -> Schema:
    flat: list[JsonValue] = []
    for schema in schemas:
        inner = schema.get("anyOf")
        flat += inner if isinstance(inner, list) else [schema]
    return {"anyOf": flat} if len(flat) > 1 else schemas[0]


def _list_of(item: Schema) -> Schema:
    return {"type": "array", "items": item}


def _map_of(entry: Schema) -> Schema:
    return {"type": "object", "additionalProperties": entry}


_TEXT: Schema = {"type": ["string", "number"]}
_MAP: Schema = {"type": "object"}
_TURN: Schema = {"$ref": "#/$defs/turn"}
_REPLY = _any_of(_TEXT, _ref(ReplyRow))
_CALL = _any_of(_TEXT, _map_of(_any_of(_MAP, {"type": "null"})))
_READ_LATER: Mapping[str, Schema] = {
    "FileRow.call": _list_of(_TURN),
    "FileRow.conversations": _list_of(_ref(ScriptRow)),
    "ScriptRow.call": {**_list_of(_TURN), "minItems": 1},
    "ModelRow.lines": _map_of(_any_of(_REPLY, _list_of(_REPLY))),
    "ModelRow.rules": _any_of(_ref(RuleRow), _list_of(_ref(RuleRow))),
    "ExpectRow.calls": _any_of(_CALL, _list_of(_CALL)),
    "ToolAnswerRow.result": {},
    "settings": _ref(SettingsRow),
    "model": _any_of({"const": "guided"}, _ref(ModelRow)),
    "tools": _map_of(_any_of(_ref(ToolAnswerRow), _list_of(_ref(ToolAnswerRow)))),
    "faults": _ref(FaultsRow),
    "in_the_end": _ref(ExpectRow),
    "persona": _ref(PersonaRow),
    "at": _ref(AtRow),
    "expect": _ref(ExpectRow),
    "facts": _MAP,
    "arguments": _MAP,
    "given": _MAP,
}
"""What a row takes as it stands, since another row reads it: by row and key, or by key where that is enough."""


def call_schema() -> Schema:
    """Return the JSON Schema (draft 2020-12) of a file of scripted conversations."""
    turns = [_ref(row) for row in dict.fromkeys(ACTS.values())]
    definitions: Schema = {name: _row(row) for name, row in _ROWS.items()}
    definitions["turn"] = {
        "description": "Something that the caller does, when, and what is expected of it.",
        **_any_of({"enum": list[JsonValue](_ALONE)}, *turns),
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Scripted conversations with an agent of voiceagent",
        **_row(FileRow),
        "$defs": definitions,
    }


def _row(row: type[BaseModel]) -> Schema:
    made = cast("Schema", row.model_json_schema(mode="validation"))
    properties = cast("Mapping[str, Schema]", made.get("properties", {}))
    schema: Schema = {
        "type": "object",
        "description": inspect.cleandoc(row.__doc__ or ""),
        "properties": {name: _property(row, name, schema) for name, schema in properties.items()},
        "additionalProperties": False,
    }
    return {**schema, "required": made["required"]} if "required" in made else schema


def _property(row: type[BaseModel], name: str, made: Schema) -> Schema:
    for key in (f"{row.__name__}.{name}", name):
        if key in _READ_LATER and (key != name or _is_anything(made)):
            return _READ_LATER[key]
    return _as_an_editor_reads(made)


def _is_anything(made: Schema) -> bool:
    """Whether pydantic says nothing about what may stand there."""
    return made.get("$ref") == _ANYTHING["$ref"] or _ANYTHING in (made.get("additionalProperties"), made.get("items"))


def _as_an_editor_reads(made: Schema) -> Schema:
    """Return a property in which scalars may be what YAML makes of them."""
    match made:
        case {"const": ""}:
            return {"enum": ["", None]}
        case {"enum": list(words)}:
            return {"enum": [*words, None, True]}
        case {"type": "string", "format": _}:
            return {"type": "string"}  # a date and time, with or without a zone
        case {"type": "string", "pattern": pattern}:
            return _any_of({"type": "string", "pattern": pattern}, {"type": "integer"})
        case {"type": "string"}:
            return _TEXT
        case {"type": "boolean"}:
            return _YES_OR_NO
        case {"type": "array", "items": dict(items)}:
            return _list_of(_as_an_editor_reads(items))
        case {"anyOf": list(choices)}:
            # A key without a value is no value: null is only what the row has where the key is missing.
            kinds = [cast("Schema", choice) for choice in choices if choice != {"type": "null"}]
            return _any_of(*map(_as_an_editor_reads, kinds))
        case _:
            return {key: value for key, value in made.items() if key not in ("title", "default", "prefixItems")}
