"""Waiting on the event loop for what a worker thread computes."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

__all__ = ["outcome"]

Result = TypeVar("Result")


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
