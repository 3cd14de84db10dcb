"""Clock: the only place in a running server that asks the computer what time it is."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

__all__ = ["SystemClock"]

_NS_PER_MS = 1_000_000


class SystemClock:
    """The `Clock` port on the monotonic clock of the computer and the timers of the running event loop."""

    def now_ms(self) -> int:
        """Monotonic milliseconds; only differences mean anything."""
        return time.monotonic_ns() // _NS_PER_MS

    def unix_ms(self) -> int:
        """Wall clock, milliseconds since 1970 in UTC."""
        return time.time_ns() // _NS_PER_MS

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once when `now_ms` has reached `at_ms`, never before; returns what cancels it."""
        return _Alarm(at_ms, callback).cancel

    async def sleep(self, ms: int) -> None:
        """Wait."""
        await asyncio.sleep(ms / 1_000)


class _Alarm:
    """One pending call."""

    __slots__ = ("_at_ms", "_callback", "_timer")

    def __init__(self, at_ms: int, callback: Callable[[], None]) -> None:
        self._at_ms = at_ms
        self._callback: Callable[[], None] | None = callback
        """None once it has been called, or will not be: who set the alarm may hold it, and not in a circle."""
        self._timer: asyncio.TimerHandle | None = self._wind()

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._callback = None

    def _wind(self) -> asyncio.TimerHandle:
        wait_ns = self._at_ms * _NS_PER_MS - time.monotonic_ns()
        return asyncio.get_running_loop().call_later(max(0, wait_ns) / 1e9, self._ring)

    def _ring(self) -> None:
        # Event loops round: a timer may come a little early, and a deadline that has not come must not be handled.
        if time.monotonic_ns() < self._at_ms * _NS_PER_MS:
            self._timer = self._wind()
            return
        callback, self._timer, self._callback = self._callback, None, None
        if callback is not None:
            callback()
