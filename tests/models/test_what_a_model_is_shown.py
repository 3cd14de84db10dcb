"""What a language model is shown of a call, before any provider gives it a shape."""

from __future__ import annotations

import json
from dataclasses import astuple, replace
from datetime import date
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.models.calls import ALL_OFFERED, CALLER_ASKS, FLOW, asked, histories
from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.shown import Exchange, Said, Shown, ToolUse, shown, told

pytest.importorskip("openai", reason="its neighbours need the extra 'openai'")


KNOWN_ADA = asked(late_facts="The caller is Ada.").known


def conversation(*history: Message, tools: tuple[str, ...] = ALL_OFFERED) -> tuple[Said | Exchange, ...]:
    return told(history, offered=tools)


def showing(*history: Message, late_facts: str = "", tools: tuple[str, ...] = ALL_OFFERED) -> Shown:
    return shown(FLOW, asked(*history, late_facts=late_facts, tools=tools), today=date(2026, 12, 1))


def test_the_prompt_stands_alone_so_that_it_can_be_cached() -> None:
    what = showing(late_facts="The caller is Ada.")
    assert what.prompt == "You work for a bank."
    assert what.late == "Today is Tuesday, 2026-12-01."
    assert what.conversation == (Said("user", f"{KNOWN_ADA}\nWhat is my balance?"),)


def test_all_calls_share_the_cache_of_a_phase() -> None:
    assert showing().cache == showing(late_facts="The caller is Ada.").cache == "bank:inquiry"


def test_tools_are_offered_in_the_order_of_the_request() -> None:
    assert [tool.name for tool in showing(tools=("say_goodbye", "get_balance")).tools] == ["say_goodbye", "get_balance"]


def test_a_model_that_speaks_first_is_told_that_it_is_its_turn() -> None:
    assert conversation() == (Said("user", "[It is your turn to speak.]"),)
    assert conversation(Message(1, "agent", "Hello, this is the bank.", Epoch(1))) == (
        Said("assistant", "Hello, this is the bank."),
        Said("user", "[It is your turn to speak.]"),
    )


def test_requests_that_came_in_one_reply_are_one_exchange() -> None:
    assert conversation(
        Message(3, "tool_request", '{"account": "7"}', Epoch(1), "a", "get_balance"),
        Message(4, "tool_request", "{}", Epoch(1), "b", "list_accounts"),
        Message(5, "caller", "Hurry up.", Epoch(1)),
        Message(6, "tool_result", '"no"', Epoch(1), "b", "list_accounts", failed=True),
        Message(7, "tool_result", '{"balance": "12.00"}', Epoch(1), "a", "get_balance"),
    ) == (
        Exchange(
            (
                ToolUse(
                    "call00003", "get_balance", {"account": "7"}, '{"account": "7"}', '{"balance": "12.00"}', False
                ),
                ToolUse("call00004", "list_accounts", {}, "{}", '"no"', True),
            )
        ),
        Said("user", "Hurry up."),
    )


def test_a_result_without_its_request_is_told_in_words() -> None:
    result = Message(9, "tool_result", '{"balance": "12.00"}', Epoch(1), "a", "get_balance")
    assert conversation(result) == (Said("user", '[Earlier, get_balance returned: {"balance": "12.00"}]'),)


def test_a_second_result_of_one_request_is_told_in_words() -> None:
    request = Message(1, "tool_request", "{}", Epoch(1), "a", "list_accounts")
    results = [Message(number, "tool_result", f"[{number}]", Epoch(1), "a", "list_accounts") for number in (2, 3)]
    exchange, words = conversation(request, *results)
    assert isinstance(exchange, Exchange)
    assert exchange.uses[0].result == "[2]"
    assert words == Said("user", "[Earlier, list_accounts returned: [3]]")


def test_an_exchange_of_a_phase_that_was_left_is_told_in_words() -> None:
    history = (
        Message(1, "tool_request", '{"account": "7"}', Epoch(1), "a", "get_balance"),
        Message(2, "tool_result", '"unknown account"', Epoch(1), "a", "get_balance", failed=True),
        Message(3, "caller", "And now?", Epoch(2)),
    )
    assert conversation(*history, tools=("say_goodbye",)) == (
        Said("user", '[Earlier, get_balance({"account": "7"}) failed: "unknown account"]\nAnd now?'),
    )


def test_a_request_without_a_result_is_told_in_words() -> None:
    (_, words) = conversation(
        Message(1, "agent", "Let me see.", Epoch(1)),
        Message(2, "tool_request", "{}", Epoch(1), "a", "list_accounts"),
    )
    assert words == Said("user", "[You asked for list_accounts({}); there is no result yet.]")


def test_a_note_is_told_as_it_is() -> None:
    (words,) = conversation(CALLER_ASKS, Message(2, "note", "[get_balance, begun earlier, has ended: 12]", Epoch(1)))
    assert words == Said("user", "What is my balance?\n[get_balance, begun earlier, has ended: 12]")


def test_what_was_shown_stays_the_beginning_of_what_is_shown_next() -> None:
    history = (
        CALLER_ASKS,
        Message(2, "tool_request", "{}", Epoch(1), "a", "list_accounts"),
        Message(3, "tool_result", "[]", Epoch(1), "a", "list_accounts"),
    )
    before = conversation(*history)
    after = conversation(
        *history, Message(4, "agent", "You have none.", Epoch(1)), Message(5, "caller", "Oh.", Epoch(1))
    )
    assert after[: len(before)] == before


@given(history=histories().filter(bool))
def test_no_word_and_no_result_is_lost(history: tuple[Message, ...]) -> None:
    history = tuple(replace(message, text=f"words{message.number}") for message in history)
    everything = json.dumps([astuple(entry) for entry in conversation(*history)])
    for message in history:
        assert everything.count(message.text) == (message.role != "tool_request")


@given(history=histories(), offered=st.sets(st.sampled_from(ALL_OFFERED)))
def test_the_parties_take_turns_and_the_model_is_never_last(history: tuple[Message, ...], offered: set[str]) -> None:
    entries = told(history, offered=offered)
    words = [entry.party if isinstance(entry, Said) else "exchange" for entry in entries]
    assert words
    assert words[-1] != "assistant"
    assert not any(first == second != "exchange" for first, second in pairwise(words))
    assert all(entry.text.strip() for entry in entries if isinstance(entry, Said))
    assert all(use.tool in offered for entry in entries if isinstance(entry, Exchange) for use in entry.uses)
