"""The tasks of one call: one that fails is reported and takes no other with it; at the end none is left running."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine

from voiceagent.in_time import within
from voiceagent.ports import Clock

__all__ = ["CallTasks"]

_log = logging.getLogger(__name__)
_CANCELLED_WITHIN_MS = 5_000


class CallTasks:
    """Everything that is under way for one call.

    Not an `asyncio.TaskGroup`: there one failure cancels its siblings, a write among them, and a tool that does not
    let itself be cancelled would keep the call from ever being over.
    """

    def __init__(self, clock: Clock, *, failed: Callable[[Exception], None]) -> None:
        """`failed` is told what a task has raised."""
        self._clock = clock
        self._failed = failed
        self._running: dict[asyncio.Task[None], None] = {}

    def start(self, work: Coroutine[None, None, None]) -> asyncio.Task[None]:
        """Begin something."""
        task = asyncio.create_task(work)
        self._running[task] = None
        task.add_done_callback(self._ended)
        return task

    async def wait(self, tasks: Collection[asyncio.Task[None]], *, at_most_ms: int) -> None:
        """Wait for these, whatever comes of them, but not longer than this."""
        if not tasks:
            return
        try:
            async with within(at_most_ms, self._clock):
                await asyncio.wait(tasks)
        except TimeoutError:
            return

    async def close(self) -> None:
        """Cancel what is still under way and wait until it has ended."""
        for task in self._running:
            task.cancel()
        await self.wait(tuple(self._running), at_most_ms=_CANCELLED_WITHIN_MS)
        for task in self._running:
            _log.error("left running, since it cannot be cancelled: %s", task.get_coro())

    def _ended(self, task: asyncio.Task[None]) -> None:
        del self._running[task]
        problem = None if task.cancelled() else task.exception()
        if isinstance(problem, Exception):
            self._failed(problem)
