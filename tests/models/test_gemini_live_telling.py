"""What a Gemini Live model is told of a call, and how it is shown tools."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from tests.models.gemini_live_server import message
from voiceagent.models.gemini_live.schemas import declaration, gemini_schema
from voiceagent.models.gemini_live.telling import MOST_CHARS_OF_A_MESSAGE, Turn, as_note, turns_for
from voiceagent.ports import OfferedTool

# --- the call --------------------------------------------------------------------------------------------------------

ROLES = st.sampled_from(["caller", "agent", "tool_request", "tool_result", "note"])
MESSAGES = st.lists(
    st.builds(
        lambda role, text, request: message(
            role, text, request=f"r{request}" if role.startswith("tool") else None, tool="look_up"
        ),
        ROLES,
        st.text(max_size=40),
        st.integers(0, 3),
    ),
    max_size=30,
)


@given(MESSAGES, st.booleans(), st.booleans(), st.integers(0, 400))
def test_r4_a_history_has_the_shape_that_the_provider_takes(
    messages: list[Any], whole_call: bool, ends_with_caller: bool, most_chars: int
) -> None:
    turns = turns_for(messages, whole_call=whole_call, ends_with_caller=ends_with_caller, most_chars=most_chars)
    assert all(turn.text.strip() for turn in turns)
    assert all(before.role != after.role for before, after in pairwise(turns))
    if turns and whole_call:
        assert turns[0].role == "user"
    if turns and ends_with_caller:
        assert turns[-1].role == "user"
    joints = sum(turn.text.count("\n") + 1 for turn in turns)
    assert sum(len(turn.text) for turn in turns) <= most_chars + joints + 100  # what we say of it ourselves


@given(MESSAGES)
def test_r4_everything_that_fits_is_told_in_its_order(messages: list[Any]) -> None:
    told = "\n".join(turn.text for turn in turns_for(messages))
    at = 0
    for one in messages:
        if one.role in ("caller", "agent", "note") and one.text.strip():
            at = told.index(one.text.strip(), at)


def test_r4_what_is_too_long_loses_its_beginning_and_says_so() -> None:
    messages = [message("caller", "first " * 10), message("agent", "second"), message("caller", "third")]
    assert turns_for(messages, most_chars=15) == [
        Turn("user", "[What was said before this is left out.]"),
        Turn("model", "second"),
        Turn("user", "third"),
    ]


def test_r4_one_long_message_does_not_crowd_out_the_others() -> None:
    turns = turns_for([message("caller", "Hi."), message("note", "x" * 100_000)])
    assert turns[0].text.startswith("Hi.\nxxx")
    assert len(turns[0].text) <= MOST_CHARS_OF_A_MESSAGE + 4


def test_a_request_with_its_result_is_one_line_and_one_without_says_so() -> None:
    messages = [
        message("tool_request", '{"a": 1}', request="r1", tool="look_up"),
        message("tool_request", "{}", request="r2", tool="pay"),
        message("tool_result", '"broken"', request="r1", tool="look_up", failed=True),
        message("tool_result", "1", request="r0", tool="count"),
    ]
    assert turns_for(messages) == [
        Turn(
            "user",
            "[You asked for pay({}); there is no result yet.]\n"
            '[Earlier, look_up({"a": 1}) failed: "broken"]\n'
            "[Earlier, count returned: 1]",
        )
    ]


def test_p16_what_is_told_beside_a_result_is_terse_and_in_brackets() -> None:
    assert as_note(message("agent", "One moment.")) == "[You said: One moment.]"
    assert as_note(message("caller", "Hm.")) == "[The caller said: Hm.]"


# --- tools -----------------------------------------------------------------------------------------------------------


def test_a_schema_is_rewritten_into_the_providers_words() -> None:
    class_schema = {
        "type": "object",
        "additionalProperties": False,
        "required": ["amount", "gone"],
        "properties": {
            "amount": {"anyOf": [{"type": "number"}, {"type": "string", "maxLength": 9}], "description": "How much."},
            "note": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": None, "description": "Why."},
            "day": {"type": "string", "format": "date"},
            "at": {"type": "string", "format": "date-time"},
            "count": {"type": ["integer", "null"], "exclusiveMinimum": 0, "enum": [1, 2], "description": "How many."},
            "kind": {"const": "wire"},
            "rows": {"type": "array", "items": {"$ref": "#/$defs/Row"}, "minItems": 1},
            "any": {},
        },
        "$defs": {"Row": {"type": "object", "properties": {"flag": {"type": "boolean"}}}},
    }
    assert gemini_schema(class_schema) == {
        "type": "OBJECT",
        "required": ["amount"],
        "properties": {
            "amount": {"anyOf": [{"type": "NUMBER"}, {"type": "STRING", "maxLength": 9}], "description": "How much."},
            "note": {"type": "STRING", "nullable": True, "description": "Why."},
            "day": {"type": "STRING", "description": "(format: date)"},
            "at": {"type": "STRING", "format": "date-time"},
            "count": {
                "type": "INTEGER",
                "nullable": True,
                "description": "How many. (exclusiveMinimum: 0; one of [1, 2])",
            },
            "kind": {"type": "STRING", "enum": ["wire"], "format": "enum"},
            "rows": {
                "type": "ARRAY",
                "minItems": 1,
                "items": {"type": "OBJECT", "properties": {"flag": {"type": "BOOLEAN"}}},
            },
            "any": {"type": "STRING"},
        },
    }


def test_a_schema_that_refers_to_itself_ends() -> None:
    tree = {
        "type": "object",
        "properties": {"root": {"$ref": "#/$defs/Node"}, "loop": {"$ref": "#/$defs/Loop"}},
        "$defs": {
            "Node": {"type": "object", "properties": {"next": {"anyOf": [{"$ref": "#/$defs/Node"}, {"type": "null"}]}}},
            "Loop": {"allOf": [{"$ref": "#/$defs/Loop"}]},
        },
    }
    assert gemini_schema(tree)["type"] == "OBJECT"


def test_a_tool_says_how_it_is_called_and_a_move_has_no_parameters() -> None:
    schema: Any = {"type": "object", "properties": {"a": {"type": "string"}}}
    assert declaration(OfferedTool("x", "Do.", schema), "BLOCKING") == {
        "name": "x",
        "description": "Do.",
        "parameters": {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}},
        "behavior": "BLOCKING",
    }
    assert declaration(OfferedTool("y", "Go.", {"type": "object", "properties": {}}), None) == {
        "name": "y",
        "description": "Go.",
    }


@pytest.mark.parametrize(
    "kind", [dict[str, int], list[str] | None, int | str | None, tuple[int, ...], dict[str, list[dict[str, float]]]]
)
def test_whatever_pydantic_makes_of_a_type_can_be_shown(kind: Any) -> None:
    schema = TypeAdapter(kind).json_schema()
    assert gemini_schema({"type": "object", "properties": {"a": schema}})["properties"]
