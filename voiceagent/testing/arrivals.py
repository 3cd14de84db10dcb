"""Arrivals: the same call again and again, each time with other things happening a moment later.

On a virtual clock everything happens exactly when it is due, in one order; in production it does not. A schedule lets
some of what comes from outside (timers, answers, messages) arrive late, by up to a window, and some turns of the event
loop later than its neighbours: things that are near each other in time change places, within what a loaded machine does
too. What a callback sets going keeps its order, since asyncio promises that order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from voiceagent.testing.schedule import shrink

__all__ = ["Arrivals", "ArrivalsFailed", "Late", "explore"]

_MOST_RERUNS = 300
"""For making a failure small; what is left then is printed as it is."""
_ONE_IN = 3
"""So many arrivals come late: enough to change the order, few enough that most neighbours keep their distance."""
_MOST_TURNS = 3
_BITS = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Late:
    """One arrival that was held back."""

    number: int
    """Which of the run's arrivals, from 0."""
    due_ms: int
    late_us: int
    turns: int
    """Turns of the event loop beyond that time."""
    what: str

    def __str__(self) -> str:
        turns = f" and {self.turns} turns" if self.turns else ""
        return f"arrival {self.number}, due at {self.due_ms} ms, {self.late_us / 1_000:.1f} ms{turns} late: {self.what}"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Which arrivals of one run come late, and how late; the same seed gives the same in every process."""

    seed: int | None = None
    """None: everything comes when it is due."""
    only: tuple[int, ...] | None = None
    """Of what the seed holds back, just these arrivals; None: all of it."""
    window_ms: int = 20
    late: list[Late] = field(default_factory=list[Late], init=False, repr=False, compare=False)
    """What was held back, written down by the run."""

    def delay(self, number: int) -> tuple[int, int] | None:
        """Return by how many microseconds and turns this arrival is late; None where it is not."""
        if self.seed is None or (self.only is not None and number not in self.only):
            return None
        drawn = _mixed(self.seed, number)
        if drawn % _ONE_IN:
            return None
        drawn //= _ONE_IN
        return drawn % (self.window_ms * 1_000 + 1), (drawn >> 32) % (_MOST_TURNS + 1)


def _mixed(seed: int, number: int) -> int:
    """Return 64 bits that depend on both numbers (splitmix64): the same everywhere, and cheap."""
    mixed = (seed * 0xD1B54A32D192ED03 + number * 0x9E3779B97F4A7C15) & _BITS
    mixed = ((mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9) & _BITS
    mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & _BITS
    return mixed ^ (mixed >> 31)


class ArrivalsFailed(AssertionError):
    """A scenario does not hold under some schedule."""

    def __init__(self, message: str, schedule: Arrivals) -> None:
        super().__init__(message)
        self.schedule = schedule
        """The smallest one found under which it fails in the same way."""


def explore(run: Callable[[Arrivals], object], *, schedules: int = 200, window_ms: int = 20) -> None:
    """Run a scenario under the seeds 1, 2, 3…; it builds its call with the schedule it is given.

    Raises ArrivalsFailed for the first seed under which `run` raises, with the fewest arrivals that have to be late.
    """
    for seed in range(1, schedules + 1):
        schedule = Arrivals(seed, window_ms=window_ms)
        problem = _problem(run, schedule)
        if problem is None:
            continue
        smallest, problem = _smallest(run, schedule, problem)
        raise ArrivalsFailed(_told(smallest, problem), smallest) from problem


def _problem(run: Callable[[Arrivals], object], schedule: Arrivals) -> Exception | None:
    try:
        run(schedule)
    except Exception as exc:  # noqa: BLE001 - a scenario is a test: whatever it raises is what was looked for
        return exc
    return None


def _smallest(run: Callable[[Arrivals], object], schedule: Arrivals, problem: Exception) -> tuple[Arrivals, Exception]:
    """Return the schedule with the fewest late arrivals that still fails in the same way, and how."""
    kind = type(problem)
    failed: dict[tuple[int, ...], tuple[Arrivals, Exception]] = {}

    def fails(late: Sequence[Late]) -> bool:
        tried = replace(schedule, only=tuple(held.number for held in late))
        again = _problem(run, tried)
        if isinstance(again, kind):
            failed[tried.only or ()] = (tried, again)
        return isinstance(again, kind)

    needed = shrink(schedule.late, fails, at_most=_MOST_RERUNS)
    return failed.get(tuple(held.number for held in needed), (schedule, problem))


def _told(schedule: Arrivals, problem: Exception) -> str:
    late = "\n".join(f"    {held}" for held in schedule.late) or "    nothing: it fails when everything is on time"
    return (
        f"schedule {schedule.seed} fails: {type(problem).__name__}: {problem}\n"
        f"  it is enough that these come late:\n{late}\n"
        f"  run it again with {schedule!r}"
    )
