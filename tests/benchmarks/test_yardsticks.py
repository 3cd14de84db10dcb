"""The yardsticks measure: callers of the load generator get their answers, from the floor and from the real server."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.figures import Figure, percentile
from benchmarks.load import LoadReport, place

ROOT = Path(__file__).parents[2]


SERVERS = ("benchmarks.floor", "benchmarks.served")


@contextmanager
def serving(module: str) -> Generator[str]:
    """Run a server of the benchmarks; gives the address at which it takes calls."""
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", module], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    with process:
        yield f"ws://127.0.0.1:{int(process.stdout.readline())}/media/twilio/loadtest"
        process.communicate(timeout=20)


NOBODY = "ws://127.0.0.1:9/media/twilio/loadtest"
"""The discard service, which no machine has any more."""


async def all_of(addresses: Sequence[str]) -> list[LoadReport]:
    return await asyncio.gather(*(place(address, calls=2, seconds=10) for address in addresses))


def test_callers_under_load_are_answered_and_interrupt() -> None:
    with ExitStack() as running:
        addresses = [running.enter_context(serving(module)) for module in SERVERS]
        *reports, refused = asyncio.run(all_of([*addresses, NOBODY]))
    assert (refused.broken, refused.frames, refused.turns) == (2, 0, 0)
    for server, report in zip(SERVERS, reports, strict=True):
        assert 900 < report.frames <= 2 * 10 * 50, server
        assert report.dropped_frames == 0, server
        assert report.sent_bytes > report.frames * 300, server
        assert report.received_bytes > report.received_messages > 0, server
        assert report.steady_until_ns - report.steady_from_ns >= 9_900_000_000, server
        assert report.broken == 0, server
        assert report.unanswered == 0, server
        assert report.turns >= 4, server
        assert report.answers_ms, server
        assert report.clears_ms, server


def test_a_figure_knows_whether_its_goal_was_reached() -> None:
    assert Figure("speed", 1_200, "per s", 1_000, at_least=True).reached
    assert Figure("wait", 1_200, "ms", 1_000).reached is False
    assert Figure("wait", 1_200, "ms", None).reached is None


def test_percentiles_of_little_and_of_nothing() -> None:
    assert percentile([], 0.99) == 0
    assert percentile([3.0, 1.0, 2.0], 0.5) == 2
    assert percentile([3.0, 1.0, 2.0], 0.99) == 3
