"""The JSON Schema of scripted conversations: the shipped ones fit it, and what it refuses the reader refuses too."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
import yaml
from pydantic import JsonValue

import voiceagent
from voiceagent.testing.call_rows import ACTS
from voiceagent.testing.call_schema import call_schema

Schema = dict[str, JsonValue]
ROOT = Path(voiceagent.__file__).parents[1]
SCHEMA = call_schema()
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "null": type(None)}
SHIPPED = sorted((ROOT / "tests" / "conversations").rglob("*.call.yaml"))
HEAD = "agent: desk\nname: a call\n"


def misfits(value: JsonValue, schema: Schema, place: str = "") -> Iterator[str]:
    """Check a value as an editor would. A keyword that this does not know fails the test."""
    for keyword, wanted in schema.items():
        if keyword not in {"$schema", "$defs", "title", "description"} and not CHECKS[keyword](value, wanted, schema):
            yield f"{place}: {value!r} does not fit {keyword} {wanted}"
    for name, part in value.items() if isinstance(value, dict) else ():
        yield from misfits(part, part_of(schema, "properties", name), f"{place}.{name}")
    for number, item in enumerate(value if isinstance(value, list) else ()):
        yield from misfits(item, cast("Schema", schema.get("items", {})), f"{place}[{number}]")


def fits(value: JsonValue, schema: Schema) -> bool:
    return not list(misfits(value, schema))


def part_of(schema: Schema, keyword: str, name: str) -> Schema:
    return cast("Schema", cast("Schema", schema.get(keyword, {})).get(name, {}))


def defined(reference: str) -> Schema:
    return part_of(SCHEMA, "$defs", reference.removeprefix("#/$defs/"))


def is_one_of(value: JsonValue, kinds: str | list[str]) -> bool:
    listed = kinds if isinstance(kinds, list) else [kinds]
    return not isinstance(value, bool) and any(isinstance(value, TYPES[kind]) for kind in listed)


def others_fit(value: JsonValue, wanted: JsonValue, schema: Schema) -> bool:
    others = (
        [name for name in value if name not in cast("Schema", schema.get("properties", {}))]
        if isinstance(value, dict)
        else []
    )
    return not others if wanted is False else all(fits(value[name], wanted) for name in others)  # pyright: ignore[reportArgumentType, reportCallIssue, reportIndexIssue, reportOptionalSubscript] - JSON of any shape


CHECKS: dict[str, Callable[..., bool]] = {
    "$ref": lambda value, wanted, _: fits(value, defined(wanted)),
    "anyOf": lambda value, wanted, _: any(fits(value, choice) for choice in wanted),
    "type": lambda value, wanted, _: is_one_of(value, wanted),
    "enum": lambda value, wanted, _: value in wanted,
    "const": lambda value, wanted, _: value == wanted,
    "pattern": lambda value, wanted, _: not isinstance(value, str) or re.search(wanted, value) is not None,
    "minimum": lambda value, wanted, _: not isinstance(value, int) or value >= wanted,
    "maximum": lambda value, wanted, _: not isinstance(value, int) or value <= wanted,
    "minItems": lambda value, wanted, _: not isinstance(value, list) or len(cast("list[object]", value)) >= wanted,
    "required": lambda value, wanted, _: not isinstance(value, dict) or all(name in value for name in wanted),
    "additionalProperties": others_fit,
    "properties": lambda *_: True,
    "items": lambda *_: True,
}


@pytest.mark.parametrize("path", SHIPPED, ids=[path.name for path in SHIPPED])
def test_the_shipped_conversations_fit(path: Path) -> None:
    assert list(misfits(yaml.safe_load(path.read_text()), SCHEMA)) == []


def test_what_they_include_fits_too() -> None:
    text = (ROOT / "tests" / "conversations" / "bank" / "the_bank.yaml").read_text()
    assert list(misfits(yaml.safe_load(text), SCHEMA)) == []


@pytest.mark.parametrize(
    "wrong",
    [
        "call: [{sayz: hello}]",
        "call: []",
        "call: [{says: hello, expect: {fase: hello}}]",
        "call: [{says: hello, at: {herd: hello}}]",
        "call: [{presses: 12x}]",
        "call: [{stays_silent_ms: soon}]",
        "call: [waits]\nfaults: {model_fails: never}",
        "call: [waits]\nsettings: {seed: -1}",
        "call: [waits]\nmodel: guidedd",
        "call: [waits]\nmodel: {rulez: []}",
        "call: [waits]\ntools: {look_left: {rezult: 1}}",
        "call: [{waits: , expect: {ended: perhaps}}]",
        "call: [{waits: , expect: {fillers: 1..}}]",
        "call: [waits]\nconversation: []",
    ],
)
def test_what_it_refuses_is_refused_by_the_reader_too(mistake: Callable[..., str], wrong: str) -> None:
    if wrong != "call: []":  # a file without a call may be one to include
        assert not fits(yaml.safe_load(HEAD + wrong), SCHEMA)
    assert mistake(HEAD + wrong).startswith("a.call.yaml:")


def test_every_act_is_a_turn_and_every_part_is_known() -> None:
    definitions = cast("dict[str, Schema]", SCHEMA["$defs"])
    turns = cast("list[Schema]", definitions["turn"]["anyOf"])
    assert len(turns) == 1 + len(ACTS)
    assert turns[0] == {"enum": ["coughs", "hangs_up", "waits"]}
    assert "JsonValue" not in str(SCHEMA)
