"""A soak: ten lines that are never idle for three minutes; the last minute is like the first."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults_real.processes import Counts, ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit, media

LINES = 10
WARM_S, MINUTE_S, MINUTES = 70, 55, 3
"""Ten lines at a time have to have met in every way before a process has all the memory that they take."""
STORY_S = 3
FRAMES_AT_ONCE = 5


async def speak(carrier: RawCarrier, call: str) -> None:
    """Send the caller's audio, as a carrier does all the time."""
    frames = media(call)
    while True:
        for _ in range(FRAMES_AT_ONCE):
            carrier.sends(frames)
        await asyncio.sleep(FRAMES_AT_ONCE * 0.02)


async def steady_call(server: ServerProcess, call: str) -> None:
    """Hear the greeting, a few seconds of a story and the goodbye, to the end."""
    carrier = await RawCarrier.calls(server.port, call)
    speaking = asyncio.create_task(speak(carrier, call))
    ending = asyncio.create_task(carrier.close_code())
    await asyncio.sleep(1)
    carrier.sends(digit(call, "1"))
    await asyncio.sleep(STORY_S)
    carrier.sends(digit(call, "9"))
    assert await ending == 1000
    speaking.cancel()
    carrier.breaks()


async def steady_calls(server: ServerProcess, numbers: itertools.count[int], seconds: float) -> None:
    """Have every line call again and again for so long."""
    until_s = time.monotonic() + seconds

    async def line() -> None:
        while time.monotonic() < until_s:
            await steady_call(server, f"CA{next(numbers)}")

    await asyncio.gather(*(line() for _ in range(LINES)))


@pytest.mark.measures
@pytest.mark.timeout(400)
def test_the_last_minute_is_like_the_first(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    write_shop(tmp_path)
    numbers = itertools.count(1)
    with ServerProcess(tmp_path, counted=True) as server:
        fresh = server.counts()
        asyncio.run(steady_calls(server, numbers, WARM_S))
        server.at_rest(fresh)
        minutes: list[Counts] = []
        at_rest: list[Counts] = []
        for _ in range(MINUTES):
            asyncio.run(steady_calls(server, numbers, MINUTE_S))
            minutes.append(server.counts())
            at_rest.append(server.at_rest(fresh))
        first, last = at_rest[0], at_rest[-1]
        assert [each.held for each in at_rest] == [fresh.held] * MINUTES
        calls = next(numbers) - 1
        # The allocator of a fresh process still takes what it needs; what a call costs, five thousand of them show.
        assert last.rss_kib - first.rss_kib < 2_048
        # Both are of one run on one machine. A beat that is 20 ms late is still inside what is sent ahead.
        assert min(minute.late_p95_ms for minute in minutes[1:]) <= minutes[0].late_p95_ms * 1.5 + 5
        assert min(minute.late_p50_ms for minute in minutes) <= 5
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
        assert "Traceback" not in server.log
    left = tuple(now - then for now, then in zip(last.held, fresh.held, strict=True))
    record_property(
        f"soak of {MINUTES * MINUTE_S + WARM_S} s",
        f"{calls} calls; memory {last.rss_kib - first.rss_kib:+d} KiB in the last {(MINUTES - 1) * MINUTE_S} s; "
        f"tasks, threads, files, sessions left {left}; "
        f"beat late p95 {minutes[0].late_p95_ms} ms in the first minute, {minutes[-1].late_p95_ms} ms in the last",
    )
