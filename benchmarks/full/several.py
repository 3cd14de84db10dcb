"""Two workers: whether a call costs the same where two processes take calls from one port."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.full.table import Row
from benchmarks.runs import run, workers

__all__ = ["several"]

_CALLS = 50
_ROUNDS = 2


def several(*, quick: bool) -> Iterator[Row]:
    """Serve the same calls by one process and by two, in turn."""
    seconds, spent = (8.0 if quick else 20.0), {1: list[float](), 2: list[float]()}
    how = ""
    for _ in range(1 if quick else _ROUNDS):
        for count, spent_s in spent.items():
            with workers(count) as server:
                measured = run(server, calls=_CALLS, seconds=seconds)
            spent_s.append(measured.cpu_s_per_call_minute)
            how = measured.how
    one, two = (sum(spent_s) / len(spent_s) for spent_s in spent.values())
    yield Figure(
        "CPU per call-minute, `--workers 1`", one, "s", None, how="`voiceagent serve`, not on a core of its own"
    )
    yield Figure("CPU per call-minute, `--workers 2`", two, "s", None, how=how)
    yield Figure("`--workers 2` / `--workers 1`", two / one, "×", 1.1, how=f"of means; {os.cpu_count()} cores")
