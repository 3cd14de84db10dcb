"""What it takes to begin: import, the flow, and the engines' models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.figures import Figure
from benchmarks.full.table import LeftOut, Row

__all__ = ["starting"]

_FLOW = (
    "from time import perf_counter, process_time; began, spent = perf_counter(), process_time()\n"
    "from pathlib import Path\n"
    "import voiceagent\n"
    "from voiceagent.runtime.loader import load_flow\n"
    "load_flow(Path('phases/bank'))\n"
    "print((perf_counter() - began) * 1000, (process_time() - spent) * 1000)"
)
_ENGINES = (
    "from time import perf_counter, process_time; began, spent = perf_counter(), process_time()\n"
    "from voiceagent.speech import open_engines\n"
    "engines = open_engines('local')\n"
    "print((perf_counter() - began) * 1000, (process_time() - spent) * 1000)\n"
    "engines.close()"
)


def starting(*, quick: bool) -> Iterator[Row]:
    """Measure in fresh processes, without what an interpreter takes to begin."""
    rounds = 3 if quick else 11
    yield _started("start: import and load a flow", _FLOW, rounds, 150, how="`import voiceagent` and phases/bank")
    try:
        yield _started(
            "start: the local engines",
            _ENGINES,
            min(rounds, 5),
            1_000,
            how="libraries, weights with their checksums, and one run of each",
        )
    except subprocess.CalledProcessError:
        yield LeftOut("start: the local engines", "the extra `local` is not installed")


def _started(what: str, code: str, rounds: int, goal_ms: float, *, how: str) -> Figure:
    took = [_took_ms(code) for _ in range(rounds)]
    waited_ms, spent_ms = [wall_ms for wall_ms, _ in took], [cpu_ms for _, cpu_ms in took]
    return Figure(
        what,
        median(waited_ms),
        "ms",
        goal_ms,
        spread=f"{min(waited_ms):.0f}–{max(waited_ms):.0f}; CPU time {median(spent_ms):.0f}",
        how=f"median of {rounds} processes, from the interpreter's first line on: {how}",
    )


def _took_ms(code: str) -> tuple[float, float]:
    """Return what it took by the clock and of the processor."""
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603 - our own
    wall_ms, cpu_ms = done.stdout.split()[-2:]
    return float(wall_ms), float(cpu_ms)
