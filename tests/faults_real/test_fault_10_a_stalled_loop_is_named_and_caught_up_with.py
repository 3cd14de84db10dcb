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
ATTEMPTS = 3


async def arrivals(carrier: RawCarrier, *, until_ms: int) -> list[tuple[float, int]]:
    """When audio came, in seconds, and how many milliseconds of it; until there is so much."""
    came: list[tuple[float, int]] = []
    async for event in carrier.events():
        if event["event"] == "media":
            came.append((time.monotonic(), len(base64.b64decode(event["media"]["payload"])) // 8))
        if sum(ms for _, ms in came) >= until_ms:
            break
    return came


def poured_out(came: list[tuple[float, int]]) -> int:
    """How many milliseconds of audio came together, right after the longest gap; the story must have been held up."""
    gaps = [later - earlier for (earlier, _), (later, _) in itertools.pairwise(came)]
    stalled = max(range(len(gaps)), key=gaps.__getitem__)
    assert gaps[stalled] >= STALL_S - 0.2, "the story was held up"
    resumed_s = came[stalled + 1][0]
    return sum(ms for at_s, ms in came[stalled + 1 :] if at_s - resumed_s < 0.04)


@pytest.mark.measures
def test_the_stack_is_logged_and_the_audio_is_not_poured_out(tmp_path: Path) -> None:
    write_shop(tmp_path, stall_s=STALL_S)

    async def scenario(server: ServerProcess, call: str) -> list[tuple[float, int]]:
        recorded = server.log.count("is recorded in")
        carrier = await RawCarrier.calls(server.port, call)
        await asyncio.to_thread(server.until_logged, "is recorded in", times=recorded + 1)
        carrier.sends(digit(call, "1"))
        came = await arrivals(carrier, until_ms=5_000)
        carrier.breaks()
        return came

    with ServerProcess(tmp_path) as server:
        # A caller who is not given the processor finds together what came apart: the server's doing is there each time.
        least_ms = min(poured_out(asyncio.run(scenario(server, f"CA{number}"))) for number in range(ATTEMPTS))
        assert least_ms <= 200 + 2 * 40 + 100, "the first 200 ms, then twice real time, in pieces of 100 ms"
        server.until_logged("the event loop goes on after")
        told, *_ = [line for line in server.log.splitlines() if "held up for more than 100 ms" in line]
        assert f"tool opening_hours at {tmp_path}/phases/shop/__init__.py:" in told
        assert " < " in told
