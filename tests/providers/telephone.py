"""A caller's telephone in real time, in any audio format, and sentences that can be told apart by their sound.

No recognition runs in these tests. So every sentence of the caller is a tone of its own: it comes through G.711 and
through resampling, and whoever hears it, the agent's recognizer or a provider, knows its words.
"""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from itertools import groupby

import numpy as np

from voiceagent.audio import FRAME_MS
from voiceagent.ports import AudioFormat, Clock, LegFeatures, Transcript
from voiceagent.speech.samples import encoded, pcm16_of
from voiceagent.telephony.codec import (
    Answer,
    ClearAudio,
    Command,
    HangUp,
    Mark,
    Media,
    PlayAudio,
    Refused,
    SetMark,
    Started,
    Stopped,
    WireEvent,
)
from voiceagent.telephony.pacing import silence_byte

__all__ = ["Ears", "Recognizer", "Sentences", "Telephone", "TelephoneDialect"]

_WINDOW_MS = 20
_LOWEST_HZ = 350
_APART_HZ = 150
_PEAK = 9_000
_AUDIBLE = 500
"""Of 32768, as a mean: far below a tone, far above what a resampler leaves of silence."""
_CLEAR = 2_000
"""A third of a window: with less of a tone it could be taken for its neighbour."""
_SENTENCE_MS = 600


