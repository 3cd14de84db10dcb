"""The uplink: the caller's audio on its way to a speech model, kept until it is certain who is to hear it."""

from __future__ import annotations

__all__ = ["Uplink"]

_KEPT_MS = 15_000
"""Behind what has been sent. A caller who talks through a change of session for longer is heard from here on."""


class Uplink:
    """Every byte the caller has sent, by its position from the beginning of the call, for as long as it may be wanted.

    A session is fed from one position on, in order, without a gap. While it is held nothing leaves: then either the
    same session goes on, or another one begins at the position where the first one is to have ended.
    """

    def __init__(self, bytes_per_ms: int, silence: bytes, *, sample_bytes: int) -> None:
        """`silence` is a byte of it."""
        self._bytes_per_ms = bytes_per_ms
        self._sample_bytes = sample_bytes
        self._silence = silence
        self._kept = bytearray()
        self._kept_from = 0
        self._next = 0
        """Position of what is sent next."""
        self.held = True
        """Nobody is there to hear it, or not for the moment."""

    @property
    def end(self) -> int:
        """Position behind the last byte that has arrived."""
        return self._kept_from + len(self._kept)

    @property
    def sent(self) -> int:
        """Position behind the last byte that a session was given."""
        return self._next

    def position_of(self, audio_ms: int) -> int:
        """Return the position of a moment in the caller's audio."""
        return audio_ms * self._bytes_per_ms

    def time_of(self, position: int) -> int:
        """Return the moment in the caller's audio at a position, in ms."""
        return position // self._bytes_per_ms

    def arrived(self, audio: bytes) -> None:
        """The next audio of the caller."""
        self._kept += audio
        excess = len(self._kept) - _KEPT_MS * self._bytes_per_ms
        excess -= excess % self._sample_bytes
        if excess > self._bytes_per_ms * 1_000:  # a second at a time: moving the rest costs more than keeping it
            del self._kept[:excess]
            self._kept_from += excess
            self._next = max(self._next, self._kept_from)

    def withhold(self, from_ms: int, until_ms: int) -> None:
        """Nobody hears this part of the caller's audio any more: there is silence in its place."""
        first, last = (
            min(max(self.position_of(at_ms), self._kept_from), self.end) - self._kept_from
            for at_ms in (from_ms, until_ms)
        )
        self._kept[first:last] = self._silence * (last - first)

    def due(self) -> bytes:
        """Return what is to be sent now, and take it for sent; nothing while it is held."""
        if self.held:
            return b""
        audio = bytes(self._kept[self._next - self._kept_from :])
        self._next = self.end
        return audio

    def rewind(self, position: int) -> None:
        """What is sent next begins here, or where what is kept begins: at a whole sample, wherever a piece ended."""
        position = min(max(position, self._kept_from), self.end)
        self._next = position - position % self._sample_bytes
