"""What could be heard on the line, moment by moment, by somebody who listens to both ends of it.

Every moment is in milliseconds of the call's own audio: frame 0 begins at 0, frame 50 at 1000.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voiceagent.audio import FRAME_MS, mulaw_energy

__all__ = [
    "AgentAudioDiscarded",
    "AgentSpeechStarted",
    "AgentSpeechStopped",
    "CallerAudioDiscarded",
    "CallerUtteranceEnded",
    "CallerUtteranceStarted",
    "ClearReceived",
    "Closed",
    "DigitSent",
    "MarkEchoed",
    "MarkReceived",
    "MessageIgnored",
    "SpeechMeter",
    "TimelineEvent",
]


@dataclass(frozen=True, slots=True)
class AgentSpeechStarted:
    """The first frame that is loud enough was played to the caller."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class AgentSpeechStopped:
    """The agent fell silent. `at_ms` is the end of the last loud frame, which is known only later."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class MarkReceived:
    """The agent set a mark behind the audio that it had sent so far."""

    at_ms: int
    name: str


@dataclass(frozen=True, slots=True)
class MarkEchoed:
    """A mark went back: its audio has been played, or was `cleared`."""

    at_ms: int
    name: str
    cleared: bool = False


@dataclass(frozen=True, slots=True)
class ClearReceived:
    """The agent took back what was not yet played."""

    at_ms: int
    dropped_ms: int


@dataclass(frozen=True, slots=True)
class CallerUtteranceStarted:
    """The caller's voice began: the first voiced frame, not the silence before it."""

    at_ms: int
    name: str


@dataclass(frozen=True, slots=True)
class CallerUtteranceEnded:
    """The caller's voice ended: the end of the last voiced frame, not the silence after it."""

    at_ms: int
    name: str


@dataclass(frozen=True, slots=True)
class DigitSent:
    """The caller pressed a key."""

    at_ms: int
    digit: str


@dataclass(frozen=True, slots=True)
class MessageIgnored:
    """The agent sent what no carrier understands. Only the first hundred are listed; all are counted."""

    at_ms: int
    reason: str


@dataclass(frozen=True, slots=True)
class AgentAudioDiscarded:
    """The agent was more than ten minutes ahead of the caller's ear. Listed once."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class CallerAudioDiscarded:
    """The agent did not read its socket, and the caller's words fell on the floor. Listed once."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class Closed:
    """The connection is gone."""

    at_ms: int
    by: Literal["caller", "agent", "carrier", "line"]
    """`carrier`: the agent broke the WebSocket protocol or left pings unanswered. `line`: nobody said goodbye, or
    nobody took the call."""
    code: int | None
    """Of the WebSocket's close frame, where there was one."""
    reason: str


TimelineEvent = (
    AgentSpeechStarted
    | AgentSpeechStopped
    | MarkReceived
    | MarkEchoed
    | ClearReceived
    | CallerUtteranceStarted
    | CallerUtteranceEnded
    | DigitSent
    | MessageIgnored
    | AgentAudioDiscarded
    | CallerAudioDiscarded
    | Closed
)


class SpeechMeter:
    """Tells by loudness, frame by frame, when the agent is speaking; pauses inside a sentence do not count."""

    __slots__ = ("_energy", "_last_loud_ms", "_quiet_ms", "_speaking")

    def __init__(self, *, energy: int, quiet_ms: int) -> None:
        self._energy = energy
        self._quiet_ms = quiet_ms
        self._last_loud_ms = 0
        self._speaking = False

    def hear(self, frame: bytes, at_ms: int) -> AgentSpeechStarted | AgentSpeechStopped | None:
        """Take the µ-law frame that is heard from `at_ms` on and return what it decides."""
        if mulaw_energy(frame) >= self._energy:
            self._last_loud_ms = at_ms + FRAME_MS
            if not self._speaking:
                self._speaking = True
                return AgentSpeechStarted(at_ms)
        elif at_ms + FRAME_MS - self._last_loud_ms >= self._quiet_ms:
            return self.stop()
        return None

    def stop(self) -> AgentSpeechStopped | None:
        """Return the end of speech that is under way: nothing of it can follow, so it need not be waited for."""
        if not self._speaking:
            return None
        self._speaking = False
        return AgentSpeechStopped(self._last_loud_ms)
