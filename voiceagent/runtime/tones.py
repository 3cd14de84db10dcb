"""Tones on the line: looked for in the caller's audio as long as a machine's beep would say something."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.audio import ToneFinder, to_pcm16
from voiceagent.core import events as ev
from voiceagent.ports import AudioFormat, Clock

__all__ = ["LineTones"]


class LineTones:
    """Posts every tone of one call's line while it is listened for; costs nothing otherwise."""

    __slots__ = ("_audio", "_clock", "_finder", "_heard_bytes", "_post")

    def __init__(self, audio: AudioFormat, clock: Clock, post: Callable[[ev.Event], None]) -> None:
        self._audio = audio
        self._clock = clock
        self._post = post
        self._finder: ToneFinder | None = None
        self._heard_bytes = 0

    def listen(self, *, on: bool) -> None:
        """Listen from now on, or no longer."""
        self._finder = ToneFinder(self._audio.rate_hz) if on else None
        self._heard_bytes = 0

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio."""
        if self._finder is None:
            return
        self._heard_bytes += len(audio)
        for tone in self._finder.feed(to_pcm16(audio, self._audio.encoding)):
            ago_ms = self._heard_bytes // self._audio.bytes_per_ms - tone.began_ms
            self._post(ev.ToneHeard(tone.hz, tone.lasted_ms, self._clock.now_ms() - ago_ms))
