"""The seam between carriers: what any of them can tell us about a call, and what we can ask of any of them.

A dialect is a codec without a socket: messages in, wire events out; commands in, messages out. Text messages are `str`,
binary ones `bytes`, in both directions. It keeps what belongs to one connection (the id of the stream, say), reads no
clock and raises nothing whatever it is sent.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from voiceagent.audio import FRAME_MS
from voiceagent.ports import AudioFormat, LegFeatures

__all__ = [
    "Answer",
    "BufferFree",
    "BufferFull",
    "ClearAudio",
    "Command",
    "Dialect",
    "Digit",
    "HangUp",
    "Ignored",
    "Mark",
    "Media",
    "Place",
    "PlayAudio",
    "Refused",
    "SendDigits",
    "SetMark",
    "Started",
    "Stopped",
    "WireEvent",
]


# --- wire events -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Started:
    """The far side has named the call: from here audio flows both ways. Comes once."""

    stream: str
    """The carrier's id of this connection."""
    call: str
    """The carrier's id of the call; a second connection of the same call has the same."""
    caller: str | None
    called: str | None
    parameters: Mapping[str, str]
    """What the dialling application passed along."""
    audio_in: AudioFormat
    audio_out: AudioFormat
    """The two directions may differ: some carriers send what the telephone network chose."""
    frame_ms: int = FRAME_MS
    """What goes out is cut into pieces of whole frames of this length; 100 at most."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where a piece of audio stands: as the carrier has numbered it, or by its time in ms."""

    at: int
    length: int = 1
    """From here to where the next one is expected. More than 1 is by time, which is never quite that."""

    @property
    def slack(self) -> int:
        """So much later than expected it is still the next one."""
        return self.length // 2


@dataclass(frozen=True, slots=True)
class Media:
    """A piece of caller audio, in the format that Started announced."""

    audio: bytes
    place: Place | None = None
    """Where it stands among all of them, where the far side may send them in another order."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A mark has come back: everything before it was played, or dropped by a clear."""

    name: str


@dataclass(frozen=True, slots=True)
class Digit:
    """A key pressed on the telephone: one of `0-9*#A-D`."""

    digit: str


@dataclass(frozen=True, slots=True)
class BufferFull:
    """The far side takes no more audio until it says so; what it has, it plays."""


@dataclass(frozen=True, slots=True)
class BufferFree:
    """The far side takes audio again."""


@dataclass(frozen=True, slots=True)
class Stopped:
    """The far side says the stream is over; its socket closes next."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refused:
    """A message was not what the dialect allows. Nothing came of it but this, which is counted."""

    why: str
    """One of a fixed set of phrases: never what the far side sent."""
    fatal: bool = False
    """The connection cannot become a call, e.g. an audio format that was not agreed."""


@dataclass(frozen=True, slots=True)
class Ignored:
    """A message that is allowed but means nothing to us; counted."""

    why: str


WireEvent = Started | Media | Mark | Digit | BufferFull | BufferFree | Stopped | Refused | Ignored


# --- commands --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class PlayAudio:
    """Play this after everything sent before; whole frames, in the outgoing format."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class SetMark:
    """Send this name back once everything before it has been played."""

    name: str


@dataclass(frozen=True, slots=True)
class ClearAudio:
    """Forget what has not been played yet."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The call is taken: a far side that lets it ring until then answers it."""


@dataclass(frozen=True, slots=True)
class HangUp:
    """End the call, not only the connection; that is closed next."""


@dataclass(frozen=True, slots=True)
class SendDigits:
    """Press these keys towards the far side, one after the other; each one of `0-9*#A-D`."""

    digits: str


Command = PlayAudio | SetMark | ClearAudio | Answer | HangUp | SendDigits


# --- the dialect -----------------------------------------------------------------------------------------------------


class Dialect(Protocol):
    """One connection's codec."""

    @property
    def features(self) -> LegFeatures:
        """What this dialect can do; a command that it has no words for gives no message."""
        ...

    @property
    def buffer_ms(self) -> int:
        """Audio that the far side keeps before it is played; what goes beyond is lost there.

        Speech runs ahead of the ear by half of it at most: where the far side keeps next to nothing, frame by frame.
        """
        ...

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return what a message says; never raises."""
        ...

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Return the messages that carry a command out, in order."""
        ...
