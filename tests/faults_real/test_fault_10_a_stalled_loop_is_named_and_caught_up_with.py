"""Fault 10: a tool blocks the event loop for half a second while a story is told."""

from __future__ import annotations

import asyncio
import base64
import itertools
import time
from pathlib import Path

import pytest

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit

STALL_S = 0.6


async def arrivals(carrier: RawCarrier, *, until_ms: int) -> list[tuple[float, int]]:
    """When audio came, in seconds, and how many milliseconds of it; until there is so much."""
    came: list[tuple[float, int]] = []
    async for event in carrier.events():
        if event["event"] == "media":
            came.append((time.monotonic(), len(base64.b64decode(event["media"]["payload"])) // 8))
        if sum(ms for _, ms in came) >= until_ms:
            break
    return came


@pytest.mark.measures
def test_the_stack_is_logged_and_the_audio_is_not_poured_out(tmp_path: Path) -> None:
    write_shop(tmp_path, stall_s=STALL_S)

    async def scenario(server: ServerProcess) -> list[tuple[float, int]]:
        carrier = await RawCarrier.calls(server.port, "CA0")
        await asyncio.to_thread(server.until_logged, "is recorded in")
        carrier.sends(digit("CA0", "1"))
        came = await arrivals(carrier, until_ms=5_000)
        carrier.breaks()
        return came

    with ServerProcess(tmp_path) as server:
        came = asyncio.run(scenario(server))
        gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(came)]
        stalled = max(range(len(gaps)), key=gaps.__getitem__)
        assert gaps[stalled] >= STALL_S - 0.2, "the story was held up"
        resumed_s = came[stalled + 1][0]
        assert came[stalled + 1][1] <= 200
        within_a_moment = sum(ms for at_s, ms in came[stalled + 1 :] if at_s - resumed_s < 0.04)
        assert within_a_moment <= 200 + 2 * 40 + 100, "what follows comes at twice real time, in pieces of 100 ms"
        server.until_logged("the event loop goes on after")
        (told,) = [line for line in server.log.splitlines() if "held up for more than 100 ms" in line]
        assert f"tool opening_hours at {tmp_path}/phases/shop/__init__.py:" in told
        assert " < " in told
