"""The caller's data is there before they ask for it."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.core import effects as fx
from voiceagent.errors import ToolFailed
from voiceagent.testing import After, ScriptedCall, ask_for, say

Place = Callable[..., ScriptedCall]


def test_a_prefetched_answer_needs_no_second_request(authenticated: Place) -> None:
    call = authenticated([say("How can I help?"), ask_for("balance"), say("Twelve fifty.")])
    call.says("What is my balance?")
    assert call.ran("balance") == 1
    assert [served.how for served in call.record.effects(fx.ServeFromCache)] == ["hit"]
    assert call.record.effects(fx.StartTool)[-1].tool == "verify"


def test_a_question_that_comes_before_the_answer_joins_the_fetch_under_way(authenticated: Place) -> None:
    call = authenticated(
        [ask_for("balance"), say("Twelve fifty.")], tools={"balance": After(3_000, {"balance": "12.50"})}
    )
    assert call.ran("balance") == 1
    assert [served.how for served in call.record.effects(fx.ServeFromCache)] == ["joined"]
    assert call.record.fillers == ["One moment."]


def test_an_answer_that_is_too_old_is_fetched_again(authenticated: Place) -> None:
    call = authenticated(
        [
            ask_for("transactions"),
            say("Rent."),
            ask_for("transactions"),
            say("Rent."),
            ask_for("transactions"),
            say("Rent."),
        ]
    )
    call.says("And once more?")
    assert call.ran("transactions") == 1
    for _ in range(12):
        call.run_ms(4_900).coughs()
    call.run_ms(4_000).says("And once more?")
    assert call.ran("transactions") == 2


def test_a_write_makes_what_was_fetched_before_stale(authenticated: Place) -> None:
    call = authenticated(
        [
            say("How can I help?"),
            ask_for("send_money", '{"amount": 5}'),
            say("Sent."),
            ask_for("balance"),
            say("Seven fifty."),
        ]
    )
    call.says("Send five dollars").says("Yes please").says("What is left?")
    assert call.ran("balance") == 2


def test_a_fetch_that_fails_is_not_remembered(authenticated: Place) -> None:
    answers = iter([After(100, ToolFailed("down")), After(100, {"balance": "1"})])
    call = authenticated(
        [say("How can I help?"), ask_for("balance"), say("One dollar.")], tools={"balance": lambda _: next(answers)}
    )
    call.says("What is my balance?")
    assert call.ran("balance") == 2
    assert call.heard[-1] == "One dollar."


def test_nothing_is_fetched_before_the_caller_is_known(place_call: Place) -> None:
    call = place_call().says("My balance please").says("four five one nine two two seven")
    assert call.record.effects(fx.Fetch) == []
