"""Media in its order: frames that overtook each other are put right, and those that come too late are left out."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Generic, TypeVar

from voiceagent.telephony.codec import Place

__all__ = ["MAX_HELD", "WAITS_MS", "Reordering"]

MAX_HELD = 3
"""Frames that wait for one before them."""
WAITS_MS = 60
"""How long each of them does, where nothing more comes: so long a gap is filled with silence anyway."""
_STRAYS = 10
"""So many in a row that are nowhere near what was expected are the stream, and the numbers have begun anew."""
_NEAR = 500
"""Pieces: further ahead is nowhere near, and so many are remembered so that none is heard twice."""

Piece = TypeVar("Piece", bound=Hashable)


@dataclass(frozen=True, slots=True)
class _Held(Generic[Piece]):
    place: Place
    piece: Piece
    since_ms: int


class Reordering(Generic[Piece]):
    """Takes pieces with their places and gives them back in order, each once; what it keeps is bounded."""

    __slots__ = ("_held", "_known", "_last", "_next", "_strays")

    def __init__(self) -> None:
        self._last: int | None = None
        """Where the piece stood that was given back last: what stands before it is too late."""
        self._next = 0
        """Where the one after it is expected."""
        self._held: list[_Held[Piece]] = []
        """By their places."""
        self._known: dict[tuple[int, int], None] = {}
        """Place and digest of the pieces that were taken."""
        self._strays = 0

    @property
    def waits(self) -> bool:
        """Whether something is kept that has come before its turn."""
        return bool(self._held)

    def take(self, place: Place, piece: Piece, now_ms: int) -> list[Piece] | None:
        """Return the pieces that this one sets free, none where it has to wait; None where it is left out.

        It is left out where its place has passed or it was there already.
        """
        known = (place.at, hash(piece))
        if known in self._known:
            return None
        if self._last is None:
            self._last, self._next = place.at - 1, place.at
        if self._is_stray(place, self._last):
            return self._stray(place, piece)
        self._strays = 0
        self._remember(known)
        self._held.append(_Held(place, piece, now_ms))
        self._held.sort(key=lambda held: held.place.at)
        freed = self._in_turn()
        return freed or (self._free(1) if len(self._held) >= MAX_HELD else [])

    def overdue(self, now_ms: int) -> list[Piece]:
        """Return what has waited for long enough, and what stands before it: what is missing there counts as lost."""
        late = [at for at, held in enumerate(self._held, start=1) if now_ms - held.since_ms >= WAITS_MS]
        return self._free(late[-1]) if late else []

    def rest(self) -> list[Piece]:
        """Return what still waits, in its order: nothing comes after it."""
        return self._free(len(self._held))

    def _free(self, count: int) -> list[Piece]:
        """Return so many of those that wait, and what follows them without a gap."""
        freed = [self._given_back(self._held.pop(0)) for _ in range(count)]
        return freed + self._in_turn()

    def _in_turn(self) -> list[Piece]:
        freed: list[Piece] = []
        while self._held and self._held[0].place.at <= self._next + self._held[0].place.slack:
            freed.append(self._given_back(self._held.pop(0)))
        return freed

    def _given_back(self, held: _Held[Piece]) -> Piece:
        self._last, self._next = held.place.at, held.place.at + held.place.length
        return held.piece

    def _is_stray(self, place: Place, last: int) -> bool:
        if place.slack:  # times are inexact: two that are the same are two pieces, if what they say differs
            passed = place.at < last
        else:
            passed = place.at <= last or any(held.place.at == place.at for held in self._held)
        return passed or place.at > self._next + _NEAR * place.length

    def _stray(self, place: Place, piece: Piece) -> list[Piece] | None:
        self._strays += 1
        if self._strays < _STRAYS:
            return None
        self._strays = 0
        freed = [*self.rest(), piece]
        self._remember((place.at, hash(piece)))
        self._last, self._next = place.at, place.at + place.length
        return freed

    def _remember(self, known: tuple[int, int]) -> None:
        self._known[known] = None
        if len(self._known) > _NEAR:
            del self._known[next(iter(self._known))]
