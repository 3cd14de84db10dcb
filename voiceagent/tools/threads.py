"""Threads: where tools run that are plain functions, so that one that blocks holds up its own call alone."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable
from contextvars import copy_context

__all__ = ["ToolThreads"]

_log = logging.getLogger(__name__)

MOST_THREADS = 32
"""Plain functions that run at one time, those included that nobody waits for any more."""


class ToolThreads:
    """A bounded number of threads. One whose function does not end is left behind, and keeps its place."""

    def __init__(self, most: int = MOST_THREADS) -> None:
        self._free = asyncio.Semaphore(most)
        self._left_running = 0

    @property
    def left_running(self) -> int:
        """Functions that nobody waits for any more, and that go on all the same."""
        return self._left_running

    async def run(self, begin: Callable[[], Callable[[], object]], *, name: str) -> object:
        """Return what a function returns; raises what it raises. Cancelling leaves it behind, and says so.

        `begin` is called here once there is a thread for it, and returns the function; what it raises is raised.
        """
        await self._free.acquire()
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[object] = loop.create_future()
        in_context = copy_context().run  # what the call's lines are scrubbed by is known there too
        try:
            work = (self._work, begin(), loop, outcome)
            threading.Thread(target=in_context, args=work, name=name, daemon=True).start()
        except BaseException:
            self._free.release()
            raise
        try:
            return await asyncio.shield(outcome)
        except asyncio.CancelledError:
            if not outcome.done():
                self._leave(outcome, name)
            raise

    def _leave(self, outcome: asyncio.Future[object], name: str) -> None:
        self._left_running += 1
        outcome.add_done_callback(self._ended_at_last)
        _log.error(
            "%s goes on in its thread, which cannot be stopped; such are running now: %d", name, self.left_running
        )

    def _ended_at_last(self, outcome: asyncio.Future[object]) -> None:
        self._left_running -= 1
        outcome.exception()  # nobody asks any more, and asyncio would complain of that

    def _work(
        self, work: Callable[[], object], loop: asyncio.AbstractEventLoop, outcome: asyncio.Future[object]
    ) -> None:
        result: object = None
        problem: BaseException | None = None
        try:
            result = work()
        except (StopIteration, GeneratorExit, KeyboardInterrupt) as exc:
            # A future cannot carry the first; the others would mean something else where it is awaited.
            problem = RuntimeError(f"{type(exc).__name__} left the function")
        except BaseException as exc:  # noqa: BLE001 - somebody else's code: it may even exit, the call goes on
            problem = exc
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody is left to be told
            loop.call_soon_threadsafe(self._over, outcome, result, problem)

    def _over(self, outcome: asyncio.Future[object], result: object, problem: BaseException | None) -> None:
        self._free.release()
        if problem is not None:
            outcome.set_exception(problem)
        else:
            outcome.set_result(result)
