"""The simulated line sends frames by the clock, plays what it is sent, and gives marks back when they are heard."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest

from voiceagent.errors import ScriptError
from voiceagent.telephony.codec import ClearAudio, Digit, Mark, Media, PlayAudio, SetMark, Started, Stopped, WireEvent
from voiceagent.telephony.twilio import TwilioDialect
from voiceagent.testing.heard_speech import HeardSpeech
from voiceagent.testing.simulated_line import SimulatedLine
from voiceagent.testing.simulated_speech import SILENT_FRAME, SpokenAudio
from voiceagent.testing.virtual_loop import VirtualClock, VirtualLoop


class Agent:
    """The other end of the line: reads what comes with the server's own dialect."""

    def __init__(self) -> None:
        self.loop = VirtualLoop()
        self.caller, self.speech = SpokenAudio(), SpokenAudio()
        self.line = SimulatedLine(VirtualClock(self.loop), caller=self.caller, heard=HeardSpeech(self.speech))
        self.dialect = TwilioDialect()
        self._came: list[WireEvent] = []
        self._reading = self.loop.create_task(self._read())
        self.line.dial()
        assert isinstance(self.after(0)[-1], Started)

    async def _read(self) -> None:
        async for message in self.line:
            self._came += self.dialect.receive(message)

    def after(self, ms: int) -> list[WireEvent]:
        """Let time pass; return what has come since the last time."""
        self.loop.pass_time(until_ms=self.loop.now_ms + ms)
        came, self._came = self._came, []
        return came

    def close(self) -> None:
        self.line.abort()
        self.after(0)
        assert self._reading.done()
        self.loop.close()

    def send(self, *commands: PlayAudio | SetMark | ClearAudio) -> None:
        for command in commands:
            for message in self.dialect.send(command):
                self.line.write(message)

    def marks_after(self, ms: int) -> list[str]:
        return [event.name for event in self.after(ms) if isinstance(event, Mark)]


def frames(events: list[WireEvent]) -> list[bytes]:
    return [event.audio for event in events if isinstance(event, Media)]


@pytest.fixture
def agent() -> Iterator[Agent]:
    """An agent with a caller on the line."""
    agent = Agent()
    yield agent
    agent.close()


def test_a_frame_comes_every_twenty_milliseconds_speech_or_silence(agent: Agent) -> None:
    agent.line.say("hello there", 90)
    came = frames(agent.after(200))
    assert len(came) == 10
    assert agent.caller.words_in(b"".join(came[:5])) == "hello there"
    assert came[5:] == [SILENT_FRAME] * 5


def test_a_mark_comes_back_when_what_is_before_it_was_heard(agent: Agent) -> None:
    agent.send(PlayAudio(agent.speech.say("one", 300)), SetMark("a"), PlayAudio(agent.speech.say("two", 100)))
    agent.send(SetMark("b"))
    assert agent.marks_after(299) == []
    assert agent.marks_after(1) == ["a"]
    assert not agent.line.quiet
    assert agent.marks_after(100) == ["b"]
    assert agent.line.quiet
    assert agent.speech.words_in(agent.line.heard) == "one two"


def test_after_a_pause_playing_begins_anew(agent: Agent) -> None:
    agent.send(PlayAudio(agent.speech.say("one", 100)))
    agent.after(500)
    agent.send(PlayAudio(agent.speech.say("two", 100)), SetMark("b"))
    assert agent.marks_after(99) == []
    assert agent.marks_after(1) == ["b"]


def test_a_clear_is_silence_and_gives_all_marks_back(agent: Agent) -> None:
    agent.send(PlayAudio(agent.speech.say("one two", 700)), SetMark("a"))
    agent.after(400)
    agent.send(ClearAudio())
    assert agent.marks_after(0) == ["a"]
    agent.send(PlayAudio(agent.speech.say("three", 100)))
    agent.after(100)
    assert agent.speech.words_in(agent.line.heard) == "one three"


HANG_UPS: dict[str, Callable[[SimulatedLine], object]] = {
    "the caller": SimulatedLine.hang_up,
    "a cut": SimulatedLine.abort,
}


@pytest.mark.parametrize("who", HANG_UPS)
def test_a_line_that_is_over_is_silent_and_plays_nothing_more(agent: Agent, who: str) -> None:
    agent.send(PlayAudio(agent.speech.say("one two", 700)), SetMark("a"))
    agent.after(400)
    HANG_UPS[who](agent.line)
    assert [type(event) for event in agent.after(1_000)] == ([Stopped] if who == "the caller" else [])
    assert agent.line.end
    assert agent.speech.words_in(agent.line.heard) == "one"
    assert agent.line.quiet


def test_keys_come_as_they_are_pressed(agent: Agent) -> None:
    agent.line.press("5")
    agent.line.press("#")
    assert agent.after(0) == [Digit("5"), Digit("#")]


def test_what_no_carrier_understands_is_a_mistake(agent: Agent) -> None:
    with pytest.raises(ScriptError, match="the agent has sent NotUnderstood"):
        agent.line.write(json.dumps({"event": "sing"}))
