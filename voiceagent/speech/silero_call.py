"""One call before Silero: its audio in windows, what the line is like behind the caller, and when a voice is one."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from contextvars import copy_context
from typing import TYPE_CHECKING

from voiceagent.audio import ALAW_SILENCE, MULAW_SILENCE
from voiceagent.ports import AudioFormat, SpeechOff, SpeechOn
from voiceagent.speech.gate import Activity, Audible, Background, VoiceGate
from voiceagent.speech.silero_batch import WINDOW_MS, SileroBatch

if TYPE_CHECKING:
    from voiceagent.speech.samples import Samples

__all__ = ["SileroCall"]

_VOICE = 0.5
_SILENCE = 0.35
_ONSET_MS = 2 * WINDOW_MS

_DIGITAL_SILENCE = 0.0005
"""Loudest sample of a silent window: G.711's steps next to zero (±8 of 32768), with room."""
_SILENT_BYTE = {"mulaw": bytes([MULAW_SILENCE]), "alaw": bytes([ALAW_SILENCE]), "pcm16": b"\0"}
_BACKGROUND_ABOVE_DB = 3.0
"""No louder, it is the background itself: twice as much is wanted before anything that the network says counts."""
_SETTLING_WINDOWS = 8
"""The network hears this much of either (256 ms), so that it ends a word as in any noise, and knows this line's."""
_INAUDIBLE = 0.01
"""40 dB below the voice just heard is no voice: the network's memory outlasts it by up to 0.1 s."""
_LOUDEST_DECAY = 0.97
"""Per window, 8 dB a second: a quiet voice is heard soon after a loud one or a dialled tone."""
_VOICE_ABOVE_DB, _SILENCE_ABOVE_DB = 10.0, 6.0
"""Against the background. A network that was trained to hear voices hears those behind the caller too, a television or
a canteen 15 dB below them, and the caller's turn would never be over."""


