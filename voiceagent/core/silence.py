"""Silence: what is said when nobody says anything, and when it is time to give up."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SilenceLadder"]


@dataclass(slots=True)
class SilenceLadder:
    """Counts the reprompts since the caller was last understood."""

    _quiet_since_ms: int | None = None
    _no_input: int = 0
    _no_match: int = 0

    def quiet(self, now_ms: int) -> None:
        """Nobody speaks and nobody works: from now on the caller's silence counts."""
        if self._quiet_since_ms is None:
            self._quiet_since_ms = now_ms

    def broken(self) -> None:
        """Somebody speaks or works."""
        self._quiet_since_ms = None

    def answered(self) -> None:
        """The caller has said something: their silence counts anew."""
        self._quiet_since_ms = None
        self._no_input = 0

    def understood(self) -> None:
        """What the caller says leads somewhere: not being understood is counted anew."""
        self._no_match = 0

    def deadline_ms(self, after_ms: int) -> int | None:
        """When the next step is due."""
        return None if self._quiet_since_ms is None else self._quiet_since_ms + after_ms

    def step(self, phrases: tuple[str, ...]) -> str | None:
        """Return the next reprompt; None once all have been said."""
        self._quiet_since_ms = None
        self._no_input += 1
        return phrases[self._no_input - 1] if self._no_input <= len(phrases) else None

    def not_understood(self, phrases: tuple[str, ...]) -> str | None:
        """Return what to say to a caller who was not understood; None once all has been said."""
        self._no_match += 1
        return phrases[self._no_match - 1] if self._no_match <= len(phrases) else None
