"""Limits: whether another call is taken, decided before anything is spent on it.

A server that cannot keep up refuses everybody (503: the carrier may try another one); a caller who calls all the time
is refused alone. Calls that were let in are never slowed down or cut short for those that come after them.
"""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Generator
from contextlib import contextmanager
from statistics import median_low
from typing import Protocol

from voiceagent.caller_numbers import counted_number
from voiceagent.ports import Clock
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["CallCounts", "CallLimits", "CallsInMemory", "LoopLag"]

_log = logging.getLogger(__name__)

CALLS_WITHIN_MS = 60_000
_MOST_CALLERS = 10_000
_BEATS = 50
"""One second of frames: one stall, however long, is one beat of these."""


class CallCounts(Protocol):
    """How often a caller has called lately. Kept in this process here; workers that share a number share the counts."""

    def may_begin(self, caller: str, call: str, *, most: int, within_ms: int) -> bool:
        """Whether a caller who may begin so many calls within a time may begin this one; if so, it counts.

        A call that is asked about again is the same call.
        """
        ...


class CallsInMemory:
    """Counts calls in the memory of this process."""

    def __init__(self, clock: Clock, *, most_callers: int = _MOST_CALLERS) -> None:
        self._clock = clock
        self._most_callers = most_callers
        self._begun: dict[str, dict[str, int]] = {}  # caller → call → when; who called last stands last

    def may_begin(self, caller: str, call: str, *, most: int, within_ms: int) -> bool:
        """Whether a caller who may begin so many calls within a time may begin this one; if so, it counts."""
        now_ms = self._clock.now_ms()
        known = self._begun.pop(caller, {})
        calls = {each: at_ms for each, at_ms in known.items() if at_ms > now_ms - within_ms}
        if len(calls) < most:
            calls.setdefault(call, now_ms)
        while len(self._begun) >= self._most_callers:
            self._begun.pop(next(iter(self._begun)))
        self._begun[caller] = calls
        return call in calls


class LoopLag:
    """How late the beat of the calls is: what makes voices stutter long before a processor is busy all the time."""

    def __init__(self, *, at_most_ms: int) -> None:
        self._at_most_ms = at_most_ms
        self._beats: deque[int] = deque(maxlen=_BEATS)
        self.overloaded = False

    def beat(self, late_ms: int) -> None:
        """Take note of one beat. Overload begins above the limit and ends below half of it."""
        self._beats.append(late_ms)
        if len(self._beats) < _BEATS:
            return
        typical_ms = median_low(self._beats)
        if not self.overloaded and typical_ms > self._at_most_ms:
            self.overloaded = True
            _log.warning("overloaded, no new calls: the beat of the calls is %d ms late", typical_ms)
        elif self.overloaded and typical_ms <= self._at_most_ms // 2:
            self._over()

    def nobody_there(self) -> None:
        """There is no call whose beat could be late."""
        self._beats.clear()
        if self.overloaded:
            self._over()

    def _over(self) -> None:
        self.overloaded = False
        _log.warning("no longer overloaded")


class CallLimits:
    """The bounds of one server."""

    def __init__(self, settings: TelephonySettings, *, counts: CallCounts) -> None:
        self._settings = settings
        self._counts = counts
        self._live: dict[str, Counter[str]] = {}  # caller → their calls → the legs of each
        self.lag = LoopLag(at_most_ms=settings.max_lag_ms)

    def caller_is_over(self, call: str, caller: str | None) -> str | None:
        """Return why this caller may not begin this call, in words for the log; callers without a number may."""
        number = counted_number(caller)
        if number is None:
            return None
        settings = self._settings
        others = self._live.get(number, Counter[str]()).keys() - {call}  # a call may connect again
        if len(others) >= settings.max_calls_per_caller:
            return f"its caller has {settings.max_calls_per_caller} calls already"
        most = settings.max_caller_calls_per_minute
        if not self._counts.may_begin(number, call, most=most, within_ms=CALLS_WITHIN_MS):
            return f"its caller has begun {most} calls within a minute"
        return None

    @contextmanager
    def going_on(self, call: str, caller: str | None) -> Generator[None]:
        """Count a call of this caller as going on for as long as the block lasts."""
        number = counted_number(caller)
        if number is None:
            yield
            return
        calls = self._live.setdefault(number, Counter())
        calls[call] += 1
        try:
            yield
        finally:
            calls[call] -= 1
            if not calls[call]:
                del calls[call]
            if not calls:
                del self._live[number]
