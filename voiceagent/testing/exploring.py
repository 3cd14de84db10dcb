"""Exploring: thousands of laboratory calls by seed, and the first that breaks something made as small as it can be."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Generator, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from voiceagent.testing.fault_lab import LabCall, play
from voiceagent.testing.fault_plan import Deed, Fault, FaultPlan, LabLevel, drawn
from voiceagent.testing.schedule import Swap, shrink
from voiceagent.testing.simulated_world import Timing

__all__ = ["Explored", "as_test", "explored", "smallest"]

_AT_A_TIME = 50
_REPLAYED = 5
"""Of so many calls one is replayed from its record."""
_TRIES = {"core": 400, "runtime": 150}


@dataclass(slots=True)
class Explored:
    """What came of the calls of one level."""

    level: LabLevel
    calls: int = 0
    steps: int = 0
    phases: Counter[str] = field(default_factory=Counter[str])
    struck: Counter[str] = field(default_factory=Counter[str])
    did: Counter[str] = field(default_factory=Counter[str])
    failed: list[LabCall] = field(default_factory=list[LabCall])

    def add(self, other: Explored) -> None:
        """Count these as well."""
        self.calls += other.calls
        self.steps += other.steps
        self.phases.update(other.phases)
        self.struck.update(other.struck)
        self.did.update(other.did)
        self.failed += other.failed


def explored(level: LabLevel, *, first: int, calls: int, jobs: int) -> Iterator[Explored]:
    """Play the calls with these numbers, some at a time; yields what came of each lot."""
    lots = [range(begin, min(begin + _AT_A_TIME, first + calls)) for begin in range(first, first + calls, _AT_A_TIME)]
    if jobs == 1:
        yield from (_played(level, seeds) for seeds in lots)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(_played, [level] * len(lots), lots)


def _played(level: LabLevel, seeds: Sequence[int]) -> Explored:
    so_far = Explored(level)
    with _nothing_logged():
        for seed in seeds:
            call = play(drawn(seed, level), level, replay=seed % _REPLAYED == 0)
            so_far.add(
                Explored(
                    level,
                    calls=1,
                    steps=call.steps,
                    phases=call.phases,
                    struck=call.struck,
                    did=call.did,
                    failed=[call] if call.broken else [],
                )
            )
    return so_far


def smallest(call: LabCall) -> LabCall:
    """Return a call that breaks the same with as little as possible: deeds, faults, and what changes places."""
    plan, invariant = call.plan, call.broken[0].invariant
    found = call

    def fails(parts: Sequence[Deed | Fault | Swap | int]) -> bool:
        nonlocal found
        with _nothing_logged():
            again = play(_of(plan, parts), call.level)
        if again.broken and again.broken[0].invariant == invariant:
            found = again
            return True
        return False

    if fails((*plan.deeds, *plan.faults)):
        parts: Sequence[Deed | Fault | Swap | int] = (*plan.deeds, *plan.faults)
    else:
        parts = (*plan.deeds, *plan.faults, *call.order)
    needed = shrink(parts, fails, at_most=_TRIES[call.level])
    fails(needed)
    usual = replace(found.plan, timing=Timing())
    with _nothing_logged():
        again = play(usual, call.level)
    return again if again.broken and again.broken[0].invariant == invariant else found


def _of(plan: FaultPlan, parts: Sequence[Deed | Fault | Swap | int]) -> FaultPlan:
    """Return the plan with these of its parts only."""
    swaps = tuple(part for part in parts if isinstance(part, Swap))
    late = tuple(part for part in parts if isinstance(part, int))
    return replace(
        plan,
        deeds=tuple(part for part in parts if isinstance(part, Deed)),
        faults=tuple(part for part in parts if isinstance(part, Fault)),
        order=swaps or late,
    )


def as_test(call: LabCall) -> str:
    """Return the call as a test that can be pasted into a file."""
    plan = call.plan
    lines = [f"        {plan.seed},"]
    for name, parts in (("deeds", plan.deeds), ("faults", plan.faults)):
        if parts:
            lines += [f"        {name}=(", *(f"            {part!r}," for part in parts), "        ),"]
    if plan.timing != Timing():
        lines.append(f"        timing={plan.timing!r},")
    if plan.order is not None:
        lines.append(f"        order={plan.order!r},")
    return "\n".join(
        [
            "from voiceagent.testing import Deed, Fault, FaultPlan, Swap, Timing, play",
            "",
            "",
            f"def test_call_{plan.seed}_of_the_laboratory() -> None:",
            f'    """{call.broken[0]}"""',
            "    plan = FaultPlan(",
            *lines,
            "    )",
            f'    assert play(plan, "{call.level}").broken == []',
        ]
    )


@contextmanager
def _nothing_logged() -> Generator[None]:
    """Log nothing within the block: outages are what is played."""
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(logging.NOTSET)
