"""Fault 1: the recognizer is connected and says nothing: asked again once, reconnected once, then keys or a person."""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.engines import BY_KEYS, GREETING, TO_A_PERSON, TO_HUMAN, TO_KEYS, Ear, Silences, desk
from tests.runtime.desk_calls import greeted, lines
from voiceagent.core import events as ev
from voiceagent.core.effects import Transfer
from voiceagent.errors import VoiceFailed
from voiceagent.spec.flow import Flow
from voiceagent.speech.chain import RecognizerChain
from voiceagent.testing import say

AGAIN = "Sorry, could you say that again?"


async def says_it_twice(line: Any) -> None:
    await greeted(line)
    await line.says(1_000)
    await line.waits(6_500)
    await line.says(1_000)
    await line.waits(6_500)


def placed(exchange: Any, flow: Flow, *ears: Ear, scenario: Any = says_it_twice) -> tuple[Any, Silences]:
    silences = Silences()
    exchange.observers.append(silences)
    engines = {"recognizer": RecognizerChain(*ears, clock=exchange.clock)}

    def has_support(line: Any) -> None:
        line.leg.targets = ("support",)

    (line,) = exchange.serve(scenario, flow, lines=lines(say("Yes.")), engines=engines, first=has_support)
    return line, silences


@pytest.mark.parametrize("answer", [None, VoiceFailed("broken")], ids=["hangs", "fails"])
def test_a_recognizer_that_never_answers_leads_to_a_person_after_one_reprompt(exchange: Any, answer: Any) -> None:
    ear = Ear(answer)
    line, silences = placed(exchange, desk(TO_HUMAN), ear)
    assert line.spoken == [GREETING, AGAIN, TO_A_PERSON]
    assert line.all(Transfer) == [Transfer("support")]
    assert ear.opened == 2, "it is reconnected once"
    assert silences.longest_ms <= 5_000


def test_the_flow_may_go_on_by_keys(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await says_it_twice(line)
        await line.presses("1")
        await line.waits(4_000)

    line, silences = placed(exchange, desk(TO_KEYS), Ear(None), scenario=scenario)
    assert line.spoken == [GREETING, AGAIN, BY_KEYS, "We are open from nine to five. Goodbye."]
    assert silences.longest_ms <= 5_000


def test_without_any_other_way_the_call_ends_in_words(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await says_it_twice(line)
        await line.waits(6_000)

    line, silences = placed(exchange, desk(), Ear(None), scenario=scenario)
    assert line.spoken == [GREETING, AGAIN, line.flow.phrases.not_available]
    assert line.ended == "the caller cannot be heard"
    assert silences.longest_ms <= 5_000


def test_a_short_word_that_was_lost_is_asked_for_too(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says(300)
        await line.waits(6_000)

    line, _ = placed(exchange, desk(TO_HUMAN), Ear(None), scenario=scenario)
    assert line.spoken[1] == AGAIN


def test_the_next_recognizer_hears_the_same_utterance(exchange: Any) -> None:
    first, second = Ear(None), Ear("what are your opening hours")
    line, silences = placed(exchange, desk(TO_HUMAN), first, second)
    assert [heard.text for heard in line.all(ev.TranscriptFinal)] == ["what are your opening hours"] * 2
    assert AGAIN not in line.spoken
    assert first.asked == 1, "it is asked last once it has failed in a call"
    assert silences.longest_ms <= 5_000


def test_a_recognizer_that_works_again_is_listened_to(exchange: Any) -> None:
    line, _ = placed(exchange, desk(TO_HUMAN), Ear(None, "what are your opening hours"))
    assert line.spoken[1] == AGAIN
    assert line.spoken[-1] == "Yes."
