"""Endurance: ten minutes at four fifths of what a core carries, minute by minute."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from benchmarks.figures import Figure, percentile
from benchmarks.full.capacity import LATENCY_MS
from benchmarks.full.table import LeftOut, Row
from benchmarks.runs import OURS, Run, delays_ms, run
from benchmarks.watch import cpu_between_s, waited_between_s

__all__ = ["endurance"]

_SHARE = 0.8
_SECOND_NS = 1_000_000_000
_MINUTE_NS = 60 * _SECOND_NS
_LEAST_CALLS = 25
_LASTING_S = 180.0
"""Callers hang up after that, and others ring: what has been said is kept for as long as its call goes on."""
_SETTLED_MINUTE = 4
"""The first in which calls of every age are there."""
_FLAT_KIB_PER_MINUTE = 500.0
"""Of a process that fills pages which it has given back before; a leak of 1 KiB a turn would be ten times as much."""


def endurance(*, quick: bool) -> Iterator[Row]:
    """Tell latency, CPU and memory of every minute."""
    carried = _carried(Path("bench-output/bench-full.json"))
    if carried is None:
        yield LeftOut("ten minutes at 80 % of capacity", "measure `capacity` first")
        return
    calls = max(_LEAST_CALLS, int(carried * _SHARE))
    minutes = 1 if quick else 10
    measured = run(OURS, calls=calls, seconds=60.0 * minutes + 1, lasting_s=_LASTING_S)
    begin_ns, p99s_ms, sizes_kib = measured.report.steady_from_ns, list[float](), list[float]()
    for minute in range(minutes):
        from_ns = begin_ns + minute * _MINUTE_NS
        seconds = _delays_ms_by_second(measured, from_ns)
        delays = [delay_ms for second in seconds for delay_ms in second]
        late = [sum(delay_ms > LATENCY_MS for delay_ms in second) for second in seconds]
        p99s_ms.append(percentile(delays, 0.99))
        sizes_kib.append(
            median(s.pss_kib for s in measured.steady if s.pss_kib and from_ns <= s.at_ns < from_ns + _MINUTE_NS)
        )
        cpu_s = cpu_between_s(measured.samples, from_ns, from_ns + _MINUTE_NS)
        waited_s = waited_between_s(measured.samples, from_ns, from_ns + _MINUTE_NS)
        yield Figure(
            f"minute {minute + 1} of {calls} calls: framework latency p99",
            p99s_ms[-1],
            "ms",
            LATENCY_MS,
            spread=f"memory {sizes_kib[-1] / 1024:.1f} MiB, {cpu_s / calls:.3f} s of CPU per call-minute",
            how=f"{len(delays)} turns, {sum(late)} answered later, in {sum(map(bool, late))} of the 60 seconds; "
            f"the server waited {waited_s / 60:.0%} of the time for its core",
        )
    first = median(p99s_ms[: max(1, minutes // 2)])
    yield Figure("framework latency p99, second half / first", median(p99s_ms[minutes // 2 :]) / first, "×", 1.5)
    settled_at = min(_SETTLED_MINUTE, minutes) - 1
    grown = (sizes_kib[-1] - sizes_kib[settled_at]) / max(1, minutes - 1 - settled_at)
    what = f"memory, growth from minute {settled_at + 1} on"
    yield Figure(what, grown, "KiB a minute", _FLAT_KIB_PER_MINUTE, how=f"calls of {_LASTING_S:.0f} s; {measured.how}")
    tasks = measured.inside["tasks"]
    settled = tasks[len(tasks) // 4 : -1] or tasks
    yield Figure("tasks at most, second half / first", _halves(settled), "×", 1.1, how=f"{max(settled)} at most")


def _halves(values: list[int]) -> float:
    middle = max(1, len(values) // 2)
    return max(values[middle:] or values) / max(values[:middle])


def _delays_ms_by_second(measured: Run, from_ns: int) -> list[list[float]]:
    """Return what was seen in each second of a minute: answers that come late together have waited for one thing."""
    seconds: list[dict[str, list[int]]] = [{} for _ in range(60)]
    for call, instants in measured.report.audio_at_ns.items():
        for at_ns in instants:
            if from_ns <= at_ns < from_ns + _MINUTE_NS:
                seconds[(at_ns - from_ns) // _SECOND_NS].setdefault(call, []).append(at_ns)
    return [delays_ms(measured.inside["turn_over_at_ns"], seen) for seen in seconds]


def _carried(kept: Path) -> int | None:
    """Return how many calls a core carries, as it was measured last."""
    if not kept.exists():
        return None
    figures = json.loads(kept.read_text()).get("capacity", {}).get("figures", ())
    return next((int(each["value"]) for each in figures if each["what"] == "calls per core, energy"), None)
