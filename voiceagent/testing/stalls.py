"""Stalls: whoever waits for an engine that never answers waits for ever, and nobody takes that for work under way."""

from __future__ import annotations

import asyncio

__all__ = ["Stalls"]


class Stalls:
    """How many tasks of one simulated call wait for an answer that never comes."""

    def __init__(self) -> None:
        self.waiting = 0

    async def wait(self) -> None:
        """Never return; whoever waits may be cancelled."""
        self.waiting += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.waiting -= 1
