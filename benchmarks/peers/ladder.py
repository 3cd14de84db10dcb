"""The ladder: more and more calls at one server, until it answers them later than one, or not as it should."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from benchmarks.figures import percentile
from benchmarks.peers.process import PeerFailed
from benchmarks.runs import Run

__all__ = ["LADDER", "Capacity", "Step", "answers_ms", "capacity_of", "climb"]

LADDER = (1, 25, 50, 100, 200, 400)
_STEP_SECONDS = 10.0
_BEYOND_ONE_CALL_MS = 50
"""As in `bench-full`. Beyond the median of one call, so that a verdict for which a server waits by its design does not
count as load; of the three or four answers that one call hears, the slowest says nothing."""


@dataclass(frozen=True, slots=True)
class Step:
    """So many calls at once, or why they came to no end."""

    calls: int
    served: Run | None
    failed: str = ""


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


def climb(place: Callable[..., Run], silence_ms: int, ladder: Sequence[int] = LADDER) -> list[Step]:
    """Return step after step, the last of which was too much for the server, or for the generator, twice.

    A step at which the server fails is the last: it is the same server at every step, and may be gone.
    """
    steps: list[Step] = []
    for calls in ladder:
        step = _step(place, calls)
        if step.served is not None and capacity_of([*steps, step], silence_ms=silence_ms).then:
            step = _step(place, calls)  # what comes once may be the machine's
        steps.append(step)
        if capacity_of(steps, silence_ms=silence_ms).then:
            break
    return steps


def _step(place: Callable[..., Run], calls: int) -> Step:
    try:
        return Step(calls, place(calls=calls, seconds=_STEP_SECONDS))
    except PeerFailed as exc:
        return Step(calls, None, str(exc))


def capacity_of(ladder: Sequence[Step], *, silence_ms: int) -> Capacity:
    """Return how many calls a server held: of the steps climbed, the last before one that it did not hold."""
    alone = ladder[0].served
    usual_ms = percentile(answers_ms(alone, silence_ms), 0.5) if alone is not None else 0.0
    held = 0
    for step in ladder:
        if step.served is None:
            return Capacity(held, f"{step.failed} at {step.calls}")
        why = _gave_way(step.served, answers_ms(step.served, silence_ms), usual_ms)
        if why:
            spoiled = step.served.spoiled
            return Capacity(held, f"{spoiled or why} at {step.calls}", is_bound=bool(spoiled))
        held = step.calls
    return Capacity(held, is_bound=True)


def _gave_way(step: Run, waited_ms: Sequence[float], usual_ms: float) -> str:
    """Return in what a step was too much; empty where it was not."""
    report = step.report
    if report.broken or report.dropped_frames:
        return f"{report.broken} connections broken, {report.dropped_frames} frames not read"
    if report.unanswered or not waited_ms:
        return f"{report.unanswered} turns unanswered"
    if report.underruns:
        return f"{report.underruns} underruns"
    later_ms = percentile(waited_ms, 0.99) - usual_ms
    return f"answers {later_ms:.0f} ms later (p99) than one call's (p50)" if later_ms > _BEYOND_ONE_CALL_MS else ""


def answers_ms(served: Run, silence_ms: int) -> list[float]:
    """Return how long answers were waited for, the silence that the server is told to wait included."""
    # What comes long before the silence is over is the rest of a sentence that had not been stopped for the caller.
    return [ms for ms in served.report.answers_ms if ms >= silence_ms / 2]
