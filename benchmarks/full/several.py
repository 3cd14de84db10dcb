"""Two workers: whether a call costs the same where two processes take calls from one port."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from statistics import median

from benchmarks.figures import Figure
from benchmarks.full.cost import ratio_of
from benchmarks.full.table import LeftOut, Row
from benchmarks.runs import Run, run, workers

__all__ = ["several"]

_CALLS_EACH = 50
"""As many for each worker: a call costs less beside many than beside few, whoever takes it."""
_ROUNDS = 3
_CORES = f"{os.cpu_count()} cores, shared by all"


def several(*, quick: bool) -> Iterator[Row]:
    """Serve by one process and by two, in turn, with as many calls for each worker."""
    seconds, runs = (5.0 if quick else 15.0), {1: list[Run](), 2: list[Run]()}
    for _ in range(1 if quick else _ROUNDS):
        for count, done in runs.items():
            with workers(count) as server:
                done.append(run(server, calls=count * _CALLS_EACH, seconds=seconds))
    for count, done in runs.items():
        spent_s = median(each.cpu_s_per_call_minute for each in done)
        yield Figure(f"CPU per call-minute, `--workers {count}`", spent_s, "s", None, how=done[-1].how)
    row = ratio_of("`--workers 2` / `--workers 1`", runs[2], runs[1], 1.1)
    yield row if isinstance(row, LeftOut) else replace(row, how=f"{row.how}, {_CALLS_EACH} calls a worker; {_CORES}")
