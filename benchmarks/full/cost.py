"""What a call costs and how fast decisions reach the wire: the floor and ours in turn, round by round."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from statistics import median

from benchmarks.figures import Figure, percentile
from benchmarks.full.table import LeftOut, Row
from benchmarks.full.voice import spoken_sentence
from benchmarks.runs import FLOOR, OURS, SILERO, NotServed, Run, run

__all__ = ["cost", "ratio_of"]

_CALLS = (25, 100)
_SILERO_GOAL = 1.8
_ENERGY_GOAL = 1.5


def cost(*, quick: bool) -> Iterator[Row]:
    """Run the servers one after the other, several times over, so that a slow minute of the machine meets all."""
    rounds, seconds = (1, 10.0) if quick else (3, 15.0)
    voice = spoken_sentence()
    for calls in _CALLS:
        floor, ours, silero = list[Run](), list[Run](), list[Run]()
        for _ in range(rounds):
            floor.append(run(FLOOR, calls=calls, seconds=seconds))
            ours.append(run(OURS, calls=calls, seconds=seconds))
            if voice is not None:
                with suppress(NotServed):
                    silero.append(run(SILERO, calls=calls, seconds=seconds, voice=voice))
        yield _spent(f"CPU per call-minute, {calls} calls: the floor", floor)
        yield _spent(f"CPU per call-minute, {calls} calls: ours, energy", ours)
        yield ratio_of(f"ours, energy / the floor, {calls} calls", ours, floor, _ENERGY_GOAL)
        if len(silero) == rounds:
            yield _spent(f"CPU per call-minute, {calls} calls: ours, Silero", silero)
            yield ratio_of(f"ours, Silero / the floor, {calls} calls", silero, floor, _SILERO_GOAL)
        else:
            yield LeftOut(f"ours with Silero, {calls} calls", "it needs `serve --vad silero` and the extra `local`")
        yield from _delays(f"{calls} calls", [each for each in ours if not each.spoiled])
        yield _pauses(f"{calls} calls", ours)


def _spent(what: str, runs: Sequence[Run]) -> Figure:
    spent_s = [each.cpu_s_per_call_minute for each in runs]
    return Figure(what, median(spent_s), "s", None, spread=_range(spent_s), how=_how(runs))


def ratio_of(what: str, ours: Sequence[Run], floor: Sequence[Run], goal: float) -> Row:
    """Return the median of the rounds' ratios; those that were spoiled do not count."""
    pairs = list(zip(ours, floor, strict=True))
    good = [(mine, least) for mine, least in pairs if not (mine.spoiled or least.spoiled)]
    if not good:
        return LeftOut(what, next(each.spoiled for pair in pairs for each in pair if each.spoiled))
    ratios = [mine.cpu_s_per_call_minute / least.cpu_s_per_call_minute for mine, least in good]
    how = f"median of {len(good)} rounds of {len(pairs)}"
    return Figure(what, median(ratios), "×", goal, spread=_range(ratios), how=how)


def _delays(calls: str, runs: Sequence[Run]) -> Iterator[Row]:
    if not runs:
        yield LeftOut(f"latencies, {calls}", "no round was undisturbed")
        return
    answers_ms = [ms for each in runs for ms in each.answers_ms]
    turns = f"{len(answers_ms)} turns: turn over → first audio at the carrier, a phase swap in each"
    yield from _delay(f"framework latency, {calls}", answers_ms, p50_goal=1, p99_goal=10, how=turns)
    clears_ms = [ms for each in runs for ms in each.clears_ms]
    cuts = f"{len(clears_ms)} barge-ins: decision → `clear` at the carrier"
    yield from _delay(f"barge-in → clear, {calls}", clears_ms, p50_goal=0.5, p99_goal=10, how=cuts)


def _delay(what: str, delays_ms: Sequence[float], *, p50_goal: float, p99_goal: float, how: str) -> Iterator[Row]:
    if not delays_ms:
        yield LeftOut(what, "there was none in so short a time")
        return
    yield Figure(f"{what}, p50", percentile(delays_ms, 0.5), "ms", p50_goal, how=how)
    yield Figure(f"{what}, p99", percentile(delays_ms, 0.99), "ms", p99_goal, how=how)


def _pauses(calls: str, runs: Sequence[Run]) -> Figure:
    pauses_ms = [ms for each in runs for ms in each.gc_pauses_ms]
    return Figure(
        f"pauses for garbage, longest, {calls}",
        max(pauses_ms, default=0.0),
        "ms",
        None,
        spread=f"p99 {percentile(pauses_ms, 0.99):.2f}",
        how=f"{len(pauses_ms)} collections, by gc.callbacks",
    )


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.3g}–{max(values):.3g}" if len(values) > 1 else ""


def _how(runs: Sequence[Run]) -> str:
    return f"median of {len(runs)}; the last: {runs[-1].how}" if len(runs) > 1 else runs[-1].how
