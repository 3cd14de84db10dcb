"""What a caller in real audio hears, and how long they wait for it; played without audio, on a clock set by hand."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId, Epoch, TurnId, UtteranceId
from voiceagent.errors import ScriptError
from voiceagent.spec.flow import Flow
from voiceagent.testing import CallScript, CallTurn, PutDown, Says
from voiceagent.testing.audio_call import AudioCall
from voiceagent.testing.audio_caller import AudioCaller
from voiceagent.testing.manual_clock import ManualClock
from voiceagent.testing.simulated_tools import SimulatedTools
from voiceagent.testing.stalls import Stalls

ANSWER = UtteranceId("u1")
Happens = Callable[..., None]


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def call(desk: Flow, clock: ManualClock) -> AudioCall:
    def fail(problem: Exception) -> None:
        raise problem

    return AudioCall(desk, SimulatedTools(desk, {}, clock=clock, stalls=Stalls(), failed=fail), clock)


@pytest.fixture
def happens(call: AudioCall) -> Happens:
    """Return a function that lets something happen at an instant, with what the agent does about it."""

    def happen(at_ms: int, event: ev.Event, *effects: fx.Effect) -> None:
        outgoing = tuple(fx.Outgoing(number, Epoch(1), TurnId(1), effect) for number, effect in enumerate(effects))
        call.observe(CallId("c"), at_ms, event, outgoing)

    return happen


def answer(clause: int, text: str) -> fx.Speak:
    return fx.Speak(ANSWER, clause, text, "reply", last=False)


def test_words_are_heard_when_their_share_of_the_audio_is_over(call: AudioCall, happens: Happens) -> None:
    happens(0, ev.TimePassed(), answer(0, "four five"))
    happens(100, ev.SpeechQueued(ANSWER, 0, duration_ms=900))
    happens(110, ev.PlayoutStarted(ANSWER, at_ms=100))
    assert call.voice.heard(0, 499) == ""
    assert call.voice.heard(0, 500) == "four"
    assert call.voice.end_of("four five", 0) == 1_000


def test_a_clause_follows_the_one_before_it(call: AudioCall, happens: Happens) -> None:
    happens(0, ev.TimePassed(), answer(0, "one"), answer(1, "two"))
    happens(50, ev.SpeechQueued(ANSWER, 0, duration_ms=300))
    happens(60, ev.SpeechQueued(ANSWER, 1, duration_ms=300))
    happens(90, ev.PlayoutStarted(ANSWER, at_ms=80))
    assert call.voice.end_of("two", 0) == 680
    happens(400, ev.PlayoutReached(ANSWER, 0, heard_ms=300, finished=False))
    assert call.voice.end_of("two", 0) == 700, "the mark came back later than reckoned"


def test_what_is_cut_off_is_not_heard(call: AudioCall, happens: Happens) -> None:
    happens(0, ev.TimePassed(), answer(0, "one two"), answer(1, "three"))
    happens(0, ev.SpeechQueued(ANSWER, 0, duration_ms=700))
    happens(10, ev.SpeechQueued(ANSWER, 1, duration_ms=500))
    happens(400, ev.TimePassed(), fx.StopPlayout())
    assert call.voice.heard(0, 5_000) == "one"


def test_words_that_could_not_be_spoken_are_not_heard(call: AudioCall, happens: Happens) -> None:
    happens(0, ev.TimePassed(), answer(0, "one"))
    happens(50, ev.SpeechFailed(ANSWER, 0, "stalled"))
    assert call.voice.heard(0, 5_000) == ""


# --- the caller ------------------------------------------------------------------------------------------------------


def caller_of(call: AudioCall, *turns: CallTurn) -> AudioCaller:
    def nobody(event: ev.HostEvent) -> None:
        raise ScriptError(event.name)

    return AudioCaller(CallScript("a call", turns), call, [None] * len(turns), post=nobody)


def test_a_moment_that_does_not_come_ends_the_call(call: AudioCall, clock: ManualClock) -> None:
    caller = caller_of(call, CallTurn(Says("Hello.")))
    assert caller.decide(0) == []
    clock.advance(30_000)
    assert caller.decide(30_000) == [PutDown("the script is over")]
    assert caller.failure is not None
    assert "the call did not come to rest within 30000 ms" in caller.failure.mismatches[0].got


def test_a_tool_without_an_answer_ends_the_call(call: AudioCall) -> None:
    caller = caller_of(call, CallTurn(Says("Hello.")))
    caller.decide(0)
    call.problem = ScriptError("the script has no answer for the tool 'book'")
    assert caller.decide(20) == [PutDown("the script is over")]
    assert caller.failure is not None
    assert "no answer for the tool 'book'" in caller.failure.mismatches[0].got
