"""In time: a tool has until its deadline, whether it lets itself be stopped or not."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import TypeVar

from voiceagent.ports import Clock

__all__ = ["UNWIND_WITHIN_MS", "OutOfTime", "TimedTasks"]

_log = logging.getLogger(__name__)

UNWIND_WITHIN_MS = 500
"""For a tool that is stopped to close what it has opened; nobody waits for it any longer."""
_CLOSED_WITHIN_S = 1.0

Result = TypeVar("Result")


class OutOfTime(Exception):
    """The work has not ended in its time."""


class TimedTasks:
    """Runs work in tasks of its own, and keeps account of those that could not be stopped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._left_running: dict[asyncio.Task[object], None] = {}

    @property
    def left_running(self) -> int:
        """Tasks that were stopped and go on all the same."""
        return len(self._left_running)

    async def run(self, work: Coroutine[None, None, Result], *, name: str, until_ms: int, whole: bool) -> Result:
        """Return what the work returns; `until_ms` is on the clock. Raises OutOfTime and what the work raises.

        Cancelling stops it; with `whole` it does not: then this returns when the work is over, as if nothing had been.
        """
        task = asyncio.create_task(work, name=name)
        over = asyncio.Event()
        task.add_done_callback(lambda _: over.set())
        ring = self._clock.call_at(until_ms, over.set)
        try:
            while not over.is_set():
                try:
                    await over.wait()
                except asyncio.CancelledError:
                    if not whole:
                        raise
            if not task.done():
                raise OutOfTime
            return task.result()
        finally:
            ring()
            if not task.done():
                await self._stop(task)

    async def _stop(self, task: asyncio.Task[Result]) -> None:
        task.cancel()
        over = asyncio.Event()
        task.add_done_callback(lambda _: over.set())
        ring = self._clock.call_at(self._clock.now_ms() + UNWIND_WITHIN_MS, over.set)
        try:
            await over.wait()
        finally:
            ring()
            if not task.done():
                self._leave(task)

    def _leave(self, task: asyncio.Task[Result]) -> None:
        left: asyncio.Task[object] = task  # pyright: ignore[reportAssignmentType] - only its end is of interest
        self._left_running[left] = None
        left.add_done_callback(self._ended_at_last)
        _log.error("%s does not let itself be stopped; such are running now: %d", task.get_name(), self.left_running)

    def _ended_at_last(self, task: asyncio.Task[object]) -> None:
        del self._left_running[task]
        if not task.cancelled():
            task.exception()  # nobody asks any more, and asyncio would complain of that

    async def close(self) -> None:
        """End what is left running, in bounded time: it would keep the event loop from being closed."""
        tasks = tuple(self._left_running)
        for task in tasks:
            try:
                task.get_coro().close()  # it may have caught every cancellation; this goes through it
            except RuntimeError as exc:
                _log.error("%s cannot be ended: %s", task.get_name(), exc)
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=_CLOSED_WITHIN_S)
