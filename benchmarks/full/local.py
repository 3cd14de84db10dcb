"""The local engines: how many callers one core hears and answers before answers are late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from benchmarks.figures import Figure, percentile
from benchmarks.full.capacity import Limit, capacity_of, climb, what_went_wrong
from benchmarks.full.table import LeftOut, Row
from benchmarks.full.voice import spoken_sentence
from benchmarks.runs import LOCAL, Run, run

__all__ = ["late_answers_of", "local"]

_RUNGS = (1, 2, 4, 6, 8, 12, 16, 24)
_LATE_MS = 1_500
_SECONDS = 20.0


def late_answers_of(measured: Run) -> Limit | None:
    """Return why so many are too many: what is too much for any server, or one answer in twenty that is late."""
    wrong, p95_ms = what_went_wrong(measured), percentile(measured.report.answers_ms, 0.95)
    if wrong is not None:
        return wrong
    return Limit(f"p95 {p95_ms:.0f} ms") if p95_ms > _LATE_MS else None


def local(*, quick: bool) -> Iterator[Row]:
    """Climb until one answer in twenty begins later than a second and a half after the caller's last sound."""
    voice = spoken_sentence()
    if voice is None:
        yield LeftOut("calls per core, local engines", "the extra `local` is not installed")
        return
    climbed = climb(
        lambda calls: run(LOCAL, calls=calls, seconds=_SECONDS, voice=voice),
        _RUNGS[:1] if quick else _RUNGS,
        late_answers_of,
    )
    for calls, measured in climbed.runs.items():
        waited_ms = measured.report.answers_ms
        yield Figure(
            f"{calls} calls, local engines",
            measured.cpu_s_per_call_minute,
            "s of CPU per call-minute",
            None,
            spread=f"end of voice → first audio p50 {percentile(waited_ms, 0.5):.0f} ms, "
            f"p95 {percentile(waited_ms, 0.95):.0f}",
            how=measured.how,
        )
    row = capacity_of("local engines", climbed, goal=None)
    about = f"Silero and Moonshine for every call, Hibari's sentences made ahead; late: p95 over {_LATE_MS} ms"
    yield row if isinstance(row, LeftOut) else replace(row, how=f"{about}; {row.how}")
