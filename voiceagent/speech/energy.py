"""Hears that somebody speaks by loudness alone: no model, a few microseconds, works everywhere.

It cannot tell a voice from a sudden hum or a dialled tone; `silero` can. It serves installations
without the extra `local`, load tests, and machines where every microsecond counts.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence

from voiceagent.audio import FRAME_MS, level_dbfs, mulaw_energy
from voiceagent.ports import AudioFormat, SpeechOff, SpeechOn
from voiceagent.speech.gate import Activity, Audible, VoiceGate
from voiceagent.speech.samples import pcm16_of

__all__ = ["EnergyVad"]

_ONSET_MS = 60
"""Shorter sounds are clicks. A syllable is 150 ms and more."""

_VOICE_ABOVE_FLOOR_DB = 12.0
_SILENCE_ABOVE_FLOOR_DB = 7.0
"""Voice starts at the upper one and lasts until the lower, so that a fading word does not flicker."""

_LOWEST_FLOOR_DBFS = -62.0
"""On a line without any noise the codec's own grain would otherwise count as voice."""

_LOUDEST_FLOOR_DBFS = -35.0
"""What a line may hum before anything else was heard: a caller who speaks at once is louder."""

_FLOOR_STEP_FRAMES = 25
_FLOOR_STEPS = 4
"""The floor is the quietest frame of the last 2 s (minimum statistics, R. Martin 2001): nobody
speaks for 2 s without a gap between syllables, whereas noise that lasts 2 s becomes the floor."""

_FULL_SCALE = 32768


class EnergyVad:
    """Voice activity against a noise floor that adapts; fulfils `VadEngine`."""

    def __init__(self, *, pause_ms: int = 200) -> None:
        """`pause_ms` of audio below the threshold end the speech."""
        self._pause_ms = pause_ms

    def open(self, audio: AudioFormat, *, later: Callable[[SpeechOn | SpeechOff], None] | None = None) -> _EnergyHandle:
        """Return a handle for one call; any encoding, any rate. Nothing is left for later."""
        del later
        gate = VoiceGate(onset_ms=_ONSET_MS, pause_ms=self._pause_ms)
        return _EnergyHandle(audio, gate)

    def close(self) -> None:
        """Nothing is held."""


class _EnergyHandle:
    __slots__ = ("_audible", "_floor", "_frame_bytes", "_gate", "_level_dbfs", "_now_ms", "_pending", "_sample_bytes")

    def __init__(self, audio: AudioFormat, gate: VoiceGate) -> None:
        self._level_dbfs = _level_meter(audio)
        self._frame_bytes = audio.bytes_per_ms * FRAME_MS
        self._sample_bytes = audio.sample_bytes
        self._pending = bytearray()
        self._now_ms = 0
        self._floor = _NoiseFloor()
        self._gate = gate
        self._audible = Audible()

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        """Take any length of audio; it is cut into frames of 20 ms here."""
        if len(audio) == self._frame_bytes and not self._pending:  # as nearly all of it comes
            change = self._frame(audio)
            return [] if change is None else [change]
        self._pending += audio
        decided: list[SpeechOn | SpeechOff] = []
        while len(self._pending) >= self._frame_bytes:
            frame = bytes(self._pending[: self._frame_bytes])
            del self._pending[: self._frame_bytes]
            change = self._frame(frame)
            if change is not None:
                decided.append(change)
        return decided

    def _frame(self, frame: bytes) -> SpeechOn | SpeechOff | None:
        begin_ms = self._now_ms
        self._now_ms = end_ms = begin_ms + FRAME_MS
        activity = self._floor.judge(self._level_dbfs(frame))
        self._audible.window(audible=activity != "silence", begin_ms=begin_ms)
        return self._gate.window(activity, begin_ms=begin_ms, end_ms=end_ms)

    @property
    def audible_since_ms(self) -> int | None:
        """Audio time from which no frame was at the noise floor, the one that is not whole yet included."""
        if self._audible.since_ms is not None:
            return self._audible.since_ms
        whole = bytes(self._pending[: len(self._pending) - len(self._pending) % self._sample_bytes])
        audible = bool(whole) and self._floor.compare(self._level_dbfs(whole)) != "silence"
        return self._now_ms if audible else None

    def close(self) -> None:
        """Nothing is held."""


class _NoiseFloor:
    """The level of the line when nobody speaks, in dB below full scale."""

    __slots__ = ("_dbfs", "_frames", "_minima", "_minimum")

    def __init__(self) -> None:
        self._minima = deque([_LOUDEST_FLOOR_DBFS], maxlen=_FLOOR_STEPS)
        self._minimum = 0.0
        self._frames = 0
        self._dbfs = _LOUDEST_FLOOR_DBFS
        """The floor: what the minima come to."""

    def judge(self, level_dbfs: float) -> Activity:
        """Compare one frame with the floor, then let it shape the floor."""
        activity = self.compare(level_dbfs)
        self._learn(level_dbfs)
        return activity

    def compare(self, level_dbfs: float) -> Activity:
        """Compare a level with the floor."""
        above_db = level_dbfs - self._dbfs
        if above_db >= _VOICE_ABOVE_FLOOR_DB:
            return "voice"
        return "unsure" if above_db >= _SILENCE_ABOVE_FLOOR_DB else "silence"

    def _learn(self, level_dbfs: float) -> None:
        self._frames += 1
        if level_dbfs < self._minimum:
            self._minimum = level_dbfs
        elif self._frames < _FLOOR_STEP_FRAMES:
            return
        if self._frames == _FLOOR_STEP_FRAMES:
            self._minima.append(self._minimum)
            self._minimum, self._frames = 0.0, 0
        self._dbfs = max(min(*self._minima, self._minimum), _LOWEST_FLOOR_DBFS)


def _level_meter(audio: AudioFormat) -> Callable[[bytes], float]:
    """Return what measures a frame in dB below full scale."""
    if audio.encoding == "mulaw":
        return _mulaw_dbfs
    return lambda frame: level_dbfs(pcm16_of(frame, audio))


def _mulaw_dbfs(frame: bytes) -> float:
    # Half the price of decoding first; the mean magnitude of a voice is 2 dB below its RMS level.
    return 20 * math.log10(max(mulaw_energy(frame), 1) / _FULL_SCALE)
