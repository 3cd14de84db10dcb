"""Replies made ahead: sooner heard where the caller had finished, and without a trace where they go on."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.conversations.conftest import SMALL_BANK
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing import ScriptedCall, ask_for, say

Place = Callable[..., ScriptedCall]

EAGER = SMALL_BANK.model_copy(update={"preemptive_replies": True})


@pytest.fixture
def eager(authenticated: Place) -> Place:
    """A caller who is known, talking to an agent that makes its replies ahead."""
    return lambda lines: authenticated(lines, flow=EAGER)


def asked(call: ScriptedCall) -> Sequence[fx.AskModel]:
    return call.record.effects(fx.AskModel)


def answered_after_ms(call: ScriptedCall, words: str) -> int:
    call.says(words, then_wait=False)
    stopped_ms = call.now_ms
    return call.until(ev.PlayoutStarted).now_ms - stopped_ms


def test_the_answer_is_heard_sooner_by_as_long_as_the_model_thinks(authenticated: Place, eager: Place) -> None:
    slow, quick = (place([say("Yes?"), say("A hundred dollars.")]) for place in (authenticated, eager))
    late_ms, soon_ms = (answered_after_ms(call, "I have a question about my limit") for call in (slow, quick))
    assert soon_ms <= late_ms - 200
    assert asked(quick)[-1].ahead
    assert len(asked(quick)) == len(asked(slow))
    quick.until_quiet()
    assert quick.heard[-1] == "A hundred dollars."
    quick.assert_replays()


def test_a_caller_who_goes_on_hears_nothing_of_what_was_made_for_half_of_it(eager: Place) -> None:
    call = eager([say("Yes?"), say("Never to be heard."), say("It was five dollars.")])
    call.says("I have a question about my account", then_wait=False).until(fx.AskModel)
    assert asked(call)[-1].ahead
    call.says("and about the fee of last week my friend").until_quiet()
    assert call.heard[-1] == "It was five dollars."
    assert "Never to be heard." not in call.heard
    assert "Never" not in " ".join(message.text for message in call.conversation.transcript.messages())
    assert asked(call)[-2].reply in {cancelled.reply for cancelled in call.record.effects(fx.CancelReply)}
    call.assert_replays()


def test_no_tool_runs_for_a_turn_that_is_not_over(eager: Place) -> None:
    call = eager([say("Yes?"), ask_for("transactions"), ask_for("transactions"), say("Two of them.")])
    before = call.ran("transactions")
    call.says("I want to know what I have spent", then_wait=False).until(fx.AskModel)
    assert asked(call)[-1].ahead
    assert call.ran("transactions") == before
    call.says("and what I have earned since last week my friend").until_quiet()
    assert call.heard[-1] == "Two of them."
    assert len(call.record.effects(fx.StartTool)) + len(call.record.effects(fx.ServeFromCache)) >= 1


def test_a_reply_that_fails_ahead_is_asked_for_again_in_its_time_without_an_apology(eager: Place) -> None:
    call = eager([say("Yes?"), say("A hundred dollars.")])
    call.says("I have a question about my limit", then_wait=False).until(fx.AskModel)
    made_ahead = asked(call)[-1]
    call.happens(ev.ReplyFailed(made_ahead.reply, "overloaded")).until_quiet()
    assert not any("sorry" in words for words in call.heard)
    assert not asked(call)[-1].ahead


def test_a_thinking_caller_costs_three_replies_and_no_more(eager: Place) -> None:
    call = eager([say("Yes.") for _ in range(10)])
    before = len(asked(call))
    for _ in range(8):
        call.says("I have a question about my account", then_wait=False).run_ms(450)
    call.until_quiet()
    assert len([ask for ask in asked(call)[before:] if ask.ahead]) == 3


def test_nothing_is_made_ahead_unless_the_flow_wants_it(authenticated: Place) -> None:
    call = authenticated([say("Yes?"), say("A hundred dollars.")])
    call.says("I have a question about my limit")
    assert not any(ask.ahead for ask in asked(call))
