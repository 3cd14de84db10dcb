"""Fault 16: five thousand short calls to one server, which has no more of anything afterwards than before."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit

WARM, CALLS = 200, 5_000
STEADY = 1_000
"""From this call on memory must not grow."""
AT_ONCE = 25
EVERY = 100
"""Memory is looked at so often, in calls."""
MOST_LEFT = CALLS // 100
"""Objects of one type: what every tenth call does is done five hundred times."""
RESUME_WITHIN_MS = 1_000


async def hear_something(carrier: RawCarrier) -> None:
    """Return with the first piece of what the agent says next."""
    while True:
        opcode, payload = await carrier.message()
        if opcode == 1 and b'"media"' in payload:
            return


async def short_call(server: ServerProcess, number: int) -> None:
    """Call, hear the greeting begin, and go: most hang up, some hear a goodbye, a story's beginning, or break off."""
    call = f"CA{number}"
    carrier = await RawCarrier.calls(server.port, call)
    await hear_something(carrier)
    match number % 10:
        case 0:
            carrier.sends(digit(call, "9"))
            assert await carrier.close_code() == 1000
        case 1:
            pass  # breaks off
        case 2:
            carrier.sends(digit(call, "1"))  # what is fetched for the story is still on its way then
            await hear_something(carrier)
            carrier.sends(f'{{"event":"stop","streamSid":"MZ-{call}"}}')
            assert await carrier.close_code() == 1000
        case _:
            carrier.sends(f'{{"event":"stop","streamSid":"MZ-{call}"}}')
            assert await carrier.close_code() == 1000
    carrier.breaks()


async def many_calls(server: ServerProcess, numbers: Iterable[int], look: Callable[[int], None]) -> None:
    """Make these calls, so many at a time; `look` is called after every hundred."""
    left, done = iter(numbers), itertools.count(1)

    async def one_after_another() -> None:
        for number in left:
            await short_call(server, number)
            if (so_far := next(done)) % EVERY == 0:
                look(so_far)

    await asyncio.gather(*(one_after_another() for _ in range(AT_ONCE)))


def slope(points: list[tuple[int, int]]) -> float:
    """Least squares: how much the second number rises for each one of the first."""
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / sum((x - mean_x) ** 2 for x, _ in points)


@pytest.mark.measures
@pytest.mark.timeout(400)
def test_memory_does_not_grow_and_everything_is_given_back(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    write_shop(tmp_path, resume_within_ms=RESUME_WITHIN_MS)
    with ServerProcess(tmp_path, "--max-calls", "200", counted=True) as server:
        fresh = server.counts()
        asyncio.run(many_calls(server, range(CALLS, CALLS + WARM), lambda _: None))
        before = server.at_rest(fresh)
        memory: list[tuple[int, int]] = []
        asyncio.run(many_calls(server, range(CALLS), lambda number: memory.append((number, server.rss_kib()))))
        after = server.at_rest(fresh)
        grown = {name: count - before.objects.get(name, 0) for name, count in after.objects.items()}
        bytes_per_call = 1_024 * slope([point for point in memory if point[0] >= STEADY])
        assert before.held == after.held == fresh.held
        assert {name: count for name, count in grown.items() if count > MOST_LEFT} == {}, "objects that were left"
        assert bytes_per_call < 1_024, memory
        journals = server.journals
        assert len(journals) == CALLS + WARM
        assert all(b'"event":"CallEnded"' in file.read_bytes() for file in journals), "every record is closed"
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
        assert "Traceback" not in server.log
    record_property(f"growth of memory over calls {STEADY} to {CALLS}", f"{bytes_per_call:.0f} bytes a call")
    left = tuple(now - then for now, then in zip(after.held, fresh.held, strict=True))
    record_property(f"tasks, threads, files, sessions that {CALLS} calls have left", str(left))
