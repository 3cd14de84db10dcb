"""The local engines: how many callers one core hears and answers before answers are late."""

from __future__ import annotations

from collections.abc import Iterator

from benchmarks.figures import Figure, percentile
from benchmarks.full.table import LeftOut, Row
from benchmarks.full.voice import spoken_sentence
from benchmarks.runs import LOCAL, run

__all__ = ["local"]

_RUNGS = (1, 2, 4, 6, 8, 12, 16, 24)
_LATE_MS = 1_500
_SECONDS = 20.0


def local(*, quick: bool) -> Iterator[Row]:
    """Climb until one answer in twenty begins later than a second and a half after the caller's last sound."""
    voice = spoken_sentence()
    if voice is None:
        yield LeftOut("calls per core, local engines", "the extra `local` is not installed")
        return
    carried, why = 0, "more were not tried"
    for calls in _RUNGS[:1] if quick else _RUNGS:
        measured = run(LOCAL, calls=calls, seconds=_SECONDS, voice=voice)
        waited_ms = measured.report.answers_ms
        p95_ms = percentile(waited_ms, 0.95)
        yield Figure(
            f"{calls} calls, local engines",
            measured.cpu_s_per_call_minute,
            "s of CPU per call-minute",
            None,
            spread=f"end of voice → first audio p50 {percentile(waited_ms, 0.5):.0f} ms, p95 {p95_ms:.0f}",
            how=measured.how,
        )
        if p95_ms > _LATE_MS or measured.report.unanswered or measured.report.broken:
            why = f"at {calls}: p95 {p95_ms:.0f} ms, {measured.report.unanswered} unanswered"
            break
        carried = calls
    yield Figure(
        "calls per core, local engines",
        carried,
        "calls",
        None,
        how=f"Silero and Moonshine for every call, Hibari's sentences made ahead; late: p95 over {_LATE_MS} ms; {why}",
    )
