"""Under load: our server and the floor, one after the other, with the same callers and the same null engines."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, percentile
from benchmarks.runs import FLOOR, OURS, run

__all__ = ["load_figures"]

_CALLS = 25
_SECONDS = 20


def load_figures() -> Iterator[Figure]:
    """Measure what a call costs against the least it could cost, and how fast a decision reaches the wire."""
    floor = run(FLOOR, calls=_CALLS, seconds=_SECONDS)
    ours = run(OURS, calls=_CALLS, seconds=_SECONDS)
    yield Figure("CPU per call-minute, the floor", floor.cpu_s_per_call_minute, "s", None, how=floor.how)
    yield Figure("CPU per call-minute, ours", ours.cpu_s_per_call_minute, "s", None, how=ours.how)
    ratio = ours.cpu_s_per_call_minute / floor.cpu_s_per_call_minute
    spoiled = ours.spoiled or floor.spoiled
    how = f"not to be taken for anything: {spoiled}" if spoiled else "benchmarks/floor.py with the same callers"
    yield Figure("ours / floor", ratio, "×", None if spoiled else 1.5, how=how)
    yield Figure(
        "barge-in: decision → `clear` at the carrier",
        percentile(ours.clears_ms, 0.99),
        "ms",
        10,
        spread=f"p50 {percentile(ours.clears_ms, 0.5):.2f}",
        how=f"p99 of {len(ours.clears_ms)} barge-ins, socket and generator included",
    )
    yield Figure(
        "turn over → first audio at the carrier",
        percentile(ours.answers_ms, 0.99),
        "ms",
        10,
        spread=f"p50 {percentile(ours.answers_ms, 0.5):.2f}",
        how=f"p99 of {len(ours.answers_ms)} turns, each with a phase swap; engines take no time",
    )
