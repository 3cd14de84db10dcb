"""Rows: what a server cost its machine and its callers, and how many calls at once it holds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from benchmarks.figures import percentile
from benchmarks.runs import Run
from voiceagent.audio import FRAME_MS

__all__ = ["Capacity", "Row", "capacity_of", "row_of"]

_GROWTH_MS = 50
"""A server holds as many calls as it answers with a p99 at most so much beyond the p99 of one call."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """How far a server went up the ladder."""

    calls: int
    """The most that it held."""
    then: str = ""
    """What came at the next step; empty where there was no next step."""
    is_bound: bool = False
    """It was not the server that gave way."""

    @property
    def text(self) -> str:
        """As it is shown."""
        return f"≥ {self.calls}" if self.is_bound else str(self.calls)


@dataclass(frozen=True, slots=True)
class Row:
    """One server under the main load."""

    peer: str
    version: str
    cpu_s_per_call_minute: float
    answer_p50_ms: float
    """First audio of an answer, beyond the silence that the server is told to wait."""
    answer_p99_ms: float
    clear_p50_ms: float
    """From the first sound of a caller who cuts in."""
    clear_p99_ms: float
    clears: int
    turns: int
    talked_on: int
    """Sentences that went on when a caller who had cut in was silent again; none of them counts as an answer."""
    underruns: int
    unanswered: int
    broken: int
    mib_before: float
    mib_after: float
    mib_per_call: float
    """From before the load to its steady part."""
    generator_late_p99_ms: float
    waited_share: float
    """Of the time: its event loop could have run, and its core had something else to do."""
    capacity: Capacity | None = None


def row_of(peer: str, version: str, main: Run, ladder: Sequence[Run] = (), *, silence_ms: int) -> Row:
    """Return the row of a server's main load, and of its ladder where it climbed one."""
    report = main.report
    answers_ms = _answers_ms(main, silence_ms)
    # The first silent frame is sent when the voice is over, and is itself a frame of silence when it arrives.
    waited_ms = silence_ms - FRAME_MS
    return Row(
        peer=peer,
        version=version,
        cpu_s_per_call_minute=main.cpu_s_per_call_minute,
        answer_p50_ms=percentile(answers_ms, 0.5) - waited_ms,
        answer_p99_ms=percentile(answers_ms, 0.99) - waited_ms,
        clear_p50_ms=percentile(report.clears_ms, 0.5),
        clear_p99_ms=percentile(report.clears_ms, 0.99),
        clears=len(report.clears_ms),
        turns=report.turns,
        talked_on=len(report.answers_ms) - len(answers_ms),
        underruns=report.underruns,
        unanswered=report.unanswered,
        broken=report.broken,
        mib_before=main.kib_before / 1024,
        mib_after=main.kib_after / 1024,
        mib_per_call=(median(main.pss_kib) - main.kib_before) / report.calls / 1024,
        generator_late_p99_ms=report.late_p99_ms,
        waited_share=main.waited_share,
        capacity=capacity_of(ladder, silence_ms=silence_ms) if ladder else None,
    )


def capacity_of(ladder: Sequence[Run], *, silence_ms: int) -> Capacity:
    """Return how many calls a server held: of the steps climbed, the last before one that it did not hold."""
    allowed_ms = percentile(_answers_ms(ladder[0], silence_ms), 0.99) + _GROWTH_MS
    held = 0
    for step in ladder:
        report = step.report
        why = _gave_way(step, _answers_ms(step, silence_ms), allowed_ms)
        if why:
            spoiled = step.spoiled
            return Capacity(held, f"{spoiled or why} at {report.calls}", is_bound=bool(spoiled))
        held = report.calls
    return Capacity(held, is_bound=True)


def _gave_way(step: Run, answers_ms: Sequence[float], allowed_ms: float) -> str:
    """Return in what a step was too much; empty where it was not."""
    report = step.report
    if report.broken:
        return f"{report.broken} connections broken"
    if report.unanswered or not answers_ms:
        return f"{report.unanswered} turns unanswered"
    p99_ms = percentile(answers_ms, 0.99)
    if p99_ms > allowed_ms:
        return f"answers {p99_ms - allowed_ms + _GROWTH_MS:.0f} ms later than those of one call (p99)"
    return ""


def _answers_ms(served: Run, silence_ms: int) -> list[float]:
    # What comes long before the silence is over is the rest of a sentence that had not been stopped for the caller.
    return [ms for ms in served.report.answers_ms if ms >= silence_ms / 2]
