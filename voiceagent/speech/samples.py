"""Between the bytes of a call and the numbers that models hear and speak.

Samples are float32 between -1 and 1, mono. What takes or gives samples needs numpy, once called.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, cast

from voiceagent.audio import from_pcm16, to_pcm16
from voiceagent.ports import AudioFormat
from voiceagent.speech.weights import library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Samples = NDArray[np.float32]

__all__ = ["encoded", "from_bytes", "last_sounds", "pcm16_of", "resample", "sound_in", "to_bytes", "voiced_ms"]

_FULL_SCALE = 32768.0
_VOICED_WINDOW_MS = 10
_VOICED_BELOW_PEAK_DB = 30.0
_VOICED_DBFS = -50.0
_SOUND_BELOW_PEAK_DB = 40.0
"""The breath of an "h" and the end of an "s" are still above this."""
_SOUND_MARGIN_MS = 30


def pcm16_of(audio: bytes, audio_format: AudioFormat) -> bytes:
    """Return the audio as 16-bit samples."""
    return to_pcm16(audio, audio_format.encoding)


def encoded(pcm: bytes, audio_format: AudioFormat) -> bytes:
    """Return 16-bit samples in the format."""
    return from_pcm16(pcm, audio_format.encoding)


def from_bytes(audio: bytes, audio_format: AudioFormat) -> Samples:
    """Decode bytes; a torn last sample is left out."""
    import numpy as np

    if audio_format.encoding == "pcm16":
        return _samples_of(audio)
    return _code_values(audio_format)[np.frombuffer(audio, np.uint8)]


def _samples_of(pcm: bytes) -> Samples:
    import numpy as np

    samples = np.frombuffer(pcm, "<i2", count=len(pcm) // 2)
    return samples.astype(np.float32) / np.float32(_FULL_SCALE)


@lru_cache
def _code_values(audio_format: AudioFormat) -> Samples:
    """Return the sample behind each code of G.711."""
    return _samples_of(pcm16_of(bytes(range(256)), audio_format))


def to_bytes(samples: Samples, audio_format: AudioFormat) -> bytes:
    """Encode samples; what is too loud is clipped."""
    import numpy as np

    loudest = np.float32(_FULL_SCALE - 1)
    scaled = np.clip(samples * loudest, -loudest, loudest)
    return encoded(scaled.astype("<i2").tobytes(), audio_format)


def resample(samples: Samples, *, from_hz: int, to_hz: int) -> Samples:
    """Change the rate of a whole utterance; joining separately resampled pieces would click."""
    if from_hz == to_hz:
        return samples
    return cast("Samples", library("soxr").resample(samples, from_hz, to_hz))


def voiced_ms(samples: Samples, *, rate_hz: int) -> int:
    """Return the time from the first sound to the last one that is not far below the loudest."""
    import numpy as np

    voiced = np.flatnonzero(_sounding(samples, rate_hz=rate_hz, below_peak_db=_VOICED_BELOW_PEAK_DB))
    return int(voiced[-1] - voiced[0] + 1) * _VOICED_WINDOW_MS if len(voiced) else 0


def sound_in(samples: Samples, *, rate_hz: int) -> tuple[int, int]:
    """Return from which sample to which a rendered sentence is heard; twice 0 where nothing is.

    Synthesizers wrap what they say in silence that nobody asked for: a caller would wait for it in every answer.
    """
    import numpy as np

    sounding = np.flatnonzero(_sounding(samples, rate_hz=rate_hz, below_peak_db=_SOUND_BELOW_PEAK_DB))
    if not len(sounding):
        return 0, 0
    window = rate_hz * _VOICED_WINDOW_MS // 1000
    margin = rate_hz * _SOUND_MARGIN_MS // 1000
    first = max(0, int(sounding[0]) * window - margin)
    return first, min(len(samples), (int(sounding[-1]) + 1) * window + margin)


def last_sounds(samples: Samples, ends: Sequence[int], *, rate_hz: int) -> list[int]:
    """Return for each of these ends the sample after the last one that is heard, no earlier than the end before it."""
    sounding = _sounding(samples, rate_hz=rate_hz, below_peak_db=_SOUND_BELOW_PEAK_DB)
    window = rate_hz * _VOICED_WINDOW_MS // 1000
    found: list[int] = []
    for end in ends:
        least = found[-1] if found else 0
        at = min(end // window, len(sounding))
        while at * window > least and not sounding[at - 1]:
            at -= 1
        found.append(max(least, min(end, (at + 1) * window)))
    return found


def _sounding(samples: Samples, *, rate_hz: int, below_peak_db: float) -> NDArray[np.bool_]:
    """Return for every 10 ms whether it is heard, against the loudest of them."""
    import numpy as np

    window = rate_hz * _VOICED_WINDOW_MS // 1000
    windows = samples[: len(samples) // window * window].reshape(-1, window)
    levels = 10 * np.log10(np.mean(np.square(windows), axis=1) + 1e-10)
    return levels > max(levels.max(initial=_VOICED_DBFS) - below_peak_db, _VOICED_DBFS)
