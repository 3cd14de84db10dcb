"""A clock that stands still until it is told otherwise, and the one that runs."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable

import pytest

from voiceagent.runtime.clock import SystemClock


class StandingClock:
    """Time as a test tells it; timers run inside `advance`."""

    def __init__(self) -> None:
        self._now_ms = 1_000_000
        self._order = itertools.count()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []

    def now_ms(self) -> int:
        return self._now_ms

    def unix_ms(self) -> int:
        return 1_700_000_000_000 + self._now_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        timer = (at_ms, next(self._order), callback)
        heapq.heappush(self._timers, timer)

        def cancel() -> None:
            if timer in self._timers:
                self._timers.remove(timer)
                heapq.heapify(self._timers)

        return cancel

    async def sleep(self, ms: int) -> None:
        woken = asyncio.Event()
        self.call_at(self._now_ms + ms, woken.set)
        await woken.wait()

    def advance(self, ms: int) -> None:
        until_ms = self._now_ms + ms
        while self._timers and self._timers[0][0] <= until_ms:
            at_ms, _, callback = heapq.heappop(self._timers)
            self._now_ms = max(self._now_ms, at_ms)
            callback()
        self._now_ms = until_ms

    def stall(self, ms: int) -> None:
        """Time passes, and nothing runs: whatever was due is late."""
        self._now_ms += ms

    @property
    def timers(self) -> int:
        return len(self._timers)


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
def running_clock() -> SystemClock:
    return SystemClock()
