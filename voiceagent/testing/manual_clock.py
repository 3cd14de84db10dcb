"""ManualClock: a clock for tests that stands still until the test moves it."""

from __future__ import annotations

import asyncio
import heapq
from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["ManualClock"]


@dataclass(order=True, slots=True)
class _Alarm:
    at_ms: int
    number: int
    """Of several alarms for one instant the one set first rings first."""
    callback: Callable[[], None] | None = field(compare=False)
    """None once it has been cancelled."""


class ManualClock:
    """The `Clock` port under the test's control: no time passes but by `advance`."""

    def __init__(self, now_ms: int = 0, *, unix_ms: int = 1_767_225_600_000) -> None:
        """Begin at `now_ms`; `unix_ms` is the wall clock then (default: 2026-01-01 00:00 UTC)."""
        self._now_ms = now_ms
        self._unix_offset_ms = unix_ms - now_ms
        self._alarms: list[_Alarm] = []
        self._count = 0
        self._watchers: list[tuple[int, asyncio.Future[None]]] = []

    def now_ms(self) -> int:
        """The instant at which the clock stands."""
        return self._now_ms

    def unix_ms(self) -> int:
        """Wall clock at that instant."""
        return self._now_ms + self._unix_offset_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once while `advance` passes `at_ms`; returns what cancels it."""
        self._count += 1
        alarm = _Alarm(at_ms, self._count, callback)
        heapq.heappush(self._alarms, alarm)
        self._tell_watchers()

        def cancel() -> None:
            alarm.callback = None

        return cancel

    async def sleep(self, ms: int) -> None:
        """Wait until the clock has been advanced this far."""
        awake = asyncio.get_running_loop().create_future()
        cancel = self.call_at(self._now_ms + ms, lambda: None if awake.done() else awake.set_result(None))
        try:
            await awake
        finally:
            cancel()

    # --- for the test ------------------------------------------------------------------------------------------------

    @property
    def next_ms(self) -> int | None:
        """When the next alarm rings; None where nothing waits."""
        self._drop_cancelled()
        return self._alarms[0].at_ms if self._alarms else None

    def advance(self, ms: int) -> None:
        """Move the clock on, ringing every alarm on the way at its own instant, those set meanwhile included."""
        until_ms = self._now_ms + ms
        while (next_ms := self.next_ms) is not None and next_ms <= until_ms:
            self._now_ms = max(self._now_ms, next_ms)
            callback = heapq.heappop(self._alarms).callback
            if callback is not None:
                callback()
        self._now_ms = until_ms

    async def until_waiting(self, alarms: int = 1) -> None:
        """Let the event loop run until at least this many alarms are set: then somebody waits for `advance`."""
        if self._pending() < alarms:
            reached = asyncio.get_running_loop().create_future()
            self._watchers.append((alarms, reached))
            await reached

    def _pending(self) -> int:
        return sum(alarm.callback is not None for alarm in self._alarms)

    def _tell_watchers(self) -> None:
        pending = self._pending() if self._watchers else 0
        for alarms, reached in self._watchers:
            if pending >= alarms and not reached.done():
                reached.set_result(None)
        self._watchers = [watcher for watcher in self._watchers if not watcher[1].done()]

    def _drop_cancelled(self) -> None:
        while self._alarms and self._alarms[0].callback is None:
            heapq.heappop(self._alarms)
