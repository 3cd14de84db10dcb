"""Expiry: when a provider will end a model session, by its age or because nobody has spoken for long."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.ports import Clock, SpeechCapabilities

__all__ = ["RENEW_BEFORE_MS", "Expiry"]

RENEW_BEFORE_MS = 60_000
"""So long before its end another session is made ready, and a quiet moment is waited for."""


class Expiry:
    """Watches over one session at a time, and says once that its end has come near."""

    def __init__(self, row: SpeechCapabilities, clock: Clock, near: Callable[[int], None]) -> None:
        """`near` is told how many milliseconds are left."""
        self._row = row
        self._clock = clock
        self._near = near
        self._began_ms = 0
        self._spoke_ms = 0
        self._stop: Callable[[], None] | None = None

    def watch(self, since_ms: int) -> None:
        """A session is used from now on, which the provider has had open since then."""
        self._began_ms, self._spoke_ms = since_ms, self._clock.now_ms()
        self._set_alarm()

    def spoke(self) -> None:
        """Somebody speaks: no session is idle."""
        self._spoke_ms = self._clock.now_ms()

    def close(self) -> None:
        """There is no session any more."""
        if self._stop is not None:
            self._stop()
            self._stop = None

    def _ends_ms(self) -> int | None:
        limits = ((self._began_ms, self._row.session_limit_ms), (self._spoke_ms, self._row.idle_limit_ms))
        return min((since_ms + limit_ms for since_ms, limit_ms in limits if limit_ms is not None), default=None)

    def _set_alarm(self) -> None:
        self.close()
        ends_ms = self._ends_ms()
        if ends_ms is not None:
            self._stop = self._clock.call_at(max(ends_ms - RENEW_BEFORE_MS, self._clock.now_ms()), self._look)

    def _look(self) -> None:
        self._stop = None
        left_ms = (self._ends_ms() or 0) - self._clock.now_ms()
        if left_ms > RENEW_BEFORE_MS:
            self._set_alarm()  # somebody has spoken since it was set
        else:
            self._near(max(0, left_ms))
