"""Sounds as numbers: read, trimmed to what can be heard of them, made equally loud."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from voiceagent.audio import read_wav
from voiceagent.ports import AudioFormat
from voiceagent.speech.samples import from_bytes, resample

if TYPE_CHECKING:
    from voiceagent.speech.samples import Samples

__all__ = ["PER_MS", "RATE_HZ", "extent_ms", "piece", "read", "silence"]

RATE_HZ = 8_000
PER_MS = RATE_HZ // 1_000
_LOUDNESS = 0.1
"""Root mean square of speech on every clip: -20 dBFS, before noise and codec."""
_VOICED_BELOW_PEAK, _HISS_BELOW_PEAK = 0.02, 0.05
"""34 dB below the loudest 10 ms: the last sound of a word is above it. A recording's hiss may be above it too, up to
26 dB below; then what is 8 dB above the hiss counts."""
_ABOVE_HISS = 2.5


def silence(ms: int) -> Samples:
    """Return so much silence."""
    import numpy as np

    return np.zeros(ms * PER_MS, np.float32)


def extent_ms(samples: Samples) -> tuple[int, int]:
    """Return where the first sound begins and the last one ends, to 10 ms."""
    import numpy as np

    window = 10 * PER_MS
    cut = samples[: len(samples) // window * window].reshape(-1, window)
    level = np.pad(np.sqrt((cut**2).mean(axis=1)), 1)
    level = np.median(np.stack([level[:-2], level[1:-1], level[2:]]), axis=0)  # a click is no sound of a word
    loudest, hiss = level.max(initial=0.0), np.percentile(level, 5)
    least = np.clip(hiss * _ABOVE_HISS, loudest * _VOICED_BELOW_PEAK, loudest * _HISS_BELOW_PEAK)
    voiced = np.flatnonzero(level > least)
    return (int(voiced[0]) * 10, (int(voiced[-1]) + 1) * 10) if len(voiced) else (0, 0)


def piece(samples: Samples) -> Samples:
    """Return the sound of it only, at the loudness of all clips."""
    import numpy as np

    begin_ms, end_ms = extent_ms(samples)
    sound = samples[begin_ms * PER_MS : end_ms * PER_MS]
    return (sound * (_LOUDNESS / max(1e-6, float(np.sqrt((sound**2).mean()))))).astype(np.float32)


def read(path: Path, raw_hz: int = RATE_HZ) -> Samples:
    """Return the samples of a wave file, or of a raw one of this rate, at the telephone's rate."""
    pcm, rate_hz = (path.read_bytes(), raw_hz) if path.suffix == ".raw" else read_wav(path)
    return resample(from_bytes(pcm[: len(pcm) // 2 * 2], AudioFormat("pcm16", rate_hz)), from_hz=rate_hz, to_hz=RATE_HZ)