class SileroCall:
    """What is heard of one call; fulfils `VadHandle`."""

    __slots__ = (
        "_above_db",
        "_audible",
        "_background",
        "_batch",
        "_closed",
        "_context",
        "_decided",
        "_failure",
        "_feeding",
        "_gate",
        "_later",
        "_loudest",
        "_now_ms",
        "_pending",
        "_quiet_windows",
        "_silence",
        "_silent",
        "_silent_windows",
        "_windows",
        "slot",
    )

    def __init__(
        self,
        batch: SileroBatch,
        audio: AudioFormat,
        *,
        pause_ms: int,
        later: Callable[[SpeechOn | SpeechOff], None] | None,
    ) -> None:
        self._batch = batch
        self._gate = VoiceGate(onset_ms=_ONSET_MS, pause_ms=pause_ms)
        self._later = later
        self._context = copy_context()
        """Of the call: it is told in the round of another, whose name is not to stand in what it logs."""
        self._decided: list[SpeechOn | SpeechOff] = []
        """And returned by `feed`."""
        self._failure: Exception | None = None
        self._closed = False
        self._feeding = False
        self._pending = bytearray()
        self._silence = _SILENT_BYTE[audio.encoding] * (audio.bytes_per_ms * WINDOW_MS)
        self._windows: deque[bytes] = deque()
        self._now_ms = 0
        """Audio time at which the next window begins that is judged."""
        self._audible = Audible()
        self._loudest = _DIGITAL_SILENCE / _INAUDIBLE
        self._background = Background(window_ms=WINDOW_MS)
        self._above_db = 0.0
        """Of the window that is being judged."""
        self._silent = False
        self._silent_windows = 0
        self._quiet_windows = 0
        self.slot = batch.join(live=later is not None)

    # --- for the call ---

    def feed(self, audio: bytes) -> Sequence[SpeechOn | SpeechOff]:
        """Take any length of audio; it is cut into windows of 32 ms here. Raises what the network has failed with."""
        if self._closed:
            return ()
        self._pending += audio
        while len(self._pending) >= len(self._silence):
            window = bytes(self._pending[: len(self._silence)])
            del self._pending[: len(self._silence)]
            if window == self._silence and self._is_silent:
                self._now_ms += WINDOW_MS
                self._loudest *= _LOUDEST_DECAY
            else:
                self._windows.append(window)
        if self.waits:
            self._feeding = True
            try:
                self._have_judged()
            finally:
                self._feeding = False
        if self._failure is not None:
            raise self._failure
        decided, self._decided = self._decided, []
        return decided

    @property
    def audible_since_ms(self) -> int | None:
        """Audio time from which no window was inaudible; those not judged and the one not whole yet are included."""
        since_ms, loudest, begin_ms = self._audible.since_ms, self._loudest, self._now_ms
        for window in self._windows:
            loudness = _loudness(self._batch.samples(window))
            loudest = max(loudness, loudest * _LOUDEST_DECAY)
            if not _is_audible(loudness, loudest):
                since_ms = None
            elif since_ms is None:
                since_ms = begin_ms
            begin_ms += WINDOW_MS
        if since_ms is None and self._pending:
            return begin_ms if _is_audible(_loudness(self._batch.samples(bytes(self._pending))), loudest) else None
        return since_ms

    @property
    def _is_silent(self) -> bool:
        """Whether another window of digital silence would change nothing."""
        return self._silent_windows >= _SETTLING_WINDOWS and not (self._windows or self._gate.on)

    def close(self) -> None:
        """Forget this call: what waits of it is not judged."""
        if not self._closed:
            self._closed = True
            self._batch.leave(self, live=self._later is not None)
            self._later = self._failure = None  # who is told has this, as has where it failed: neither is kept by it

    def _have_judged(self) -> None:
        if self._later is None:
            while self.waits:
                self._batch.judge((self,))
            return
        self._batch.judge_soon(self, windows=len(self._windows))

    # --- for the batch ---

    @property
    def waits(self) -> bool:
        """Whether a window is whole and not judged."""
        return bool(self._windows) and self._failure is None and not self._closed

    def next_window(self) -> bytes:
        """Take the oldest window out."""
        window = self._windows.popleft()
        self._silent_windows = self._silent_windows + 1 if window == self._silence else 0
        return window

    def weighed(self, loudness: float, power: float) -> bool:
        """Hold the window against the line, and say whether the network is to hear it."""
        self._loudest = max(loudness, self._loudest * _LOUDEST_DECAY)
        self._audible.window(audible=_is_audible(loudness, self._loudest), begin_ms=self._now_ms)
        self._above_db = self._background.window(power)
        self._silent = loudness <= _DIGITAL_SILENCE
        if not self._silent and max(self._above_db, self._background.latest_above_db) >= _BACKGROUND_ABOVE_DB:
            self._quiet_windows = 0
        elif self._quiet_windows == _SETTLING_WINDOWS:
            return False
        else:
            self._quiet_windows += 1
        return True

    def judged(self, voice: float | None) -> None:
        """Take the probability of voice in the window, and tell what it decides."""
        if self._closed:
            return  # by another call that was told before it
        begin_ms, self._now_ms = self._now_ms, self._now_ms + WINDOW_MS
        if voice is not None and self._silent and self._quiet_windows == _SETTLING_WINDOWS:
            # Back to how every call begins. Noise may go on where it was left off, but silence says nothing about the
            # voice after it, and a network that has heard it for long was not trained for one either.
            self._batch.forget(self.slot)
        change = self._gate.window(self._activity(voice), begin_ms=begin_ms, end_ms=self._now_ms)
        if change is not None:
            self._tell(change)

    def failed(self, problem: Exception) -> None:
        """Raise it where the call next brings audio: it has to do without a voice detector."""
        self._failure = problem

    def _activity(self, voice: float | None) -> Activity:
        if voice is None or voice < _SILENCE or self._audible.since_ms is None or self._above_db < _SILENCE_ABOVE_DB:
            return "silence"
        return "voice" if voice >= _VOICE and self._above_db >= _VOICE_ABOVE_DB else "unsure"

    def _tell(self, change: SpeechOn | SpeechOff) -> None:
        if self._feeding or self._later is None:
            self._decided.append(change)
            return
        try:
            # A copy is cheap, and what is told may lead back here: no context is entered twice.
            self._context.copy().run(self._later, change)
        except Exception as exc:  # noqa: BLE001 - other calls are judged behind this one
            self._failure = exc


def _is_audible(loudness: float, loudest: float) -> bool:
    return loudness > _DIGITAL_SILENCE and loudness >= loudest * _INAUDIBLE


def _loudness(samples: Samples) -> float:
    return float(abs(samples).max(initial=0.0))
