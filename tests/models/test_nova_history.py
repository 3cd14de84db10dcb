"""What a new Nova session is told of the call so far: always in the shape that it takes, whatever has happened."""

from __future__ import annotations

import json
from itertools import count, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.nova.history import (
    MAX_HISTORY_BYTES,
    MAX_INPUT_BYTES,
    MAX_TURNS,
    OPENING,
    Turn,
    live_words,
    pieces,
    shaped,
)

_numbers = count(1)


def said(role: str, text: str, **more: object) -> Message:
    return Message(number=next(_numbers), role=role, text=text, epoch=Epoch(1), **more)  # type: ignore[arg-type] - fields by their names


TEXTS = st.text(max_size=40) | st.builds(lambda text, times: text * times, st.text(max_size=30), st.integers(0, 500))
REQUESTS = st.sampled_from(["r1", "r2", "r3"])
MESSAGES = st.lists(
    st.one_of(
        st.builds(said, st.sampled_from(["caller", "agent", "note"]), TEXTS),
        st.builds(lambda text, request: said("tool_request", text, request=request, tool="look"), TEXTS, REQUESTS),
        st.builds(
            lambda text, request, failed: said("tool_result", text, request=request, tool="look", failed=failed),
            TEXTS,
            REQUESTS,
            st.booleans(),
        ),
    ),
    max_size=120,
)


@settings(deadline=None)
@given(MESSAGES)
def test_p7_turns_alternate_and_the_caller_is_first(messages: list[Message]) -> None:
    turns = shaped(messages)
    assert all(before.role != after.role for before, after in pairwise(turns))
    assert not turns or turns[0].role == "USER"


@settings(deadline=None)
@given(MESSAGES)
def test_no_limit_is_passed(messages: list[Message]) -> None:
    turns = shaped(messages)
    assert len(turns) <= MAX_TURNS
    assert sum(len(turn.text.encode()) for turn in turns) <= MAX_HISTORY_BYTES
    assert all(turn.text.strip() for turn in turns)


@settings(deadline=None)
@given(MESSAGES)
def test_everything_can_be_written_as_json_in_utf_8(messages: list[Message]) -> None:
    for text in [turn.text for turn in shaped(messages)] + live_words(messages):
        assert json.loads(json.dumps(text, ensure_ascii=False).encode()) == text


@settings(deadline=None)
@given(st.lists(st.sampled_from(["caller", "agent"]), min_size=1, max_size=200))
def test_the_last_words_are_never_the_ones_left_out(roles: list[str]) -> None:
    messages = [said(role, f"words {place} " + "x" * 300) for place, role in enumerate(roles)]
    *_, last = shaped(messages)
    assert last.text.splitlines()[-1] == messages[-1].text


def test_a_long_call_is_told_from_its_end_within_the_bytes_that_are_taken() -> None:
    facts = said("note", "The caller is Maria Lopez.")
    long_ago = [said("caller" if place % 2 else "agent", f"{place} " + "é" * 1_500) for place in range(30)]
    turns = shaped([facts, *long_ago])
    assert MAX_HISTORY_BYTES - 3_100 < sum(len(turn.text.encode()) for turn in turns) <= MAX_HISTORY_BYTES
    assert turns[0].text.startswith("[The caller is Maria Lopez.]")
    assert turns[-1].text == long_ago[-1].text


@settings(deadline=None)
@given(st.text(max_size=5_000) | st.builds(lambda word: word * 900, st.text(min_size=1, max_size=9)))
def test_pieces_fit_and_together_are_the_text(text: str) -> None:
    clean = text.encode("utf-8", "replace").decode()
    parts = list(pieces(clean))
    assert "".join(parts) == clean
    assert all(len(part.encode()) <= MAX_INPUT_BYTES for part in parts)


def test_words_of_one_side_become_one_turn() -> None:
    assert shaped([said("caller", "Hello."), said("caller", "My balance."), said("agent", "One moment.")]) == (
        Turn("USER", "Hello.\nMy balance."),
        Turn("ASSISTANT", "One moment."),
    )


def test_a_greeting_is_kept_though_the_agent_spoke_first() -> None:
    assert shaped([said("agent", "Welcome to the bank.")]) == (
        Turn("USER", OPENING),
        Turn("ASSISTANT", "Welcome to the bank."),
    )


def test_facts_outlast_what_was_merely_said() -> None:
    chatter = [said("caller" if place % 2 else "agent", f"line {place}") for place in range(200)]
    turns = shaped([said("note", "The caller is Maria Lopez."), *chatter])
    assert turns[0].text.startswith("[The caller is Maria Lopez.]")
    assert MAX_TURNS - 1 <= len(turns) <= MAX_TURNS


def test_p8_a_tool_call_of_an_earlier_session_is_told_in_words() -> None:
    turns = shaped(
        [
            said("tool_request", '{"account": "1"}', request="c1", tool="get_balance"),
            said("tool_result", '{"balance": "12.00"}', request="c1", tool="get_balance"),
            said("tool_request", "{}", request="c2", tool="list_cards"),
            said("tool_result", "no such card", request="c9", tool="block_card", failed=True),
        ]
    )
    assert [turn.role for turn in turns] == ["USER"]
    assert turns[0].text.splitlines() == [
        '[Earlier, get_balance({"account": "1"}) returned: {"balance": "12.00"}]',
        "[You asked for list_cards({}); there is no result yet.]",
        "[Earlier, block_card failed: no such card]",
    ]


def test_a_long_result_of_an_earlier_tool_is_told_in_short() -> None:
    (turn,) = shaped([said("tool_result", "x" * 9_000, request="c1", tool="search")])
    assert len(turn.text.encode()) < 1_100
    assert turn.text.endswith("…]")


@pytest.mark.parametrize("role", ["caller", "agent", "note"])
def test_no_words_make_no_turn_and_no_empty_brackets(role: str) -> None:
    assert shaped([said(role, "  ")]) == ()
    assert live_words([said(role, "  ")]) == []


def test_p16_live_words_are_short_and_in_brackets() -> None:
    assert live_words(
        [
            said("caller", "1234"),
            said("agent", "One moment, please."),
            said("note", "The caller pressed a key."),
            said("note", "[Already in brackets.]"),
        ]
    ) == [
        "1234",
        "[You have said: One moment, please.]",
        "[The caller pressed a key.]",
        "[Already in brackets.]",
    ]
