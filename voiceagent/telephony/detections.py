"""Detections: what a carrier finds out about who has answered, on its way to the call.

The carrier tells whichever worker its webhook comes to; the call may be at another one. So the word is noted in what
workers share, and whoever has the call looks there as long as it may still come.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from voiceagent.errors import StateUnavailable
from voiceagent.ports import Clock, SharedState

__all__ = ["Detections"]

_log = logging.getLogger(__name__)

_WITHIN_MS = 60_000
"""Carriers give up after 30 s or less, and their clock starts before ours."""
_LOOK_EVERY_MS = 400


class Detections:
    """The last word about each call, for as long as it is news."""

    def __init__(self, state: SharedState, clock: Clock) -> None:
        self._state = state
        self._clock = clock

    async def told(self, call: str, answered_by: str) -> None:
        """Note the carrier's word. Raises StateUnavailable."""
        await self._state.note(_key(call), answered_by, ttl_ms=_WITHIN_MS)

    @asynccontextmanager
    async def following(self, call: str, post: Callable[[str], None]) -> AsyncGenerator[None]:
        """Have every word about a call posted while the block lasts."""
        looking = asyncio.create_task(self._look(call, post))
        try:
            yield
        finally:
            looking.cancel()
            await asyncio.wait([looking])

    async def _look(self, call: str, post: Callable[[str], None]) -> None:
        until_ms = self._clock.now_ms() + _WITHIN_MS
        while self._clock.now_ms() < until_ms:
            try:
                word = await self._state.take(_key(call))
            except StateUnavailable as exc:
                _log.warning("call %s: nobody knows what its carrier has found out: %s", call, exc)
                word = None
            if word is not None:
                post(word)
            await self._clock.sleep(_LOOK_EVERY_MS)


def _key(call: str) -> str:
    return f"answered by:{call}"
