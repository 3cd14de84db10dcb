"""Circuit breaker: keeps all calls of the process from waiting, one after the other, for something that is down."""

from __future__ import annotations

from voiceagent.ports import Clock

__all__ = ["Breaker", "Breakers"]

_FAILURES_TO_OPEN = 5
_REST_MS = 30_000
_MOST_NAMES = 256
"""Tools may reach hosts by the hundred; what nobody has asked for a long time is not worth remembering."""


class Breaker:
    """One for each engine, provider or service, shared by all calls.

    Closed: everybody may ask. Open: nobody, until it has rested. Then it is half open: one attempt tries it, and what
    that meets closes the breaker or opens it again.
    """

    def __init__(self, clock: Clock, *, failures_to_open: int = _FAILURES_TO_OPEN, rest_ms: int = _REST_MS) -> None:
        """After so many failures in a row it opens, for so long."""
        self._clock = clock
        self._failures_to_open = failures_to_open
        self._rest_ms = rest_ms
        self._failures = 0
        self._rests_until_ms: int | None = None
        """None while it is closed."""
        self._trial: object | None = None
        """The attempt that tries what has rested."""

    def admits(self, attempt: object) -> bool:
        """Whether this attempt may be made; whoever is let in says with `leave` that it is over."""
        if self._rests_until_ms is None:
            return True
        if self._trial is not None or self._clock.now_ms() < self._rests_until_ms:
            return False
        self._trial = attempt
        return True

    @property
    def rests(self) -> bool:
        """Whether nobody is let in at the moment, not even to try."""
        return self._rests_until_ms is not None and self._clock.now_ms() < self._rests_until_ms

    def leave(self, attempt: object) -> None:
        """An attempt is over, whatever came of it: one that was abandoned has shown nothing."""
        if self._trial is attempt:
            self._trial = None

    def answered(self) -> None:
        """It works."""
        self._failures = 0
        self._rests_until_ms = None

    def failed(self, *, rest_ms: int = 0) -> None:
        """It does not work. `rest_ms`: it opens now and for so long, whatever it has met before, but never longer."""
        self._failures += 1
        rests_ms = self._rest_ms if self._failures >= self._failures_to_open else min(rest_ms, self._rest_ms)
        if rests_ms:
            self._rests_until_ms = max(self._rests_until_ms or 0, self._clock.now_ms() + rests_ms)

    def failed_for_good(self) -> None:
        """Asking again is of no use until somebody has mended it."""
        self.failed(rest_ms=self._rest_ms)


class Breakers:
    """A breaker for every name that is asked for, the longest forgotten first where there are too many."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    def of(self, name: str) -> Breaker:
        """Return the breaker of this name."""
        breaker = self._breakers.pop(name, None) or Breaker(self._clock)
        self._breakers[name] = breaker
        if len(self._breakers) > _MOST_NAMES:
            del self._breakers[next(iter(self._breakers))]
        return breaker
