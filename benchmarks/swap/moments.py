"""Moments: audio in which every millisecond says whose it is and which one of its side it is.

Eight bytes of µ-law at 8 kHz are one millisecond. So what a session was given says which of the caller's samples it
heard, and what the caller was played says to whose reply every millisecond belongs.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from voiceagent.audio import FRAME_MS
from voiceagent.ports import MULAW_8K, AudioFormat, SpeechOff, SpeechOn
from voiceagent.speech.gate import Audible, VoiceGate

__all__ = [
    "BACKGROUND",
    "BARE",
    "BEHIND",
    "INTO",
    "NEW",
    "OLD",
    "REQUESTS",
    "SPEECH",
    "SPOKEN_INTO",
    "MomentVad",
    "Run",
    "audio_of",
    "is_speech",
    "runs_in",
    "serial_of",
    "tag_of",
]

BACKGROUND = 1
"""The caller says nothing; the line is not silent, so that what is lost of it can be told."""
BEHIND, BARE, SPOKEN_INTO = 2, 3, 4
REQUESTS: dict[int, str] = {BEHIND: "behind", BARE: "bare", SPOKEN_INTO: "into"}
"""Speech that makes the model change the phase → how: behind a sentence of its own, after its last word, or after its
last word while the caller goes on speaking."""
INTO = 5
"""Speech of a caller who goes on speaking while the phase changes."""
SPEECH = frozenset({*REQUESTS, INTO})
OLD, NEW = 1, 2
"""What the model says: before the change, and after it."""

_SHIFT = 32
_SERIAL_SHIFT = 8
_ONSET_MS, _PAUSE_MS = 60, 200


@dataclass(frozen=True, slots=True)
class Run:
    """Milliseconds of one kind that follow each other without a gap."""

    tag: int
    first: int
    last: int

    @property
    def length(self) -> int:
        """How many milliseconds it has."""
        return self.last - self.first + 1


def audio_of(tag: int, first: int, length_ms: int) -> bytes:
    """Return audio of one kind, from its millisecond `first` on."""
    begin = (tag << _SHIFT) + first
    return array("Q", range(begin, begin + length_ms)).tobytes()


def tag_of(part: int, serial: int) -> int:
    """Return the kind of what the model says in its reply of this number."""
    return serial << _SERIAL_SHIFT | part


def serial_of(tag: int) -> tuple[int, int]:
    """Return the part and the number of the reply."""
    return tag & (1 << _SERIAL_SHIFT) - 1, tag >> _SERIAL_SHIFT


def runs_in(audio: bytes) -> Iterator[Run]:
    """Yield what is in this audio, in order."""
    begin = before = None
    for moment in memoryview(audio[: len(audio) // 8 * 8]).cast("Q"):
        if begin is None or before is None:
            begin = moment
        elif moment != before + 1:
            yield _run(begin, before)
            begin = moment
        before = moment
    if begin is not None and before is not None:
        yield _run(begin, before)


def _run(begin: int, end: int) -> Run:
    low = (1 << _SHIFT) - 1
    return Run(begin >> _SHIFT, begin & low, end & low)


def is_speech(runs: Iterable[Run]) -> bool:
    """Whether the caller speaks in any of it."""
    return any(run.tag in SPEECH for run in runs)


class MomentVad:
    """Knows from the audio itself whether the caller speaks; fulfils `VadEngine`."""

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> _Handle:
        """Return a handle for one call on a telephone line. Nothing is left for later."""
        del later
        if audio != MULAW_8K:
            raise ValueError(f"moments are µ-law at 8 kHz, not {audio}")
        return _Handle()

    def close(self) -> None:
        """Nothing is held."""


class _Handle:
    def __init__(self) -> None:
        self._gate = VoiceGate(onset_ms=_ONSET_MS, pause_ms=_PAUSE_MS)
        self._audible = Audible()
        self._at_ms = 0

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        decided: list[SpeechOn | SpeechOff] = []
        size = MULAW_8K.bytes_per_ms * FRAME_MS
        for begin in range(0, len(audio), size):
            activity = "voice" if is_speech(runs_in(audio[begin : begin + size])) else "silence"
            self._audible.window(audible=activity == "voice", begin_ms=self._at_ms)
            change = self._gate.window(activity, begin_ms=self._at_ms, end_ms=self._at_ms + FRAME_MS)
            self._at_ms += FRAME_MS
            if change is not None:
                decided.append(change)
        return decided

    @property
    def audible_since_ms(self) -> int | None:
        """Its lines carry whole frames: nothing is ever left over."""
        return self._audible.since_ms

    def close(self) -> None:
        """Nothing is held."""
