"""Fault 4: the synthesizer dies in mid-utterance: another voice goes on, or kept audio says that we are sorry."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.faults.engines import GREETING, TO_A_PERSON, VOICE_TO_HUMAN, Silences, Tongue, desk
from tests.runtime.desk_calls import asks, lines
from voiceagent.core import events as ev
from voiceagent.core.effects import Transfer
from voiceagent.errors import VoiceFailed
from voiceagent.ports import MULAW_8K, AudioFormat, Engines
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.render_ahead import render_ahead
from voiceagent.spec.flow import Flow
from voiceagent.speech import EnergyVad, NullRecognizer, with_fallbacks
from voiceagent.testing import say

ANSWER = "Your balance is two hundred and fifty dollars."


def is_answer(text: str) -> bool:
    return "dollars" in text


def placed(
    exchange: Any, flow: Flow, *tongues: Tongue, reply: Any = None, for_ms: int = 16_000
) -> tuple[Any, Silences]:
    silences = Silences()
    exchange.observers.append(silences)
    engines = with_fallbacks(
        Engines(EnergyVad(), NullRecognizer(), tongues[0]),
        clock=exchange.clock,
        synthesizers=tongues[1:],
    )
    asyncio.run(render_ahead(flow, engines.synthesizer, exchange.learned, MULAW_8K))
    shown: list[Any] = []

    def model(request: Any) -> Any:
        shown.append(request)
        return (reply or lines(say(ANSWER)))(request)

    def has_support(line: Any) -> None:
        line.leg.targets = ("support",)

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(for_ms)

    (line,) = exchange.serve(
        scenario,
        flow,
        lines=model,
        heard=["what is my balance"],
        engines={"synthesizer": engines.synthesizer},
        first=has_support,
    )
    line.shown = shown
    return line, silences


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
def test_another_voice_goes_on_with_the_word_at_which_the_first_broke_off(exchange: Any, hangs: bool) -> None:
    first, second = Tongue(is_answer, dies_after_ms=1_100, hangs=hangs), Tongue()
    line, silences = placed(exchange, desk(), first, second, for_ms=4_000)
    assert second.asked == ["two hundred and fifty dollars."]
    assert not line.all(ev.SpeechFailed)
    assert line.spoken == [GREETING, ANSWER]
    assert silences.longest_ms <= 5_000


@pytest.mark.parametrize("hangs", [False, True], ids=["fails", "hangs"])
def test_without_another_voice_the_apology_is_heard_from_memory_and_a_person_takes_over(
    exchange: Any,
    hangs: bool,
) -> None:
    line, silences = placed(exchange, desk(VOICE_TO_HUMAN), Tongue(lambda _: True, hangs=hangs))
    assert line.spoken == [GREETING, ANSWER, line.flow.phrases.apology, ANSWER, TO_A_PERSON]
    heard = [queued.utterance for queued in line.all(ev.SpeechQueued) if line.leg.played.get(queued.utterance)]
    assert len(heard) == 3, "greeting, apology and last words come from memory"
    assert line.all(Transfer) == [Transfer("support")]
    assert silences.longest_ms <= 5_000


class Closed(Tongue):
    """Takes no call, though it has rendered what is kept."""

    def open(self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None) -> Tongue:
        raise VoiceFailed("closed")


def test_a_voice_that_cannot_be_had_for_a_call_is_left_to_the_next(exchange: Any) -> None:
    second = Tongue()
    line, silences = placed(exchange, desk(), Closed(), second, for_ms=4_000)
    assert second.asked == [ANSWER]
    assert line.spoken == [GREETING, ANSWER]
    assert silences.longest_ms <= 5_000


def test_where_no_voice_can_be_had_what_is_kept_is_heard(exchange: Any) -> None:
    line, silences = placed(exchange, desk(VOICE_TO_HUMAN), Closed())
    assert line.spoken[-1] == TO_A_PERSON
    assert line.all(Transfer) == [Transfer("support")]
    assert silences.longest_ms <= 5_000


def test_where_the_flow_has_no_other_way_the_call_ends_in_words(exchange: Any) -> None:
    line, silences = placed(exchange, desk(), Tongue(lambda _: True))
    phrases = line.flow.phrases
    assert line.spoken == [GREETING, ANSWER, phrases.apology, ANSWER, phrases.not_available]
    assert line.leg.hang_ups[0] == "drained"
    assert line.ended == "speech failed"
    assert silences.longest_ms <= 5_000


def test_only_what_was_played_is_in_the_transcript(exchange: Any) -> None:
    line, _ = placed(exchange, desk(VOICE_TO_HUMAN), Tongue(is_answer, dies_after_ms=1_100))
    told = [message.text for message in line.shown[-1].history if message.role == "agent"]
    assert told == [GREETING, "Your balance is", line.flow.phrases.apology]


def test_nothing_is_said_behind_a_hole(exchange: Any) -> None:
    reply = lines(say(f"Let me see. {ANSWER} Is there anything else?"))
    tongue = Tongue(is_answer)
    line, _ = placed(exchange, desk(VOICE_TO_HUMAN), tongue, reply=reply)
    assert "Is there anything else?" not in tongue.asked
    assert [failed.reason for failed in line.all(ev.SpeechFailed)][1] == "what comes before it could not be said"
    told = [message.text for message in line.shown[-1].history if message.role == "agent"]
    assert told == [GREETING, "Let me see.", line.flow.phrases.apology]


def test_one_failure_in_a_call_is_forgotten_when_a_reply_was_heard_whole(exchange: Any) -> None:
    failed: list[str] = []

    def once(text: str) -> bool:
        if is_answer(text) and not failed:
            failed.append(text)
            return True
        return False

    line, _ = placed(exchange, desk(VOICE_TO_HUMAN), Tongue(once), for_ms=9_000)
    assert line.spoken == [GREETING, ANSWER, line.flow.phrases.apology, ANSWER]
    assert line.ended == "caller hung up"


def test_every_phrase_of_the_framework_is_rendered_before_a_call() -> None:
    async def rendered() -> list[str]:
        tongue = Tongue()
        await render_ahead(desk(), tongue, Learned(), MULAW_8K)
        return tongue.rendered

    flow = desk()
    assert set(flow.phrases.model_dump().values()) <= set(asyncio.run(rendered()))
