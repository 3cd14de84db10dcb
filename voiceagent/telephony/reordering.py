"""Media in its order: frames that overtook each other are put right, and those that come too late are left out."""

from __future__ import annotations

from typing import Generic, TypeVar

__all__ = ["MAX_HELD", "WAITS_MS", "Reordering"]

MAX_HELD = 3
"""Frames that wait for one before them."""
WAITS_MS = 60
"""How long they do, where nothing more comes: so long a gap is filled with silence anyway."""
_STRAYS = 10
"""So many in a row that are nowhere near what was expected are the stream, and the numbers have begun anew."""
_NEAR = 500

Piece = TypeVar("Piece")


class Reordering(Generic[Piece]):
    """Takes numbered pieces and gives them back in order, each once; what it keeps is bounded."""

    __slots__ = ("_held", "_next", "_strays", "_waits_since_ms")

    def __init__(self) -> None:
        self._next: int | None = None
        self._held: dict[int, Piece] = {}
        self._strays = 0
        self._waits_since_ms = 0

    @property
    def waits(self) -> bool:
        """Whether something is kept that has come before its turn."""
        return bool(self._held)

    def take(self, number: int, piece: Piece, now_ms: int) -> list[Piece] | None:
        """Return the pieces that this one sets free, none where it has to wait; None where it is left out.

        It is left out where its place has passed or it was there already.
        """
        if self._next is None:
            self._next = number
        if number < self._next or number in self._held or number > self._next + _NEAR:
            return self._stray(number, piece)
        self._strays = 0
        if not self._held:
            self._waits_since_ms = now_ms
        self._held[number] = piece
        return self._free() if number == self._next or len(self._held) >= MAX_HELD else []

    def overdue(self, now_ms: int) -> list[Piece]:
        """Return what has waited for long enough: what is missing before it counts as lost."""
        if not self._held or now_ms - self._waits_since_ms < WAITS_MS:
            return []
        self._next = max(self._held) + 1
        return self.rest()

    def rest(self) -> list[Piece]:
        """Return what still waits, in its order: nothing comes after it."""
        rest = [self._held[number] for number in sorted(self._held)]
        self._held.clear()
        return rest

    def _free(self) -> list[Piece]:
        freed: list[Piece] = []
        at = min(self._held)  # what is missing before it counts as lost
        while at in self._held:
            freed.append(self._held.pop(at))
            at += 1
        self._next = at
        return freed

    def _stray(self, number: int, piece: Piece) -> list[Piece] | None:
        self._strays += 1
        if self._strays < _STRAYS:
            return None
        self._strays = 0
        self._next = number + 1
        return [*self.rest(), piece]
