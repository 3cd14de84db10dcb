"""What can be said about 16-bit audio without hearing it: how loud, how long, which channel."""

from __future__ import annotations

import math
import sys
from array import array
from operator import mul

from voiceagent.audio.g711 import mulaw_power

__all__ = [
    "SILENCE_DBFS",
    "duration_ms",
    "half_as_loud",
    "interleave",
    "level_dbfs",
    "mulaw_level_dbfs",
    "pad_to_multiple",
    "split_channels",
]

SILENCE_DBFS = -96.0
"""The level of digital silence: the range of 16 bits."""

_FULL_SCALE = 32768


def _samples(pcm: bytes) -> array[int]:
    samples = array("h", pcm)
    if sys.byteorder == "big":
        samples.byteswap()
    return samples


def level_dbfs(pcm: bytes) -> float:
    """Return the RMS level of 16-bit little-endian audio, SILENCE_DBFS..0; a full sine has -3."""
    samples = _samples(pcm)
    return _dbfs(sum(map(mul, samples, samples)), len(samples))


def mulaw_level_dbfs(codes: bytes) -> float:
    """Return what `level_dbfs` says of µ-law audio once it is decoded, for a third of the price."""
    return _dbfs(mulaw_power(codes), len(codes))


def _dbfs(power: int, count: int) -> float:
    return max(SILENCE_DBFS, 10 * math.log10(power / count / _FULL_SCALE**2)) if power else SILENCE_DBFS


def duration_ms(audio: bytes, *, rate_hz: int, sample_bytes: int = 2) -> int:
    """Return how long mono audio lasts, in whole milliseconds, rounded down."""
    return len(audio) * 1000 // (rate_hz * sample_bytes)


def pad_to_multiple(audio: bytes, size_bytes: int, *, silence: int = 0) -> bytes:
    """Return `audio` filled up with `silence` bytes to a whole multiple of `size_bytes`."""
    missing = -len(audio) % size_bytes
    return audio + bytes([silence]) * missing if missing else audio


def half_as_loud(pcm: bytes) -> bytes:
    """Return 16-bit little-endian audio at half its amplitude, 6 dB softer."""
    samples = _samples(pcm)
    softer = array("h", [sample // 2 for sample in samples])
    if sys.byteorder == "big":
        softer.byteswap()
    return softer.tobytes()


def interleave(left: bytes, right: bytes) -> bytes:
    """Return 16-bit stereo from two mono channels; the shorter one ends in silence."""
    length = max(len(left), len(right))
    stereo = array("h", bytes(2 * length))
    stereo[0::2] = array("h", left.ljust(length, b"\0"))
    stereo[1::2] = array("h", right.ljust(length, b"\0"))
    return stereo.tobytes()


def split_channels(stereo: bytes) -> tuple[bytes, bytes]:
    """Return the left and the right channel of 16-bit stereo audio."""
    samples = array("h", stereo)
    return samples[0::2].tobytes(), samples[1::2].tobytes()
