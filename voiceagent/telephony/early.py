"""What a caller says and presses before anybody listens: kept for a while, so that the first word is not lost."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from voiceagent.core.events import DigitsPressed, Event
from voiceagent.ports import LegEvents

__all__ = ["MAX_EARLY_DIGITS", "EarlyEvents"]

MAX_EARLY_DIGITS = 64


class EarlyEvents:
    """Stands in for the call until it attaches: takes what the leg reports and hands it over in order."""

    def __init__(self, *, most_audio_bytes: int, dropped: Callable[[str], None]) -> None:
        """`dropped` is told what had to go: the oldest audio, the newest digits."""
        self._most_audio_bytes = most_audio_bytes
        self._dropped = dropped
        self._audio_bytes = 0
        self._digits = 0
        self._kept: deque[bytes | Event] = deque()

    def audio_arrived(self, audio: bytes) -> None:
        """Keep caller audio."""
        self._kept.append(audio)
        self._audio_bytes += len(audio)
        while self._audio_bytes > self._most_audio_bytes:
            oldest = next(kept for kept in self._kept if isinstance(kept, bytes))
            self._kept.remove(oldest)
            self._audio_bytes -= len(oldest)
            self._dropped("early audio dropped")

    def post(self, event: Event) -> None:
        """Keep an event."""
        if isinstance(event, DigitsPressed):
            if self._digits == MAX_EARLY_DIGITS:
                self._dropped("early digit dropped")
                return
            self._digits += 1
        self._kept.append(event)

    def hand_over(self, events: LegEvents) -> None:
        """Give everything kept to the call that has come."""
        while self._kept:
            kept = self._kept.popleft()
            if isinstance(kept, bytes):
                events.audio_arrived(kept)
            else:
                events.post(kept)
        self._audio_bytes = 0
        self._digits = 0
