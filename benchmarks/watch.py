"""Watches a process and its children from outside, as Linux tells of them: CPU, memory, threads, open files."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from time import monotonic_ns

__all__ = ["Sample", "Watch", "cpu_between_s", "waited_between_s"]

_EVERY_S = 0.5
_EVERY_NTH_LOOKS_AT_MEMORY = 10
"""Walking all pages of a process takes milliseconds, and an instant of its own locks."""
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Sample:
    """A process and its children at one instant."""

    at_ns: int
    cpu_s: float
    threads: int
    files: int
    pss_kib: int | None
    """Its own pages, and its share of those that it has in common with others (smaps_rollup); not at every instant."""
    waited_s: float = 0.0
    """How long its main threads, which the event loops are, could have run and were not let (schedstat)."""


class Watch:
    """Takes a sample every half second until it is stopped, in a thread."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._stopping = Event()
        self.samples: list[Sample] = []
        self.has_ended = False
        """The process was gone when the watch was stopped, whether or not somebody has waited for it."""
        self._thread = Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> Sequence[Sample]:
        """Return all samples; the last one is of now, where the process is still there."""
        self._stopping.set()
        self._thread.join()
        try:
            self.samples.append(_sample(self._pid, memory=True))
        except OSError:
            self.has_ended = not _runs(self._pid)
        return self.samples

    def _run(self) -> None:
        number = 0
        while not self._stopping.is_set():
            with suppress(OSError):  # one of them has just gone
                self.samples.append(_sample(self._pid, memory=number % _EVERY_NTH_LOOKS_AT_MEMORY == 0))
            number += 1
            self._stopping.wait(_EVERY_S)


def cpu_between_s(samples: Sequence[Sample], from_ns: int, until_ns: int) -> float:
    """Return the CPU time spent between two instants, on the straight lines between the samples."""
    return _between(samples, from_ns, until_ns, lambda sample: sample.cpu_s)


def waited_between_s(samples: Sequence[Sample], from_ns: int, until_ns: int) -> float:
    """Return for how long the event loops waited for a core between two instants, in the same way."""
    return _between(samples, from_ns, until_ns, lambda sample: sample.waited_s)


def _between(samples: Sequence[Sample], from_ns: int, until_ns: int, of: Callable[[Sample], float]) -> float:
    return _at(samples, until_ns, of) - _at(samples, from_ns, of)


def _at(samples: Sequence[Sample], at_ns: int, of: Callable[[Sample], float]) -> float:
    before = [sample for sample in samples if sample.at_ns <= at_ns]
    after = [sample for sample in samples if sample.at_ns > at_ns]
    if not before or not after:
        raise ValueError("the process was not watched at that time")
    first, second = before[-1], after[0]
    share = (at_ns - first.at_ns) / (second.at_ns - first.at_ns)
    return of(first) + share * (of(second) - of(first))


def _sample(pid: int, *, memory: bool) -> Sample:
    family = _family(pid)
    at_ns = monotonic_ns()
    stats = [_stat(each) for each in family]
    return Sample(
        at_ns,
        cpu_s=sum(int(stat[11]) + int(stat[12]) for stat in stats) / _TICKS_PER_S,
        threads=sum(int(stat[17]) for stat in stats),
        files=sum(len(os.listdir(f"/proc/{each}/fd")) for each in family),  # noqa: PTH208 - a count, of no paths
        pss_kib=sum(_pss_kib(each) for each in family) if memory else None,
        waited_s=sum(int(Path(f"/proc/{each}/schedstat").read_text().split()[1]) for each in family) / 1e9,
    )


def _family(pid: int) -> list[int]:
    """Return a process and all that came of it."""
    children = [
        int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()
    ]
    return [pid, *(each for child in children for each in _family(child))]


def _stat(pid: int) -> Sequence[str]:
    """Return the fields of proc(5) `stat` from the third on: 14 and 15 are CPU time, 20 is the number of threads."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _runs(pid: int) -> bool:
    try:
        return _stat(pid)[0] not in "ZX"  # ended and not waited for, or just being taken away
    except OSError:
        return False


def _pss_kib(pid: int) -> int:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))
