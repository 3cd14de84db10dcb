"""How many calls one core carries: more and more of them, until they are not served well any more."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from benchmarks.figures import Figure, percentile
from benchmarks.full.table import LeftOut, Row
from benchmarks.full.voice import spoken_sentence
from benchmarks.runs import OURS, SILERO, NotServed, Run, run

__all__ = [
    "LATENCY_MS",
    "Climb",
    "Limit",
    "capacity",
    "capacity_of",
    "climb",
    "limit_of",
    "silero_capacity",
    "what_went_wrong",
]

LATENCY_MS = 50
_FULL = 0.95
"""Share of its core beyond which a server has none left."""
_RUNGS = (1, 25, 50, 100, 150, 200, 250, 300, 400, 500, 600)
_QUICK_RUNGS = (25, 100)
_SECONDS, _QUICK_SECONDS = 15.0, 5.0
_CONSTANT = 1.1
_MEMORY_KIB = 150.0


@dataclass(frozen=True, slots=True)
class Limit:
    """Why so many calls are too many."""

    why: str
    of_the_run: bool = False
    """It says nothing of the server."""


@dataclass(slots=True)
class Climb:
    """How far a server went, rung by rung."""

    runs: dict[int, Run] = field(default_factory=dict[int, Run])
    """By their calls; a rung at which nothing came to an end has none."""
    carried: int = 0
    """The most calls that were not too many."""
    limit: Limit | None = None
    """Why the next rung was too many, twice; None where there was no next one."""
    limit_at: int = 0
    """Calls of that rung."""


def what_went_wrong(measured: Run) -> Limit | None:
    """Return what is too much for any server: calls that break, stutter or are not answered; or a run of no meaning."""
    if measured.spoiled:
        return Limit(measured.spoiled, of_the_run=True)
    report = measured.report
    if report.broken or report.dropped_frames:
        return Limit(f"{report.broken} connections broken, {report.dropped_frames} frames not read")
    if report.underruns:
        return Limit(f"{report.underruns} underruns at a jitter buffer of 40 ms")
    return Limit(f"{report.unanswered} turns unanswered") if report.unanswered else None


def limit_of(measured: Run) -> Limit | None:
    """Return what was beyond its bound in a run; None where nothing was."""
    wrong, p99_ms = what_went_wrong(measured), percentile(measured.answers_ms, 0.99)
    if wrong is not None:
        return wrong
    if p99_ms > LATENCY_MS:
        return Limit(f"framework latency p99 {p99_ms:.0f} ms")
    return Limit(f"the server's core is full ({measured.core_share:.0%})") if measured.core_share > _FULL else None


def climb(
    measure: Callable[[int], Run], rungs: Sequence[int], limit_of: Callable[[Run], Limit | None] = limit_of
) -> Climb:
    """Measure rung after rung up to the first that was too many twice, or that twice came to no end."""
    climbed = Climb()
    for calls in rungs:
        limit = _tried(measure, calls, climbed.runs, limit_of)
        if limit is not None:
            limit = _tried(measure, calls, climbed.runs, limit_of)  # what comes once may be the machine's
        if limit is not None:
            climbed.limit, climbed.limit_at = limit, calls
            break
        climbed.carried = calls
    return climbed


def _tried(
    measure: Callable[[int], Run], calls: int, runs: dict[int, Run], limit_of: Callable[[Run], Limit | None]
) -> Limit | None:
    try:
        runs[calls] = measure(calls)
    except NotServed as exc:
        return Limit(str(exc))
    except subprocess.TimeoutExpired as exc:
        return Limit(f"no end within {exc.timeout:.0f} s")
    except subprocess.CalledProcessError as exc:
        return Limit(f"the generator has ended with {exc.returncode}", of_the_run=True)
    return limit_of(runs[calls])


def capacity(*, quick: bool) -> Iterator[Row]:
    """Climb with the energy VAD; what the rungs cost and take says how both grow with calls."""
    seconds = _QUICK_SECONDS if quick else _SECONDS
    climbed = climb(lambda calls: run(OURS, calls=calls, seconds=seconds), _QUICK_RUNGS if quick else _RUNGS)
    yield from _rungs("energy", climbed.runs)
    yield capacity_of("energy", climbed, goal=300)
    yield from _constant(climbed)
    yield from _memory(climbed.runs)


def silero_capacity(*, quick: bool) -> Iterator[Row]:
    """Climb with Silero for every call."""
    voice = spoken_sentence()
    if voice is None:
        yield LeftOut("calls per core, Silero", "the extra `local` is not installed")
        return
    rungs, seconds = (_QUICK_RUNGS[:1], _QUICK_SECONDS) if quick else (_RUNGS[1:], _SECONDS)
    climbed = climb(lambda calls: run(SILERO, calls=calls, seconds=seconds, voice=voice), rungs)
    yield from _rungs("Silero", climbed.runs)
    yield capacity_of("Silero", climbed, goal=150)


def _rungs(vad: str, runs: Mapping[int, Run]) -> Iterator[Figure]:
    for calls, measured in runs.items():
        answers_ms = measured.answers_ms
        yield Figure(
            f"{calls} calls, {vad}",
            measured.cpu_s_per_call_minute,
            "s of CPU per call-minute",
            None,
            spread=f"latency p50 {percentile(answers_ms, 0.5):.1f} ms, p99 {percentile(answers_ms, 0.99):.1f}",
            how=measured.how,
        )


def capacity_of(engines: str, climbed: Climb, *, goal: float | None) -> Row:
    """Return how many calls were carried, as a row: left out where it was not the server that could not go on."""
    what, carried, limit = f"calls per core, {engines}", climbed.carried, climbed.limit
    if limit is None:
        return Figure(what, carried, "calls", goal, at_least=True, how="more were not tried")
    if limit.of_the_run and (goal is None or carried < goal):
        return LeftOut(what, f"{carried} at least: at {climbed.limit_at} {limit.why}")
    return Figure(what, carried, "calls", goal, at_least=True, how=f"at {climbed.limit_at}, twice: {limit.why}")


def _constant(climbed: Climb) -> Iterator[Figure]:
    """Say whether a call costs the same beside many as beside few."""
    good = {calls: each.cpu_s_per_call_minute for calls, each in climbed.runs.items() if 1 < calls <= climbed.carried}
    if len(good) < 2:
        return
    few, many = min(good), max(good)
    shown = ", ".join(f"{calls}: {spent_s:.3f}" for calls, spent_s in good.items())
    yield Figure(
        f"cost of a call, {many} calls / {few} calls", good[many] / good[few], "×", _CONSTANT, how=f"CPU s: {shown}"
    )


def _memory(runs: Mapping[int, Run]) -> Iterator[Figure]:
    sizes = {calls: median(runs[calls].pss_kib) for calls in (25, 100, 200) if calls in runs}
    if len(sizes) < 2:
        return
    few, many = min(sizes), max(sizes)
    shown = ", ".join(f"{calls}: {kib / 1024:.0f} MiB" for calls, kib in sizes.items())
    yield Figure(
        "memory per extra call",
        (sizes[many] - sizes[few]) / (many - few),
        "KiB",
        _MEMORY_KIB,
        how=f"medians of PSS with all callers there, between {few} and {many} calls: {shown}",
    )
    first, last = runs[many].steady[0], runs[many].steady[-1]
    yield Figure(
        f"threads and open files, {many} calls",
        last.threads,
        "threads",
        None,
        how=f"{first.threads} at the beginning; open files {first.files} → {last.files}; "
        f"tasks {max(runs[many].inside['tasks'])} at most, {max(runs[many].inside['tasks']) / many:.1f} a call",
    )
