"""Calls whose model, ears or mouth fail: they are never silent, and end politely."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from tests.runtime.desk_calls import GREETING, Never, Recognizer, asks, desk, greeted, lines
from voiceagent.core import events as ev
from voiceagent.core.effects import ReportProblem
from voiceagent.errors import VoiceFailed
from voiceagent.ports import AudioFormat, ReplyDone, SentText, SpeechOff, SpeechOn
from voiceagent.speech import EnergyVad
from voiceagent.testing import say

# --- models that fail -------------------------------------------------------------------------------------------------


def test_a_model_that_fails_once_is_asked_again_after_an_apology(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    model = lines(RuntimeError("boom"), say("It is ten."))
    (line,) = exchange.serve(scenario, desk(), lines=model, heard="what time is it")
    assert line.spoken == [GREETING, line.flow.phrases.apology, "It is ten."]
    assert line.all(ev.ReplyFailed)[0].reason == "RuntimeError"


def test_a_model_that_always_fails_ends_the_call_politely(exchange: Any, caplog: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(12_000)
        await line.over()

    failing = lines(VoiceFailed("the reply has a hole in it"))
    (line,) = exchange.serve(scenario, desk(), lines=failing, heard="what time is it")
    assert line.spoken == [GREETING, line.flow.phrases.apology, line.flow.phrases.not_available]
    assert "an engine failed: the reply has a hole in it" in caplog.text
    assert line.ended.startswith("voice failed")


def test_a_model_that_never_begins_is_given_up(exchange: Any) -> None:
    async def silent():
        await asyncio.Event().wait()
        yield ReplyDone()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(30_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(silent, say("It is ten.")), heard=["what time is it"])
    assert "It is ten." in line.spoken


def test_a_model_that_stalls_in_the_middle_does_not_silence_the_call(exchange: Any) -> None:
    async def stalling():
        yield SentText("It is. ")
        await asyncio.Event().wait()
        yield ReplyDone()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(20_000)

    (line,) = exchange.serve(scenario, desk(), lines=lines(stalling, say("It is ten.")), heard=["what time is it"])
    assert line.all(ReportProblem)[0].reason == "the model did not answer in time"
    assert line.spoken[-1] == "It is ten."


def test_a_model_that_breaks_off_does_not_silence_the_call(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    model = lines([SentText("It is. ")], say("It is ten."))
    (line,) = exchange.serve(scenario, desk(), lines=model, heard=["what time is it"])
    assert line.all(ev.ReplyFailed)[0].reason == "the model broke off"
    assert line.spoken[-1] == "It is ten."


# --- ears that fail ---------------------------------------------------------------------------------------------------


async def breaks(*_: Any, **__: Any) -> Any:
    raise RuntimeError("boom")


@pytest.mark.parametrize("transcribe", [breaks, Never()], ids=["raises", "hangs"])
def test_a_caller_the_recognizer_fails_is_asked_to_say_it_again(exchange: Any, transcribe: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says(1_000)
        await line.waits(8_000)

    engines = {"recognizer": Recognizer(transcribe)}
    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines=engines)
    assert line.spoken[1] == "Sorry, could you say that again?"
    assert line.ended == "caller hung up"


def test_a_transcript_without_an_end_is_cut_between_words(exchange: Any) -> None:
    (line,) = exchange.serve(asks, desk(), lines=lines(say("I see.")), heard=["never " * 50_000])
    (transcript,) = line.all(ev.TranscriptFinal)
    assert 990 <= len(transcript.text) <= 1_000
    assert set(transcript.text.split()) == {"never"}


class BrokenVad:
    """Fails in the middle of the call."""

    def open(self, audio: Any, **_: Any) -> BrokenVad:
        return self

    def feed(self, audio: bytes) -> Any:
        raise RuntimeError("boom")

    def close(self) -> None:
        """Nothing is held."""


def test_ears_that_break_end_the_call_with_an_apology(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(6_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines={"vad": BrokenVad()})
    assert line.ended == "internal error"
    assert line.leg.played["apology"] == len(line.flow.phrases.apology) * 65 * 8
    assert line.leg.hang_ups[0] == "drained"


class LateVad:
    """Tells what it decides, by loudness, a moment after it was fed; and knows of how many calls it was to forget."""

    def __init__(self) -> None:
        self.closed = 0

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> LateVad:
        assert later is not None
        self._later = later
        self._handle = EnergyVad().open(audio)
        return self

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        for change in self._handle.feed(audio):
            asyncio.get_running_loop().call_soon(self._later, change)
        return ()

    @property
    def audible_since_ms(self) -> int | None:
        return self._handle.audible_since_ms

    def close(self) -> None:
        self.closed += 1


def test_a_voice_detector_may_tell_later_and_forgets_the_call_at_its_end(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await greeted(line)
        await line.says(1_200)
        await line.waits(2_000)

    vad = LateVad()
    (line,) = exchange.serve(scenario, desk(), lines=lines(say("I see.")), heard=["hello there"], engines={"vad": vad})
    assert [transcript.text for transcript in line.all(ev.TranscriptFinal)] == ["hello there"]
    assert vad.closed == 1


# --- a mouth that fails -----------------------------------------------------------------------------------------------


class Synthesizer:
    """Speaks by a function that returns pieces of audio."""

    def __init__(self, speak: Any) -> None:
        self.speak = speak

    def open(self, audio: Any, *, voice: str | None, locale: str, speaking_rate: float | None = None) -> Synthesizer:
        return self

    def close(self) -> None:
        """Nothing is held."""


async def no_voice(text: str) -> Any:
    raise RuntimeError(text)
    yield b""


async def hanging_voice(text: str) -> Any:
    del text
    await asyncio.Event().wait()
    yield b""


@pytest.mark.parametrize("speak", [no_voice, hanging_voice], ids=["raises", "hangs"])
def test_a_call_without_a_voice_is_ended_and_says_why_in_its_record(exchange: Any, speak: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.waits(60_000)
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines={"synthesizer": Synthesizer(speak)})
    assert len(line.all(ev.SpeechFailed)) == 3
    assert line.ended == "speech failed"


class Unopenable:
    """An engine that has no handle for anybody."""

    def open(self, audio: Any, **_: Any) -> Any:
        raise RuntimeError("closed")


def test_an_engine_that_cannot_be_opened_ends_the_call(exchange: Any) -> None:
    async def scenario(line: Any) -> None:
        await line.over()

    (line,) = exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines={"recognizer": Unopenable()})
    assert line.ended == "internal error"
    assert line.leg.hang_ups == ["at once"]


@pytest.mark.parametrize("engine", ["recognizer", "synthesizer"])
def test_a_voice_detector_forgets_a_call_that_another_engine_refuses(exchange: Any, engine: str) -> None:
    async def scenario(line: Any) -> None:
        await line.over()

    vad = LateVad()
    exchange.serve(scenario, desk(), lines=lines(say("Yes?")), engines={"vad": vad, engine: Unopenable()})
    assert vad.closed == 1


def test_e9_a_clause_without_an_end_is_cut_between_words(exchange: Any) -> None:
    endless = lines(say("seven " * 16_000))
    (line,) = exchange.serve(asks, desk(), lines=endless, heard=["what time is it"])
    clauses = [event.text for event in line.all(ev.ReplyText)]
    assert max(map(len, clauses)) <= 1_000
    assert {word for clause in clauses[:-1] for word in clause.split()} == {"seven"}
    assert sum(map(len, clauses)) > 3_900