class Sentences:
    """What the caller may say, each as a tone."""

    def __init__(self, *words: str, marked: str = "") -> None:
        """`marked` are the words of what is no tone, e.g. of samples that each tell their place."""
        self._words = words
        self._marked = marked

    def audio(self, words: str, audio: AudioFormat) -> bytes:
        """Return the tone of a sentence."""
        hz = _LOWEST_HZ + _APART_HZ * self._words.index(words)
        samples = np.arange(_SENTENCE_MS * audio.rate_hz // 1_000)
        tone = _PEAK * np.sin(2 * np.pi * hz * samples / audio.rate_hz)
        return encoded(tone.astype("<i2").tobytes(), audio)

    def heard_in(self, pcm: bytes, rate_hz: int) -> list[str]:
        """Return the sentences of which anything at all can be made out, in their order."""
        return [words for words, _ in groupby(self._windows(pcm, rate_hz)) if words is not None]

    def in_one(self, pcm: bytes, rate_hz: int) -> str:
        """Return the words of one utterance."""
        windows = [words for words in self._windows(pcm, rate_hz) if words is not None]
        return max(windows, key=windows.count, default="")

    def _windows(self, pcm: bytes, rate_hz: int) -> Iterator[str | None]:
        size = rate_hz // 1_000 * _WINDOW_MS
        samples = np.frombuffer(pcm[: len(pcm) // (2 * size) * 2 * size], "<i2").astype(np.float64)
        for window in samples.reshape(-1, size):
            if np.abs(window).mean() < _CLEAR:
                yield None
                continue
            hz = int(np.abs(np.fft.rfft(window)).argmax()) * rate_hz / size
            number = round((hz - _LOWEST_HZ) / _APART_HZ)
            yield self._words[number] if 0 <= number < len(self._words) else self._marked


class Ears:
    """How a provider hears: it knows when the caller has finished, and what they have said."""

    def __init__(self, sentences: Sentences, rate_hz: int, *, over_after_ms: int = 300) -> None:
        self._sentences = sentences
        self._rate_hz = rate_hz
        self._over_after_ms = over_after_ms
        self._pending = b""
        self._turn = b""
        self._silent_ms = 0

    def hear(self, pcm: bytes) -> list[str]:
        """Take the next audio; return the words of every turn that has ended in it."""
        self._pending += pcm
        size = self._rate_hz // 1_000 * _WINDOW_MS * 2
        turns: list[str] = []
        while len(self._pending) >= size:
            window, self._pending = self._pending[:size], self._pending[size:]
            if np.abs(np.frombuffer(window, "<i2").astype(np.int32)).mean() >= _AUDIBLE:
                self._turn += window
                self._silent_ms = 0
            elif self._turn:
                self._silent_ms += _WINDOW_MS
                if self._silent_ms >= self._over_after_ms:
                    turns.append(self._sentences.in_one(self._turn, self._rate_hz))
                    self._turn, self._silent_ms = b"", 0
        return turns

    @property
    def hearing(self) -> bool:
        """Whether the caller is speaking."""
        return bool(self._turn)


class Recognizer:
    """The agent's own recognizer: it knows the same tones. Fulfils `RecognizerEngine`."""

    healthy = True

    def __init__(self, sentences: Sentences) -> None:
        self._sentences = sentences
        self._format: AudioFormat

    def open(self, audio: AudioFormat, *, locale: str) -> Recognizer:
        del locale
        self._format = audio
        return self

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        del hints
        words = self._sentences.in_one(pcm16_of(audio, self._format), self._format.rate_hz)
        return Transcript(words, confidence=1.0)

    def close(self) -> None:
        """Nothing is held."""


class TelephoneDialect:
    """The codec of a line that carries audio as it is, in binary messages."""

    features = LegFeatures(
        dialect="telephone",
        clear=True,
        marks=True,
        marks_return_on_clear=True,
        digits_out="no",
        transfer="no",
        hang_up="close",
        digits_in="no",
        position="marks",
        stop_reason=False,
    )
    buffer_ms = 60_000

    def __init__(self, audio: AudioFormat) -> None:
        self._audio = audio

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        return (self._read(message),)

    def _read(self, message: str | bytes) -> WireEvent:
        if isinstance(message, bytes):
            return Media(message)
        match json.loads(message):
            case {"mark": str(name)}:
                return Mark(name)
            case "start":
                return Started("stream", "call", "+15550100", "+15550199", {}, self._audio, self._audio)
            case "stop":
                return Stopped("caller hung up")
            case _:
                return Refused("unknown")

    def send(self, command: Command) -> Sequence[str | bytes]:
        match command:
            case PlayAudio(audio):
                return (audio,)
            case SetMark(name):
                return (json.dumps({"mark": name}),)
            case ClearAudio():
                return ('"clear"',)
            case Answer() | HangUp():
                return ()


class Telephone:
    """The far side of the line: sends a frame every 20 ms and plays what comes. Fulfils `LegSocket`."""

    def __init__(self, audio: AudioFormat, clock: Clock) -> None:
        self.format = audio
        self._clock = clock
        self._frame_bytes = audio.bytes_per_ms * FRAME_MS
        self._silent = bytes([silence_byte(audio)[0]]) * self._frame_bytes
        self._to_say = bytearray()
        self._said = asyncio.Event()
        self._began_ms = 0
        self._frames = 0
        self._messages: deque[str | bytes] = deque()
        self._arrived = asyncio.Event()
        self._over = ""
        self._stop_frames: Callable[[], None] = lambda: None
        self._free_ms = 0
        """When everything that has come has been heard."""
        self._marks: deque[tuple[int, str]] = deque()
        self._stop_marks: Callable[[], None] = lambda: None
        self.heard = bytearray()
        """All of the agent's audio that has come, cut off or not."""

    # --- the caller ---

    def dial(self) -> None:
        self._began_ms = self._clock.now_ms()
        self._send('"start"')
        self._beat()

    async def says(self, audio: bytes) -> None:
        """Say this, after what is being said; returns when its last frame has been sent."""
        self._to_say += audio + self._silent[: -len(audio) % self._frame_bytes]
        self._said.clear()
        await self._said.wait()

    @property
    def quiet(self) -> bool:
        """Whether everything that has come has been heard."""
        return self._clock.now_ms() >= self._free_ms and not self._marks

    def hang_up(self) -> None:
        self._send('"stop"')
        self._end("connection closed (1000)")

    # --- the line ---

    def _beat(self) -> None:
        # A machine that was busy sends what it owes: a line loses no frames.
        while self._frames < (self._clock.now_ms() - self._began_ms) // FRAME_MS:
            self._frames += 1
            frame = bytes(self._to_say[: self._frame_bytes]) or self._silent
            del self._to_say[: self._frame_bytes]
            self._send(frame)
        if not self._to_say:
            self._said.set()
        if not self._over:
            self._stop_frames = self._clock.call_at(self._began_ms + (self._frames + 1) * FRAME_MS, self._beat)

    def _send(self, message: str | bytes) -> None:
        if not self._over:
            self._messages.append(message)
            self._arrived.set()

    def _end(self, reason: str) -> None:
        self._over = self._over or reason
        self._stop_frames()
        self._stop_marks()
        self._said.set()
        self._arrived.set()

    # --- the agent's end ---

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while self._messages or not self._over:
            if self._messages:
                yield self._messages.popleft()
            else:
                self._arrived.clear()
                await self._arrived.wait()

    def write(self, message: str | bytes) -> None:
        if isinstance(message, bytes):
            self.heard += message
            self._free_ms = max(self._free_ms, self._clock.now_ms()) + len(message) // self.format.bytes_per_ms
            return
        match json.loads(message):
            case {"mark": str(name)}:
                self._marks.append((self._free_ms, name))
            case "clear":
                self._free_ms = self._clock.now_ms()
                self._marks = deque((0, name) for _, name in self._marks)
            case other:
                raise AssertionError(other)
        self._tell_marks()

    def _tell_marks(self) -> None:
        self._stop_marks()
        while self._marks and self._marks[0][0] <= self._clock.now_ms():
            self._send(json.dumps({"mark": self._marks.popleft()[1]}))
        if self._marks and not self._over:
            self._stop_marks = self._clock.call_at(self._marks[0][0], self._tell_marks)

    unsent_bytes = 0
    closed_in_order = False

    @property
    def end(self) -> str:
        return self._over

    async def close(self, code: int, reason: str) -> None:
        self._end(f"connection closed ({code}) {reason}".rstrip())

    def abort(self) -> None:
        self._end("connection lost (1006)")
