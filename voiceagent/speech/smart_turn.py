"""Hears whether a caller has finished, by how they say it: Smart Turn v3, from a file that the operator has.

The network (BSD-2, 8.7 MB) comes in the wheel of `pipecat-ai`, which is not needed for it. It hears the last 8 s as
Whisper does (80 mel bands, 10 ms apart) and takes 50 to 150 ms on one thread.
"""

from __future__ import annotations

import math
from concurrent.futures import CancelledError
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from voiceagent.errors import VoiceFailed, WeightsError
from voiceagent.ports import AudioFormat
from voiceagent.speech.samples import from_bytes, resample
from voiceagent.speech.weights import library, sha256_of
from voiceagent.speech.workers import Workers, outcome

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from voiceagent.speech.samples import Samples

    Wide = NDArray[np.float64]

__all__ = ["SmartTurn", "log_mel"]

_RATE_HZ = 16_000
_HEARD_MS = 8_000
_SAMPLES = _HEARD_MS * _RATE_HZ // 1_000
_WINDOW, _HOP, _BANDS = 400, 160, 80
"""Whisper's: 25 ms every 10 ms."""
_LINEAR_BELOW_HZ, _LINEAR_HZ = 1_000.0, 200.0 / 3
_LINEAR_BANDS, _OCTAVE_STEP = 15.0, 27.0 / math.log(6.4)
"""Slaney's mel scale: linear up to 1 kHz, then 27 steps to 6.4 times as much."""
_RANGE_DB = 8.0
"""In powers of ten, below the loudest."""
_BACKLOG = 8
"""Callers who may wait to be judged: a later answer is of no use to any of them."""


class _Session(Protocol):
    """What is used of onnxruntime's InferenceSession."""

    def run(self, outputs: None, feeds: dict[str, Samples]) -> list[Samples]: ...


class SmartTurn:
    """One network and its one thread, for every call of the process; fulfils `EndOfTurn`."""

    def __init__(self, path: Path, *, sha256: str | None = None) -> None:
        """Load the network; blocks. Raises MissingExtra, and WeightsError for what is no such file or another one."""
        found = sha256_of(path)
        if sha256 is not None and found != sha256.casefold():
            raise WeightsError(f"{path} has sha256 {found[:16]}…, expected {sha256[:16]}…")
        self._session = _load(path)
        self._thread = Workers(1, name="smart-turn")
        self._waiting = 0

    async def done(self, audio: bytes, audio_format: AudioFormat) -> float:
        """Return how likely it is that the caller has finished. Raises VoiceFailed."""
        if self._waiting >= _BACKLOG:
            raise VoiceFailed(f"{_BACKLOG} callers wait to be judged already")
        self._waiting += 1
        try:
            return await outcome(self._thread.submit(lambda: self.judge(audio, audio_format)))
        except (CancelledError, RuntimeError) as exc:
            raise VoiceFailed("the end-of-turn model is closed") from exc
        except Exception as exc:  # the adapter boundary: onnxruntime's errors are not documented
            raise VoiceFailed(f"the end-of-turn model failed ({type(exc).__name__})") from exc
        finally:
            self._waiting -= 1

    def judge(self, audio: bytes, audio_format: AudioFormat) -> float:
        """Return the same at once; blocks."""
        whole = audio[-_HEARD_MS * audio_format.bytes_per_ms :]
        samples = resample(from_bytes(whole, audio_format), from_hz=audio_format.rate_hz, to_hz=_RATE_HZ)
        (output,) = self._session.run(None, {"input_features": log_mel(samples)[None]})
        return float(output.reshape(-1)[0])

    def close(self) -> None:
        """Drop what waits; what is under way ends."""
        self._thread.close()


def log_mel(samples: Samples) -> Samples:
    """Return the last 8 s (16 kHz) as Whisper hears them, silence before them where they are fewer: [80, 800]."""
    import numpy as np

    heard = samples[-_SAMPLES:]
    heard = np.pad(heard, (_SAMPLES - len(heard), 0))
    heard = (heard - heard.mean()) / np.sqrt(heard.var() + 1e-7)
    padded = np.pad(heard.astype(np.float64), _WINDOW // 2, mode="reflect")
    windows = np.lib.stride_tricks.sliding_window_view(padded, _WINDOW)[:-1:_HOP]
    hann = np.hanning(_WINDOW + 1)[:-1]
    powers = np.abs(np.fft.rfft(windows * hann, axis=1)) ** 2
    levels = np.log10(np.maximum(_mel_bands() @ powers.T, 1e-10))[:, : _SAMPLES // _HOP]
    levels = np.maximum(levels, levels.max() - _RANGE_DB)
    return ((levels + 4) / 4).astype(np.float32)


@cache
def _mel_bands() -> Wide:
    """Return how much of each frequency is in each band: triangles of the same area, evenly spaced in mel."""
    import numpy as np

    top = _LINEAR_BANDS + math.log(_RATE_HZ / 2 / _LINEAR_BELOW_HZ) * _OCTAVE_STEP
    edges: Wide = np.array([[_hz(top * at / (_BANDS + 1))] for at in range(_BANDS + 2)])
    bins: Wide = np.linspace(0, _RATE_HZ / 2, _WINDOW // 2 + 1)[None]
    rising: Wide = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling: Wide = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    bands: Wide = np.maximum(0.0, np.minimum(rising, falling)) * (2.0 / (edges[2:] - edges[:-2]))
    return bands


def _hz(mel: float) -> float:
    if mel < _LINEAR_BANDS:
        return mel * _LINEAR_HZ
    return _LINEAR_BELOW_HZ * math.exp((mel - _LINEAR_BANDS) / _OCTAVE_STEP)


def _load(path: Path) -> _Session:
    library("numpy")
    library("soxr")
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        names = [taken.name for taken in session.get_inputs()]
    except Exception as exc:  # the adapter boundary: onnxruntime's errors are not documented
        raise WeightsError(f"{path} is no network that onnxruntime can load ({type(exc).__name__})") from exc
    if names != ["input_features"]:
        raise WeightsError(f"{path} is no Smart Turn v3: it wants {', '.join(names)} instead of input_features")
    return cast("_Session", session)
