"""In time: nobody waits for anything without a deadline, and deadlines go by the call's own clock."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from voiceagent.ports import Clock

__all__ = ["within"]


@asynccontextmanager
async def within(ms: int, clock: Clock) -> AsyncGenerator[None]:
    """Give the block so much time by this clock. Raises TimeoutError."""
    async with asyncio.timeout(None) as limit:
        ring = clock.call_at(clock.now_ms() + ms, lambda: limit.reschedule(0))
        try:
            yield
        finally:
            ring()
