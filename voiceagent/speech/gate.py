"""When a voice has begun and when it has ended, told from short windows with voice or without."""

from __future__ import annotations

from typing import Literal

from voiceagent.ports import SpeechOff, SpeechOn

__all__ = ["Activity", "Audible", "VoiceGate"]

Activity = Literal["voice", "unsure", "silence"]
"""`unsure` neither starts nor ends speech: no part of an onset, and no silence."""


class VoiceGate:
    """Start after `onset_ms` of unbroken voice, end after `pause_ms` without any."""

    def __init__(self, *, onset_ms: int, pause_ms: int) -> None:
        self._onset_ms = onset_ms
        self._pause_ms = pause_ms
        self._began_ms: int | None = None
        self._last_voice_ms: int | None = None  # None outside speech

    def window(self, activity: Activity, *, begin_ms: int, end_ms: int) -> SpeechOn | SpeechOff | None:
        """Take the next window of audio time and return what it decides."""
        if self._last_voice_ms is None:
            return self._listen(activity, begin_ms=begin_ms, end_ms=end_ms)
        if activity != "silence":
            self._last_voice_ms = end_ms
        elif end_ms - self._last_voice_ms >= self._pause_ms:
            ended_ms, self._last_voice_ms = self._last_voice_ms, None
            return SpeechOff(ended_ms)
        return None

    def _listen(self, activity: Activity, *, begin_ms: int, end_ms: int) -> SpeechOn | None:
        if activity != "voice":
            self._began_ms = None
            return None
        began_ms = begin_ms if self._began_ms is None else self._began_ms
        if end_ms - began_ms < self._onset_ms:
            self._began_ms = began_ms
            return None
        self._began_ms, self._last_voice_ms = None, end_ms
        return SpeechOn(began_ms)


class Audible:
    """Since when the line has not been silent, window by window."""

    def __init__(self) -> None:
        self.since_ms: int | None = None
        """Audio time; None while it is silent."""

    def window(self, *, audible: bool, begin_ms: int) -> None:
        """Take the next window."""
        if not audible:
            self.since_ms = None
        elif self.since_ms is None:
            self.since_ms = begin_ms
