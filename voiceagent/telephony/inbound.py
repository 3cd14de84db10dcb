"""What comes from the caller, held against the clock: silence where nothing comes, a limit where too much does."""

from __future__ import annotations

from voiceagent.audio import FRAME_MS
from voiceagent.ports import AudioFormat

__all__ = ["GAP_MS", "Allowance", "InboundLine"]

GAP_MS = 60
"""So long without a frame is a gap: carriers that suppress silence send none, and time must still pass."""
_MOST_AT_ONCE_MS = GAP_MS + FRAME_MS
"""Filled in one go: after a stall of ours the missing audio may lie unread in the socket."""
_MOST_AHEAD_MS = 2_000
"""Audio may run ahead of the clock by what a network can hold back and deliver late; more is a flood."""


class InboundLine:
    """Keeps the caller's audio in step with the clock.

    Audio handed on (the caller's and the silence between) stays close to the time that has passed: silence that
    turned out to be mere delay is made up for at the next gap, so the two never drift apart.
    """

    __slots__ = ("_began_ms", "_bytes_per_ms", "_delivered_bytes", "_filled_until_ms", "gap_at_ms")

    def __init__(self, audio: AudioFormat, *, now_ms: int) -> None:
        self._bytes_per_ms = audio.bytes_per_ms
        self._began_ms = now_ms
        self._delivered_bytes = 0
        self._filled_until_ms = now_ms
        self.gap_at_ms = now_ms + GAP_MS
        """When silence is due at the earliest, if nothing comes until then."""

    def accept(self, audio: bytes, now_ms: int) -> bool:
        """Count audio of the caller's; False where it comes so much faster than time that it is to be dropped."""
        if self._delivered_bytes // self._bytes_per_ms - (now_ms - self._began_ms) > _MOST_AHEAD_MS:
            return False
        self._delivered_bytes += len(audio)
        self._filled_until_ms = now_ms
        self.gap_at_ms = now_ms + GAP_MS
        return True

    def silence_due_ms(self, now_ms: int) -> int:
        """Return how much silence to hand on now, in whole frames, and count it as handed on."""
        if now_ms < self.gap_at_ms:
            return 0
        missing_ms = now_ms - self._filled_until_ms
        self.gap_at_ms = self._filled_until_ms + FRAME_MS
        behind_ms = now_ms - self._began_ms - self._delivered_bytes // self._bytes_per_ms
        due_ms = min(missing_ms, _MOST_AT_ONCE_MS, behind_ms) // FRAME_MS * FRAME_MS
        if due_ms <= 0:
            return 0
        self._filled_until_ms += due_ms
        self.gap_at_ms = self._filled_until_ms + FRAME_MS
        self._delivered_bytes += due_ms * self._bytes_per_ms
        return due_ms


class Allowance:
    """So many things a second, and so many at once after a pause."""

    __slots__ = ("_full", "_left", "_per_second", "_since_ms")

    def __init__(self, *, per_second: int, at_once: int, now_ms: int) -> None:
        self._per_second = per_second
        self._full = at_once * 1000
        self._left = self._full
        self._since_ms = now_ms

    def take(self, now_ms: int) -> bool:
        """Use one up; False where none is left."""
        self._left = min(self._full, self._left + (now_ms - self._since_ms) * self._per_second)
        self._since_ms = now_ms
        if self._left < 1000:
            return False
        self._left -= 1000
        return True
