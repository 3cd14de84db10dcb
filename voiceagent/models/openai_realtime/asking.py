"""Asks for replies to OpenAI Realtime: one at a time, none while a reply is being made, and none twice.

An ask may cross a reply that the provider's turn detection began. Then the refusal says so, and the ask waits again; or
that reply is taken for the one asked for, which holds if it began knowing all that had been told.
"""

from __future__ import annotations

from typing import Literal

__all__ = ["Asking"]

_MOST_REFUSED = 25


class Asking:
    """Which ask waits and which is under way, by the id of its frame."""

    def __init__(self) -> None:
        self.waits = False
        """An ask waits for the end of a reply, or to be repeated."""
        self._under_way: str | None = None
        self._doomed: str | None = None
        """One under way that has been cancelled meanwhile: the reply that begins is not wanted."""
        self._taken: str | None = None
        """The one that the reply being made has been taken for; it may yet be refused."""
        self._told_since = False
        self._refused = 0

    @property
    def under_way(self) -> str | None:
        """The ask that a reply is owed to, wanted or not."""
        return self._under_way or self._doomed

    @property
    def wanted(self) -> bool:
        """Whether a reply is owed that somebody waits for."""
        return self._under_way is not None

    def ask(self) -> None:
        """Have another one wait, unless the one under way is about the same."""
        if self._under_way is None or self._told_since:
            self.waits = True

    def told(self) -> None:
        """Note that what was told since could not be meant by the one under way."""
        self._told_since = True

    def sent(self, frame: str) -> None:
        """Note that the one that waited is under way."""
        self.waits = self._told_since = False
        self._under_way = frame

    def cancel(self) -> bool:
        """Forget the one that waits. Returns whether one is under way: its reply is to be cancelled once it has an id,
        so that no other one can be hit.
        """
        self.waits = False
        if self._under_way is None:
            return False
        self._doomed, self._under_way = self._under_way, None
        return True

    def began(self, *, informed: bool) -> bool:
        """Note that a reply has begun. Returns whether nobody wants it any more."""
        self._refused = 0
        self._taken, self._under_way = self._under_way, None
        if informed:
            self.waits = False
        doomed, self._doomed = self._doomed, None
        return doomed is not None

    def is_known(self, frame: str) -> bool:
        """Whether an error about this frame is about an ask that may still be refused."""
        return frame in (self._under_way, self._doomed, self._taken)

    def refused(self, frame: str, *, informed: bool, occupied: bool) -> Literal["now", "later", "never"]:
        """Note that the ask was refused; returns when to send again what waits.

        `informed`: the reply that it was taken for began knowing all that had been told. `occupied`: the provider says
        that it is making a reply.
        """
        if frame == self._doomed:
            self._doomed = None
        elif frame == self._taken:
            self._taken = None
            self.waits = self.waits or not informed
        elif occupied and self._refused < _MOST_REFUSED:
            # A reply is about to begin, or will not after all.
            self._refused += 1
            self._under_way = None
            self.waits = True
            return "later"
        else:
            return "never"
        return "now"
