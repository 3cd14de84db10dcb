"""What OpenAI Realtime is told of a call: every word once, in order, each request answered at most once."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch

pytest.importorskip("openai", reason="needs the extra 'openai'")

from openai.types.realtime import ConversationItem
from pydantic import TypeAdapter

from voiceagent.models.openai_realtime.history import MAX_RESULT_CHARS, items_for

ITEM: TypeAdapter[Any] = TypeAdapter(ConversationItem)
REQUESTS = st.sampled_from(["call_1", "call_2", "call_3"])
ROLES = ("caller", "agent", "tool_request", "tool_result", "note")
TEXTS = st.text(max_size=20)


def entry(number: int, role: Any, text: str, request: str | None = None, *, failed: bool = False) -> Message:
    tool = "get_balance" if request is not None else None
    return Message(number, role, text, Epoch(1), request=request, tool=tool, failed=failed)


@st.composite
def histories(draw: st.DrawFn) -> list[Message]:
    told = draw(st.lists(st.tuples(st.sampled_from(ROLES), TEXTS, REQUESTS, st.booleans()), max_size=12))
    return [
        entry(number, role, text, request if role.startswith("tool") else None, failed=failed)
        for number, (role, text, request, failed) in enumerate(told)
    ]


def words_of(item: dict[str, Any]) -> str:
    return item["output"] if item["type"] == "function_call_output" else item["content"][0]["text"]


@given(history=histories(), open_requests=st.sets(REQUESTS), answered=st.sets(REQUESTS))
def test_every_word_is_told_once_and_in_order(history: list[Message], open_requests: set[str], answered: set[str]):
    own = open_requests | answered
    items = [told.item for told in items_for(history, open_requests=open_requests, own_requests=own)]
    told = "\n".join(words_of(item) for item in items)

    place = 0
    for message in history:
        if message.role in ("caller", "agent", "note", "tool_result") and message.text.strip():
            place = told.index(message.text, place) + len(message.text)


@given(history=histories(), open_requests=st.sets(REQUESTS), answered=st.sets(REQUESTS))
def test_only_an_open_request_is_answered_and_only_once(
    history: list[Message], open_requests: set[str], answered: set[str]
):
    told = items_for(history, open_requests=open_requests, own_requests=open_requests | answered)

    answers = [new.item["call_id"] for new in told if new.item["type"] == "function_call_output"]
    resulted = {message.request for message in history if message.role == "tool_result"}
    assert len(answers) == len(set(answers))
    assert set(answers) == open_requests & resulted
    assert [new.answers for new in told if new.answers is not None] == answers


@given(history=histories(), own=st.sets(REQUESTS))
def test_every_item_is_one_that_the_provider_takes(history: list[Message], own: set[str]):
    for told in items_for(history, open_requests=own, own_requests=own):
        for item in filter(None, (told.item, told.instead)):
            taken = ITEM.validate_python({"id": "told_1", **item})
            assert taken.type == item["type"]
            assert words_of(item).strip() or item["type"] == "function_call_output"


@given(history=histories())
def test_neighbours_of_one_role_are_one_item(history: list[Message]):
    roles = [told.item["role"] for told in items_for(history, open_requests=(), own_requests=())]

    assert all(before != after for before, after in pairwise(roles))


def test_a_call_is_told_as_it_went():
    history = [
        entry(1, "agent", "Good morning."),
        entry(2, "caller", "My balance, please."),
        entry(3, "tool_request", '{"account": "7"}', "call_of_another"),
        entry(4, "tool_result", "12.00", "call_of_another"),
        entry(5, "tool_request", "not JSON", "call_without_result"),
        entry(6, "note", "The caller is verified."),
    ]

    told = items_for(history, open_requests=(), own_requests=())

    assert [(new.item["role"], words_of(new.item)) for new in told] == [
        ("assistant", "Good morning."),
        (
            "user",
            """My balance, please.
[Earlier, get_balance({"account": "7"}) returned: 12.00]
[You asked for get_balance({}); there is no result yet.]
[The caller is verified.]""",
        ),
    ]


def test_a_request_of_its_own_is_not_told_to_who_made_it():
    history = [entry(1, "tool_request", "{}", "call_1"), entry(2, "tool_result", "12.00", "call_1")]

    [told] = items_for(history, open_requests={"call_1"}, own_requests={"call_1"})

    assert told.item == {"type": "function_call_output", "call_id": "call_1", "output": "12.00"}


def test_r4_a_long_result_is_told_whole_as_an_answer_and_shortened_as_history():
    history = [entry(1, "tool_result", "x" * (3 * MAX_RESULT_CHARS), "call_1")]

    [whole] = items_for(history, open_requests={"call_1"}, own_requests={"call_1"})
    [short] = items_for(history, open_requests=(), own_requests=())

    assert len(words_of(whole.item)) == 3 * MAX_RESULT_CHARS
    assert len(words_of(short.item)) < MAX_RESULT_CHARS + 100
