"""Own turns: when a speech model has taken what the caller said for said, by its own ear for pauses.

Asked before that for a reply, it would make one without the caller's last words, and another one to them right after.
"""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.ports import Clock, SpeechCapabilities

__all__ = ["OwnTurns"]

_LATER_MS = 200
"""Its audio is on its way for some time, and it hears the end of a voice elsewhere than we do."""


class OwnTurns:
    """Says when the live session may be asked: the conversation can be more patient than its model, or less."""

    def __init__(self, row: SpeechCapabilities, clock: Clock, due: Callable[[], None]) -> None:
        """`due` is called when what was waited for has happened, or should have."""
        self._after_ms = row.turn_ends_after_ms
        self._clock = clock
        self._due = due
        self._over_at_ms = 0
        self._stop: Callable[[], None] | None = None

    def paused(self, at_ms: int) -> None:
        """A voice that the session hears went off."""
        if self._after_ms is not None:
            self._over_at_ms = at_ms + self._after_ms + _LATER_MS

    def over(self) -> None:
        """The session has the caller's words: it has written them down, or answers them."""
        self._over_at_ms = 0
        self.close()

    def may_ask(self) -> bool:
        """Whether the session has by now what the caller said; if not, `due` is called when it should have."""
        if self._clock.now_ms() >= self._over_at_ms:
            return True
        if self._stop is None:
            self._stop = self._clock.call_at(self._over_at_ms, self._waited)
        return False

    def _waited(self) -> None:
        self._stop = None
        self._due()

    def close(self) -> None:
        """Nobody waits any more."""
        if self._stop is not None:
            self._stop()
            self._stop = None
