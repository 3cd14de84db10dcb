"""Typing clock: time stands still while a caller reads and types, and passes while the agent is at work."""

from __future__ import annotations

import asyncio
import heapq
import itertools
from collections.abc import Callable
from dataclasses import dataclass, field

from voiceagent.ports import Clock

__all__ = ["TypingClock"]


@dataclass(order=True, slots=True)
class _Alarm:
    at_ms: int
    number: int
    """Of several for one instant the one set first rings first."""
    callback: Callable[[], None] | None = field(compare=False)
    """None once it has been called off."""


class TypingClock:
    """The `Clock` port over another clock, that only counts when it is told to; it begins standing still.

    The wall clock never stands still: today is today, and a token that has run out has run out.
    """

    def __init__(self, real: Clock) -> None:
        self._real = real
        self._stood_at_ms = real.now_ms()
        """What it shows, or showed when it was let run."""
        self._running_since_ms: int | None = None
        """When it was let run, on the real clock; None while it stands still."""
        self._alarms: list[_Alarm] = []
        self._numbers = itertools.count()
        self._unwind: Callable[[], None] = _nothing

    def now_ms(self) -> int:
        """Milliseconds for which it has run, and by which it was put forward."""
        if self._running_since_ms is None:
            return self._stood_at_ms
        return self._stood_at_ms + self._real.now_ms() - self._running_since_ms

    def unix_ms(self) -> int:
        """Wall clock of the computer."""
        return self._real.unix_ms()

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back once when this clock shows that time; returns what cancels it."""
        alarm = _Alarm(at_ms, next(self._numbers), callback)
        heapq.heappush(self._alarms, alarm)
        self._wind()

        def cancel() -> None:
            alarm.callback = None

        return cancel

    async def sleep(self, ms: int) -> None:
        """Wait until so much time has passed on this clock."""
        over = asyncio.Event()
        cancel = self.call_at(self.now_ms() + ms, over.set)
        try:
            await over.wait()
        finally:
            cancel()

    @property
    def next_ms(self) -> int | None:
        """When it calls somebody back next; None for never."""
        while self._alarms and self._alarms[0].callback is None:
            heapq.heappop(self._alarms)
        return self._alarms[0].at_ms if self._alarms else None

    def run(self) -> None:
        """Let time pass from now on."""
        if self._running_since_ms is None:
            self._running_since_ms = self._real.now_ms()
            self._wind()

    def stop(self) -> None:
        """Let it stand still from now on."""
        self._stood_at_ms = self.now_ms()
        self._running_since_ms = None
        self._unwind()
        self._unwind = _nothing

    def skip_to(self, at_ms: int) -> None:
        """Put it forward to a time, and call back whoever wanted to be by then. It never goes back."""
        running = self._running_since_ms is not None
        self.stop()
        self._stood_at_ms = max(at_ms, self._stood_at_ms)
        self._ring()
        if running:
            self.run()

    def _wind(self) -> None:
        self._unwind()
        self._unwind = _nothing
        next_ms = self.next_ms
        if self._running_since_ms is not None and next_ms is not None:
            left_ms = next_ms - self.now_ms()
            self._unwind = self._real.call_at(self._real.now_ms() + left_ms, self._ring)

    def _ring(self) -> None:
        while (next_ms := self.next_ms) is not None and next_ms <= self.now_ms():
            callback = heapq.heappop(self._alarms).callback
            if callback is not None:
                callback()
        self._wind()


def _nothing() -> None:
    """Nothing is wound."""
