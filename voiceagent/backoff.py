"""Backoff: how long to wait before something is tried once more, never twice the same."""

from __future__ import annotations

from random import Random

__all__ = ["Backoff"]


class Backoff:
    """Doubles from attempt to attempt; up to half of each wait is left out, by chance.

    What fails for a hundred calls at once is not to be asked by all of them at once again.
    """

    def __init__(self, *, first_ms: int = 100, most_ms: int = 5_000, seed: str | None = None) -> None:
        """With a `seed`, a call's id, the waits are the same when the call is played again. The core draws nothing."""
        self._first_ms = first_ms
        self._most_ms = most_ms
        self._chance = Random(seed)  # noqa: S311 - no secret hangs on it

    def before(self, attempt: int) -> int:
        """Return the wait in ms before this attempt to try again, counted from 0."""
        whole_ms = min(self._first_ms << min(attempt, 30), self._most_ms)
        return whole_ms - self._chance.randint(0, whole_ms // 2)
