"""Limits: whether another call is taken, decided before anything is spent on it.

A server that cannot keep up refuses everybody (503: the carrier may try another one); a caller who calls all the time
is refused alone. Calls that were let in are never slowed down or cut short for those that come after them.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections import Counter, deque
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from statistics import median_low

from voiceagent.caller_numbers import counted_number
from voiceagent.errors import VoiceAgentError
from voiceagent.ports import Clock, SharedState, SpentLately
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["CALLS_WITHIN_MS", "CallLimits", "LoopLag"]

_log = logging.getLogger(__name__)

CALLS_WITHIN_MS = 60_000
_GOES_ON_MS = 180_000
"""So long after its worker has died a call still counts."""
_ANY_NUMBER = 1_000_000
"""A call that goes on is counted, however many there are."""
_BEATS = 50
"""One second of frames: one stall, however long, is one beat of these."""


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
    """The bounds of one server; how often a caller calls is counted for all workers that share `state`."""

    def __init__(
        self, settings: TelephonySettings, *, state: SharedState, clock: Clock, spent: SpentLately | None = None
    ) -> None:
        self._settings = settings
        self._state = state
        self._clock = clock
        self._spent = spent
        self._legs: Counter[str] = Counter()
        """Of each call that goes on here."""
        self.lag = LoopLag(at_most_ms=settings.max_lag_ms)

    def has_spent_too_much(self, *, agent: str | None = None, caller: str | None = None) -> str | None:
        """Return whose spend limit keeps a call from being begun: the server's, the agent's or the caller's."""
        return self._spent.over(agent=agent, caller=caller) if self._spent is not None else None

    async def caller_is_over(self, call: str, caller: str | None) -> str | None:
        """Return why this caller may not begin this call, in words for the log; callers without a number may.

        If they may, it counts: among those they have at once for a minute, or until it is over. A call that is asked
        about again is the same call. Raises StateUnavailable: then nobody can say.
        """
        number = counted_number(caller)
        if number is None:
            return None
        if (spent := self.has_spent_too_much(caller=number)) is not None:
            return spent
        if await self._state.noted(_live_key(call)) is not None:
            return None  # whoever asks about it now has heard of it before
        calls, most = _calls_of(number), self._settings.max_calls_per_caller
        if not await self._state.join(calls, call, most=most, ttl_ms=CALLS_WITHIN_MS):
            return f"its caller has {most} calls already"
        begun, most = f"calls begun by:{_digest(number)}", self._settings.max_caller_calls_per_minute
        if not await self._state.join(begun, call, most=most, ttl_ms=CALLS_WITHIN_MS):
            await self._state.leave(calls, call)
            return f"its caller has begun {most} calls within a minute"
        return None

    @asynccontextmanager
    async def going_on(self, call: str, caller: str | None) -> AsyncGenerator[None]:
        """Count a call of this caller as going on for as long as the block lasts."""
        number = counted_number(caller)
        if number is None:
            yield
            return
        self._legs[call] += 1
        renewing = asyncio.create_task(self._renew(_calls_of(number), call))
        try:
            yield
        finally:
            renewing.cancel()
            await asyncio.wait([renewing])
            self._legs[call] -= 1
            if not self._legs[call]:
                del self._legs[call]
                with suppress(VoiceAgentError):  # it is forgotten by itself, a little later
                    await self._state.take(_live_key(call))
                    await self._state.leave(_calls_of(number), call)

    async def _renew(self, calls: str, call: str) -> None:
        """Say again and again that a call goes on: what a worker that has died has said is soon out of date."""
        while True:
            with suppress(VoiceAgentError):
                await self._state.join(calls, call, most=_ANY_NUMBER, ttl_ms=_GOES_ON_MS)
                await self._state.note(_live_key(call), "", ttl_ms=_GOES_ON_MS)
            await self._clock.sleep(_GOES_ON_MS // 3)


def _calls_of(number: str) -> str:
    return f"calls of:{_digest(number)}"


def _live_key(call: str) -> str:
    return f"call goes on:{_digest(call)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
