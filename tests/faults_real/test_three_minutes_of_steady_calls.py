"""A soak: ten lines that are never idle for three minutes; the last minute is like the first."""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest

from tests.faults_real.processes import Counts, ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit, media

LINES = 10
WARM_S, MINUTE_S, MINUTES = 35, 47, 3
"""The last call of every line is let finish each time: with these, it is three minutes and a half."""
STORY_S = 3
FRAMES_AT_ONCE = 5
BEAT_S = 0.02
MOST_BYTES, MOST_BLOCKS = 1_024, 10
"""What a call may leave in use: whatever is kept of each has more of the one or the other."""


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


async def beats(late_ms: list[float]) -> None:
    """Note how late this process is woken, which has little to do: the machine has kept it waiting."""
    while True:
        due_s = time.monotonic() + BEAT_S
        await asyncio.sleep(BEAT_S)
        late_ms.append((time.monotonic() - due_s) * 1_000)


async def steady_calls(server: ServerProcess, numbers: itertools.count[int], seconds: float) -> float:
    """Have every line call again and again for so long; return how late this process was meanwhile, in ms, p50."""
    until_s = time.monotonic() + seconds
    late_ms: list[float] = []
    beating = asyncio.create_task(beats(late_ms))

    async def line() -> None:
        while time.monotonic() < until_s:
            await steady_call(server, f"CA{next(numbers)}")

    await asyncio.gather(*(line() for _ in range(LINES)))
    beating.cancel()
    return median(late_ms)


@dataclass(frozen=True, slots=True)
class Minute:
    """What there was before it, while all lines were busy, and when they had ended."""

    before: Counts
    busy: Counts
    after: Counts
    calls: int
    waited_ms: float
    """How late the callers' process was, p50."""

    @property
    def bytes_left(self) -> float:
        """How much more is in use after each call than before it."""
        return (self.after.malloc_bytes - self.before.malloc_bytes) / self.calls

    @property
    def blocks_left(self) -> float:
        """How many more blocks are in use after each call than before it."""
        return (self.after.blocks - self.before.blocks) / self.calls

    @property
    def late_ms(self) -> float:
        """How late the beats of the calls were, p50, beyond what everybody on this machine was."""
        return self.busy.late_p50_ms - self.waited_ms

    @property
    def cost_ms(self) -> float:
        """How much of the processor's time each call has taken."""
        return (self.busy.cpu_ms - self.before.cpu_ms) / self.calls


def a_minute(server: ServerProcess, numbers: itertools.count[int], before: Counts, fresh: Counts) -> Minute:
    """Have all lines call for so long, and let them end."""
    made = len(server.journals)
    waited_ms = asyncio.run(steady_calls(server, numbers, MINUTE_S))
    return Minute(before, server.counts(), server.at_rest(fresh), len(server.journals) - made, waited_ms)


@pytest.mark.measures
@pytest.mark.timeout(300)
def test_the_last_minute_is_like_the_first(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    write_shop(tmp_path)
    numbers = itertools.count(1)
    with ServerProcess(tmp_path, counted=True) as server:
        fresh = server.counts()
        asyncio.run(steady_calls(server, numbers, WARM_S))
        warm = server.at_rest(fresh)
        minutes: list[Minute] = []
        for _ in range(MINUTES):
            minutes.append(a_minute(server, numbers, minutes[-1].after if minutes else warm, fresh))
        first, *later = minutes
        assert [each.after.held for each in minutes] == [fresh.held] * MINUTES
        # In use, and not taken from the system: that has a step of a mebibyte wherever ten lines meet as never before,
        # and only five thousand calls show more than such steps. What is kept of calls is kept in every minute; what is
        # kept once, like the lines of a file that a warning quotes, in one of three.
        bytes_left = median(each.bytes_left for each in minutes)
        blocks_left = median(each.blocks_left for each in minutes)
        assert bytes_left < MOST_BYTES, minutes
        assert blocks_left < MOST_BLOCKS, minutes
        # A call takes as much of the processor's time whoever else has work for it; how late beats are is up to them.
        assert min(each.cost_ms for each in later) <= first.cost_ms * 1.5
        assert min(each.late_ms for each in minutes) <= 5
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
        assert "Traceback" not in server.log
    last = later[-1]
    left = tuple(now - then for now, then in zip(last.after.held, fresh.held, strict=True))
    record_property(
        f"soak of {MINUTES * MINUTE_S + WARM_S} s",
        f"{next(numbers) - 1} calls; {bytes_left:.0f} bytes and {blocks_left:.1f} blocks left in use by a call, memory "
        f"taken from the system {last.after.rss_kib - warm.rss_kib:+d} KiB in the last {MINUTES * MINUTE_S} s; "
        f"tasks, threads, files, sessions left {left}; "
        f"processor {first.cost_ms:.0f} ms a call in the first minute, {last.cost_ms:.0f} ms in the last; "
        f"beat late p50 {first.busy.late_p50_ms} ms where the callers' process was {first.waited_ms:.0f} ms, "
        f"p95 {first.busy.late_p95_ms} ms in the first minute, {last.busy.late_p95_ms} ms in the last",
    )
