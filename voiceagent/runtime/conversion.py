"""Conversion: audio from the form that one side speaks to the one that the other side hears, as it streams by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from voiceagent.audio import from_pcm16, to_pcm16
from voiceagent.errors import MissingExtra
from voiceagent.ports import AudioFormat

if TYPE_CHECKING:
    import soxr

__all__ = ["Converter"]


class Converter:
    """One stream of audio, in whole samples. Bytes pass untouched where both sides speak the same format."""

    def __init__(self, source: AudioFormat, target: AudioFormat) -> None:
        """Raises MissingExtra where the rates differ and soxr is not installed."""
        self._source = source
        self._target = target
        self._rates: soxr.ResampleStream | None = None
        self._odd = b""
        """Half of a 16-bit sample, whose other half is in the next piece."""
        if source.rate_hz != target.rate_hz:
            self._rates = _resampler(source.rate_hz, target.rate_hz)

    def feed(self, audio: bytes) -> bytes:
        """Return the next piece; a resampler keeps the last few milliseconds back until `end`."""
        if self._source == self._target:
            return self._whole(audio)
        return self._convert(audio, last=False)

    def end(self) -> bytes:
        """Return what was kept back; nothing may follow."""
        return self._convert(b"", last=True) if self._rates is not None else b""

    def _convert(self, audio: bytes, *, last: bool) -> bytes:
        pcm = to_pcm16(self._whole(audio), self._source.encoding)
        if self._rates is not None:
            import numpy as np

            pcm = self._rates.resample_chunk(np.frombuffer(pcm, "<i2"), last=last).astype("<i2").tobytes()
        return from_pcm16(pcm, self._target.encoding)

    def _whole(self, audio: bytes) -> bytes:
        """Return the audio up to its last whole sample: half of one would shift all that is sent behind it."""
        if self._odd:
            audio = self._odd + audio
        cut = len(audio) - len(audio) % self._source.sample_bytes
        self._odd = audio[cut:]
        return audio[:cut]


def _resampler(from_hz: int, to_hz: int) -> soxr.ResampleStream:
    try:
        import soxr
    except ImportError as exc:
        raise MissingExtra(f"a voice at {from_hz} Hz on a line at {to_hz} Hz", extra="resampling") from exc
    # A better filter waits for more of the future. "QQ" waits for nothing, and going up there is nothing to fold back;
    # going down, "LQ" keeps what a telephone cannot carry out of it and delays a reply's first sound by 40 ms
    # (soxr 1.1: 24 to 8 kHz; "MQ" 75 ms; 8 to 16 kHz: "QQ" 0, "LQ" 61, "MQ" 118 ms).
    quality = "QQ" if to_hz > from_hz else "LQ"
    return soxr.ResampleStream(from_hz, to_hz, 1, dtype="int16", quality=quality)
