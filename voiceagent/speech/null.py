"""Stands in for ears and mouth: hums instead of speaking, and hears what it was told to hear.

No weights, no waiting: for load tests of everything around the engines, and for tests of a call.
"""

from __future__ import annotations

import math
import struct
from collections.abc import AsyncIterator, Iterator, Sequence
from functools import lru_cache
from itertools import repeat

from voiceagent.language import LANGUAGES
from voiceagent.ports import AudioFormat, Transcript
from voiceagent.spec.prompt import DEFAULT_LOCALE
from voiceagent.speech.samples import encoded

__all__ = ["NULL_HEARS", "NullRecognizer", "NullSynthesizer"]

NULL_HEARS = "Tell me the next thing, please."
"""What every caller of a load test has said."""

_MS_PER_CHARACTER = 65
"""English at an agent's pace: 15 characters a second."""
_HUM_HZ = 200
"""Whole periods at every rate that a telephone or a browser uses."""
_HUM_PEAK = 1000
"""Of 32768: -30 dBFS, audible in a recording."""


class NullRecognizer:
    """Hears given texts in order, each call from the start; fulfils `RecognizerEngine`."""

    def __init__(self, texts: str | Sequence[str] = ()) -> None:
        """One string is heard in every utterance; of a sequence, one item each, then silence."""
        self._texts = texts

    @property
    def healthy(self) -> bool:
        """Nothing can be wrong with it."""
        return True

    @property
    def languages(self) -> Sequence[str]:
        """All there are."""
        return LANGUAGES

    def open(self, audio: AudioFormat, *, locale: str) -> _NullRecognizerHandle:
        """Return a handle that begins with the first text."""
        del audio, locale
        if isinstance(self._texts, str):
            return _NullRecognizerHandle(repeat(self._texts))
        return _NullRecognizerHandle(iter(self._texts))

    def close(self) -> None:
        """Nothing is held."""


class _NullRecognizerHandle:
    def __init__(self, texts: Iterator[str]) -> None:
        self._texts = texts

    async def transcribe(self, audio: bytes, *, hints: Sequence[str] = ()) -> Transcript:
        """Return the next text, whatever was said."""
        del audio, hints
        return Transcript(next(self._texts, ""), confidence=1.0)

    def close(self) -> None:
        """Nothing is held."""


class NullSynthesizer:
    """Hums for as long as a voice would speak; fulfils `SynthesizerEngine`."""

    @property
    def healthy(self) -> bool:
        """Nothing can be wrong with it."""
        return True

    @property
    def languages(self) -> Sequence[str]:
        """All there are."""
        return LANGUAGES

    def open(
        self, audio: AudioFormat, *, voice: str | None, locale: str, speaking_rate: float | None = None
    ) -> _NullSynthesizerHandle:
        """Return a handle; every voice and locale is the same hum, shorter where it is to be fast."""
        del voice, locale
        return _NullSynthesizerHandle(audio, speaking_rate)

    async def render(
        self,
        text: str,
        audio: AudioFormat,
        *,
        voice: str | None,
        locale: str = DEFAULT_LOCALE,
        speaking_rate: float | None = None,
    ) -> bytes:
        """Return the hum for `text`: 65 ms per character at the voice's own rate."""
        del voice, locale
        return _hum(audio, _length_ms(text, speaking_rate))

    def close(self) -> None:
        """Nothing is held."""


class _NullSynthesizerHandle:
    def __init__(self, audio: AudioFormat, speaking_rate: float | None) -> None:
        self._audio = audio
        self._speaking_rate = speaking_rate

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        """Yield the hum for `text` in one piece."""
        del softly
        if text:
            yield _hum(self._audio, _length_ms(text, self._speaking_rate))

    def close(self) -> None:
        """Nothing is held."""


def _length_ms(text: str, speaking_rate: float | None) -> int:
    return round(len(text) * _MS_PER_CHARACTER / (speaking_rate or 1))


@lru_cache(maxsize=256)
def _hum(audio: AudioFormat, length_ms: int) -> bytes:
    period = _period(audio)
    size = audio.bytes_per_ms * length_ms
    return (period * (size // len(period) + 1))[:size]


def _period(audio: AudioFormat) -> bytes:
    count = audio.rate_hz // _HUM_HZ
    samples = [round(_HUM_PEAK * math.sin(math.tau * n / count)) for n in range(count)]
    return encoded(struct.pack(f"<{count}h", *samples), audio)
