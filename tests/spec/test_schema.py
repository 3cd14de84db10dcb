"""The JSON Schema of flows: what it accepts can be loaded, what it refuses cannot, and every field is explained."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import cast

import pytest
from pydantic import JsonValue

from voiceagent.errors import PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.located_yaml import LocatedYaml
from voiceagent.spec.schema import flow_schema

Library = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]
Schema = dict[str, JsonValue]
ROOT = Path(__file__).parents[2]
SCHEMA = flow_schema()
TYPES = {"object": dict, "array": list, "string": str, "integer": int, "number": (int, float), "boolean": bool}


def misfits(value: JsonValue, schema: Schema, place: str = "") -> Iterator[str]:
    """Check a value as an editor would. A keyword that this does not know fails the test."""
    for keyword, wanted in schema.items():
        if keyword not in {"$schema", "$defs", "title", "description", "default", "required", "format"}:
            yield from CHECKS[keyword](value, wanted, schema, place)
    for name in cast("list[str]", schema.get("required", [])):
        if isinstance(value, dict) and name not in value:
            yield f"{place}: {name} is missing"


def fits(value: JsonValue, schema: JsonValue) -> bool:
    return schema is not False and not list(misfits(value, cast("Schema", {} if schema is True else schema)))


def check_reference(value: JsonValue, wanted: str, schema: Schema, place: str) -> Iterator[str]:
    definitions = cast("dict[str, Schema]", SCHEMA["$defs"])
    yield from misfits(value, definitions[wanted.removeprefix("#/$defs/")], place)


def check_properties(value: JsonValue, wanted: dict[str, Schema], schema: Schema, place: str) -> Iterator[str]:
    for name, part in value.items() if isinstance(value, dict) else ():
        if name in wanted:
            yield from misfits(part, wanted[name], f"{place}.{name}")


def check_other_properties(value: JsonValue, wanted: JsonValue, schema: Schema, place: str) -> Iterator[str]:
    known = cast("Schema", schema.get("properties", {}))
    for name, part in value.items() if isinstance(value, dict) else ():
        if name not in known and not fits(part, wanted):
            yield f"{place}.{name} does not fit"


def check_items(value: JsonValue, wanted: Schema, schema: Schema, place: str) -> Iterator[str]:
    for number, item in enumerate(value if isinstance(value, list) else ()):
        yield from misfits(item, wanted, f"{place}.{number}")


def check_type(value: JsonValue, wanted: str, schema: Schema, place: str) -> Iterator[str]:
    right = value is None if wanted == "null" else isinstance(value, TYPES[wanted])
    if not right or (isinstance(value, bool) and wanted in {"integer", "number"}):
        yield f"{place}: not a {wanted}"


def holding(rule: Callable[[JsonValue, JsonValue], bool]) -> Callable[..., Iterator[str]]:
    def check(value: JsonValue, wanted: JsonValue, schema: Schema, place: str) -> Iterator[str]:
        if not rule(value, wanted):
            yield f"{place}: {value!r} does not fit {wanted!r}"

    return check


def number_of_fits(value: JsonValue, wanted: JsonValue) -> int:
    return sum(fits(value, one) for one in cast("list[JsonValue]", wanted))


CHECKS: dict[str, Callable[..., Iterator[str]]] = {
    "$ref": check_reference,
    "properties": check_properties,
    "additionalProperties": check_other_properties,
    "items": check_items,
    "type": check_type,
    "anyOf": holding(lambda value, wanted: number_of_fits(value, wanted) > 0),
    "oneOf": holding(lambda value, wanted: number_of_fits(value, wanted) == 1),
    "not": holding(lambda value, wanted: not fits(value, wanted)),
    "enum": holding(lambda value, wanted: value in cast("list[JsonValue]", wanted)),
    "const": holding(lambda value, wanted: value == wanted),
    "pattern": holding(lambda value, wanted: not isinstance(value, str) or bool(re.search(str(wanted), value))),
    "propertyNames": holding(
        lambda value, wanted: not isinstance(value, dict) or all(fits(name, wanted) for name in value)
    ),
    "minimum": holding(lambda value, wanted: not isinstance(value, int) or value >= cast("int", wanted)),
    "maximum": holding(lambda value, wanted: not isinstance(value, int) or value <= cast("int", wanted)),
    "minItems": holding(lambda value, wanted: not isinstance(value, list) or len(value) >= cast("int", wanted)),
}


def read(file: Path) -> JsonValue:
    return LocatedYaml.read(file, wrong=PhaseError).json_at(())


# --- what is right ---------------------------------------------------------------------------------------------------


def test_the_files_of_a_flow_fit_the_schema(library: Library) -> None:
    folder = library()
    assert list(misfits(read(folder / "flow.yaml"), SCHEMA)) == []
    assert list(misfits(read(folder / "card.yaml"), {"$ref": "#/$defs/Phase"})) == []


@pytest.mark.parametrize("agent", ["bank", "clinic", "loadtest", "restaurant"])
def test_the_shipped_agents_as_written_in_yaml_fit_it(agent: str, as_written: Callable[[object], JsonValue]) -> None:
    assert list(misfits(as_written(load_flow(ROOT / "phases" / agent)), SCHEMA)) == []


# --- what is wrong ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("initial: card", "intial: card"),
        ("max_turns: 50", 'max_turns: "50"'),
        ("patience_ms: 600", "patience_ms: 6"),
        ('{pressed: "0"}', "{pressed: 0}"),
        ("on: silent", "on: silnet"),
        ("{host_signals: closing_time}", "{host_signal: closing_time}"),
        ("ends: hang_up_after", "ends: hangup"),
        ("carry: {last_messages: 4}", "carry: facts_olny"),
        ("to: desk, priority: 10", "to: desk, priority: high"),
        ("owes: {gt: 0}", "owes: {greater: 0}"),
        ("reader_id: text", "reader_id: txet"),
        ("reader_id: text", "Reader Id: text"),
        ("one_of: [elmham, dereham]", "one_of: []"),
        ("loans.tools:renew", "renew"),
        ("skill: loans", "skill: loans\n    name: loans"),
        ("  - name: desk\n    on_enter", "  - on_enter"),
    ],
)
def test_what_the_schema_refuses_is_refused_by_the_loader_too(library: Library, right: str, wrong: str) -> None:
    folder = library(flow={right: wrong})
    assert list(misfits(read(folder / "flow.yaml"), SCHEMA)) != []
    if "greater" not in wrong:  # a slip in an operator is found by `voiceagent check`
        with pytest.raises(PhaseError):
            load_flow(folder)


# --- what an editor shows --------------------------------------------------------------------------------------------


def test_what_is_explained_below_a_field_is_explained_in_the_editor() -> None:
    definitions = cast("dict[str, dict[str, dict[str, Schema]]]", SCHEMA["$defs"])
    phase = definitions["Phase"]["properties"]
    assert phase["carry"].get("description") is None
    assert phase["voice"]["description"].startswith("Voice override of the synthesizer or, where one speaks,")
    assert phase["prompt"]["description"].startswith("File below `prompts/`")
    assert definitions["Transition"]["description"].startswith("An edge of the flow")


def test_the_schema_is_printed(voiceagent: Command) -> None:
    for arguments in (("schema", "flow"), ("schema",)):
        code, printed, _ = voiceagent(*arguments)
        assert (code, json.loads(printed)) == (0, SCHEMA)


def test_a_schema_that_does_not_exist_is_told_with_the_nearest(voiceagent: Command) -> None:
    code, _, said = voiceagent("schema", "flwo")
    assert code == 2
    assert "there is no schema of 'flwo'; did you mean 'flow'?" in said
