"""When a voice has begun and when it has ended, told from short windows with voice or without."""

from __future__ import annotations

import math
from collections import deque
from typing import Literal

from voiceagent.ports import SpeechOff, SpeechOn

__all__ = ["Activity", "Audible", "Background", "VoiceGate"]

Activity = Literal["voice", "unsure", "silence"]
"""`unsure` neither starts nor ends speech: no part of an onset, and no silence."""

_MOMENT_MS = 192
"""Shorter, other people's syllables stand out from their own babble; longer, the caller's first one does not."""
_REMEMBERED_MS = 3_000
"""Nobody speaks for as long without a gap between two words, in which the background is heard."""
_BEFORE_ANYTHING_DBFS = -40.0
"""What a line may hum or murmur before it was heard: a caller who speaks at once is louder."""
_QUIETEST_DBFS, _LOUDEST_DBFS = -62.0, -30.0
"""The codec's own grain; and what may be background at all, so that a caller who shouts without a gap is heard."""
_NOTHING = 1e-9


class Background:
    """How loud the line is behind the caller: its quietest moment of late (minimum statistics, R. Martin 2001)."""

    __slots__ = ("_number", "_powers", "_quietest", "_remembered")

    def __init__(self, *, window_ms: int) -> None:
        self._powers: deque[float] = deque(maxlen=_MOMENT_MS // window_ms)
        self._remembered = _REMEMBERED_MS // window_ms
        self._number = 0
        self._quietest = deque([(0, _BEFORE_ANYTHING_DBFS)])
        """Levels that are or may yet become the quietest remembered, with their numbers: each is louder than the one
        before it. A minimum over all of them, for every window, would cost more than all the rest of this."""

    def window(self, power: float) -> float:
        """Take the next window's mean square (1 is full scale); returns how many dB it all is above the background."""
        self._powers.append(power)
        level_dbfs = 10 * math.log10(sum(self._powers) / len(self._powers) + _NOTHING)
        quietest = self._quietest
        while quietest and quietest[-1][1] >= level_dbfs:
            quietest.pop()
        self._number += 1
        quietest.append((self._number, level_dbfs))
        if quietest[0][0] <= self._number - self._remembered:
            quietest.popleft()
        return level_dbfs - min(max(quietest[0][1], _QUIETEST_DBFS), _LOUDEST_DBFS)

    @property
    def latest_above_db(self) -> float:
        """How far the latest window by itself is above the background, be that quieter than any codec's grain."""
        return 10 * math.log10(self._powers[-1] + _NOTHING) - min(self._quietest[0][1], _LOUDEST_DBFS)


class VoiceGate:
    """Start after `onset_ms` of unbroken voice, end after `pause_ms` without any."""

    __slots__ = ("_began_ms", "_last_voice_ms", "_onset_ms", "_pause_ms")

    def __init__(self, *, onset_ms: int, pause_ms: int) -> None:
        self._onset_ms = onset_ms
        self._pause_ms = pause_ms
        self._began_ms: int | None = None
        self._last_voice_ms: int | None = None  # None outside speech

    @property
    def on(self) -> bool:
        """Whether speech has started and not ended."""
        return self._last_voice_ms is not None

    def window(self, activity: Activity, *, begin_ms: int, end_ms: int) -> SpeechOn | SpeechOff | None:
        """Take the next window of audio time and return what it decides."""
        if self._last_voice_ms is None:
            if activity == "voice":
                return self._listen(begin_ms=begin_ms, end_ms=end_ms)
            self._began_ms = None
            return None
        if activity != "silence":
            self._last_voice_ms = end_ms
        elif end_ms - self._last_voice_ms >= self._pause_ms:
            ended_ms, self._last_voice_ms = self._last_voice_ms, None
            return SpeechOff(ended_ms)
        return None

    def _listen(self, *, begin_ms: int, end_ms: int) -> SpeechOn | None:
        began_ms = begin_ms if self._began_ms is None else self._began_ms
        if end_ms - began_ms < self._onset_ms:
            self._began_ms = began_ms
            return None
        self._began_ms, self._last_voice_ms = None, end_ms
        return SpeechOn(began_ms)


class Audible:
    """Since when the line has not been silent, window by window."""

    __slots__ = ("since_ms",)

    def __init__(self) -> None:
        self.since_ms: int | None = None
        """Audio time; None while it is silent."""

    def window(self, *, audible: bool, begin_ms: int) -> None:
        """Take the next window."""
        if not audible:
            self.since_ms = None
        elif self.since_ms is None:
            self.since_ms = begin_ms
