"""Threads that compute for the event loop, and waiting there for what they compute."""

from __future__ import annotations

import asyncio
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from threading import Lock, Thread
from typing import TypeVar

__all__ = ["CLOSED_WITHIN_MS", "Workers", "outcome"]

Result = TypeVar("Result")

CLOSED_WITHIN_MS = 5_000
"""Longer than any work that comes to its end."""


class Workers:
    """So many threads and one queue before them.

    They are daemons, unlike those of the standard library's executor: native code that never returns must not keep
    the process from ending.
    """

    def __init__(self, count: int, *, name: str) -> None:
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._waiting: dict[Callable[[], bool], None] = {}
        """What cancels each job that has not ended."""
        self._lock = Lock()
        self._closed = False
        self._threads = [Thread(target=self._work, name=f"{name}-{number}", daemon=True) for number in range(count)]
        for thread in self._threads:
            thread.start()

    def submit(self, work: Callable[[], Result]) -> Future[Result]:
        """Have it done after all that waits already. Raises RuntimeError once they are closed."""
        future: Future[Result] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(work())
            except BaseException as exc:  # noqa: BLE001 - whatever it was, whoever waits is told
                future.set_exception(exc)

        with self._lock:
            if self._closed:
                raise RuntimeError("the workers are closed")
            self._waiting[future.cancel] = None
            self._jobs.put(job)
        future.add_done_callback(lambda done: self._waiting.pop(done.cancel, None))
        return future

    def close(self, *, within_ms: int = CLOSED_WITHIN_MS) -> bool:
        """Drop what waits and let what is under way end; False where it does not within this time. Blocks."""
        with self._lock:
            self._closed = True
            for _ in self._threads:
                self._jobs.put(None)
        for cancel in list(self._waiting):
            cancel()
        until_s = time.monotonic() + within_ms / 1_000
        for thread in self._threads:
            thread.join(max(0.0, until_s - time.monotonic()))
        return not any(thread.is_alive() for thread in self._threads)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()


async def outcome(work: Future[Result]) -> Result:
    """Wait for `work` without owning it: a wait that is cancelled leaves the work to others.

    Raises what the work raised, and `concurrent.futures.CancelledError` where it was cancelled.
    """
    loop = asyncio.get_running_loop()
    done = asyncio.Event()

    def report(_: Future[Result]) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(done.set)

    work.add_done_callback(report)
    await done.wait()
    return work.result()
