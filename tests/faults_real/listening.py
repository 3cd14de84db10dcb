"""Callers who are told a story and note how evenly it comes."""

from __future__ import annotations

import asyncio
import itertools
import time

from tests.faults_real.processes import ServerProcess
from tests.threats.served import RawCarrier, digit

__all__ = ["listen", "p95", "p95_of_pauses"]


async def listen(server: ServerProcess, call: str, seconds: float) -> list[float]:
    """Call and be told a story for so long; return the pauses between its pieces, in milliseconds."""
    carrier = await RawCarrier.calls(server.port, call)
    carrier.sends(digit(call, "1"))
    came: list[float] = []
    until_s = time.monotonic() + seconds
    async for event in carrier.events():
        if event["event"] == "media":
            came.append(time.monotonic() * 1_000)
        if time.monotonic() > until_s:
            break
    carrier.sends(digit(call, "9"))
    assert await carrier.close_code() == 1000
    carrier.breaks()
    return [later - earlier for earlier, later in itertools.pairwise(came[20:])]  # without the greeting


async def p95_of_pauses(server: ServerProcess, name: str, *, calls: int, seconds: float) -> float:
    """Of so many callers who listen at once."""
    heard = await asyncio.gather(*(listen(server, f"CA{name}{number}", seconds) for number in range(calls)))
    return p95([pause for pauses in heard for pause in pauses])


def p95(values: list[float]) -> float:
    return sorted(values)[len(values) * 95 // 100]
