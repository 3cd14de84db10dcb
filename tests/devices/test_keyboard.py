"""A typed line goes the way of a spoken one, and what is said to whoever types counts as heard at once."""

from __future__ import annotations

import asyncio

import pytest

from voiceagent.core import events as ev
from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.devices.keyboard import LONGEST_LINE, KeyboardLeg, TypedRecognizer, TypedVoiceActivity
from voiceagent.ports import MULAW_8K
from voiceagent.runtime.ears import Ears
from voiceagent.testing.manual_clock import ManualClock


class Call:
    """What the leg reports to: ears, and whoever understands what they have cut out."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.leg = KeyboardLeg(LegId("keyboard"), self.clock)
        self.events: list[ev.Event] = []
        self.ears = Ears(TypedVoiceActivity().open(MULAW_8K), MULAW_8K, self.clock, self.post)
        self.leg.attach(self)

    def audio_arrived(self, audio: bytes) -> None:
        self.ears.hear(audio)

    def post(self, event: ev.Event) -> None:
        self.events.append(event)

    def types(self, line: str) -> str:
        """Type a line, and return what is understood of it."""
        self.clock.advance(self.leg.begin_line(line))
        self.leg.end_line()
        paused = [event for event in self.events if isinstance(event, ev.CallerPaused)]
        heard = asyncio.run(TypedRecognizer().transcribe(self.ears.take(paused[-1].utterance)))
        return heard.text


@pytest.mark.parametrize(
    "line", ["hello", "a", "Grüß Gott, 7 € 🙂", "y" * LONGEST_LINE, "  spaces at the ends  ", "one\0two"]
)
def test_a_line_is_understood_as_it_was_typed(line: str):
    assert Call().types(line) == line.replace("\0", "").strip()


def test_of_a_line_that_is_too_long_the_beginning_is_understood():
    assert Call().types("z" * (LONGEST_LINE + 1)) == "z" * LONGEST_LINE


@pytest.mark.parametrize("gap_ms", [0, 1, 299, 450, 700, 5_000, 600_000])
def test_lines_stay_apart_and_are_dated_when_they_were_typed(gap_ms: int):
    call = Call()
    assert call.types("the first") == "the first"
    call.clock.advance(gap_ms)
    began_ms = call.clock.now_ms()
    assert call.types("the second") == "the second"
    started = [event for event in call.events if isinstance(event, ev.CallerStartedSpeaking)]
    paused = [event for event in call.events if isinstance(event, ev.CallerPaused)]
    assert abs(started[-1].at_ms - began_ms) <= 1
    assert abs(paused[-1].at_ms - call.clock.now_ms()) <= 1


def test_what_is_said_is_heard_when_it_is_made():
    call = Call()
    said = UtteranceId("a1")
    call.leg.play(said, b"\xff" * MULAW_8K.bytes_per_ms * 40)
    call.leg.end_clause(said, 0, last=False)
    call.leg.play(said, b"\xff" * MULAW_8K.bytes_per_ms * 20)
    call.leg.end_clause(said, 1, last=True)
    call.leg.clear()  # there is nothing left to be silent about
    assert call.events == [
        ev.PlayoutStarted(said, call.clock.now_ms()),
        ev.PlayoutReached(said, 0, 40, False),
        ev.PlayoutReached(said, 1, 60, True),
    ]


def test_what_was_begun_and_is_stopped_has_been_heard_so_far():
    call = Call()
    said = UtteranceId("a1")
    call.leg.play(said, b"\xff" * MULAW_8K.bytes_per_ms * 40)
    call.leg.clear()
    assert call.events[-1] == ev.PlayoutStopped(said, 40, exact=True)
