"""The tables of `make bench-turns`, with how it was measured and what is reached of the goals."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from benchmarks.figures import percentile
from benchmarks.turns.arithmetic import Turns, per_hour
from benchmarks.turns.floor import Outcome
from benchmarks.turns.line import CLEAN
from benchmarks.turns.rows import CATEGORIES, Point, Taken, category, slots, words, worst

__all__ = ["page"]

_MOST_CUT_CLEAN, _MOST_CUT_NOISE = 0.01, 0.03
_SLOT_MS, _FREE_MS, _FREE_P95_MS = 450, 750, 1_100
_METHOD = """\
Every clip goes as a telephone sends it (G.711 µ-law, 8 kHz, frames of 20 ms, 1 s of line before it, 4 s after) through
Silero, the product's ears, Moonshine and the conversation, in audio time: nothing waits for a clock. The recogniser's
time, as measured on this machine while it decoded exactly this audio (the lesser of wall and processor time), is added
to it; `no recogniser` is the same with 0 ms for it: what is left is detection and patience.

delay: from the last sound of the last word (known from how the clip was made, else from the clean clip's energy)
to the decision that the turn is over. cut off: decided before that sound. never: nothing was understood, or the voice
was never off. Delays are of clips that were not cut off. slots: digits, amount, date or letters as a form would hold
them. WER: of everything that was heard, numerals counted as their words, where there is no form to judge by.

human: recorded people; numbers, dates and pauses are put together of single recorded words with 60 ms between them, so
that word ends are exact; pauses of 400 to 900 ms are ours. synthetic: made by Hibari or Kokoro. babble: four people of
other recordings, in Italian, French and Russian (human); ringing: the 440/480 Hz tone, 2 s of every 6 (synthetic).

The two halves share no sentence; a speaker with few sentences is in one half only. Values of the product are tuned on
`tuning` only. In noise every second clip is heard.

fixed silence and smart-turn have the same voice detection and need no recogniser. smart-turn (BSD-2, from the wheel of
pipecat-ai 1.14.0, its model's own time added) is asked at every pause of 200 ms and gives up after 3 s, as packaged; it
was not made for clips that are put together. product with smart-turn is the product where the operator has that model:
it judges every utterance beside the recogniser, and words and sound decide together.

Over the agent's words: whole calls in virtual time through session, telephone leg and wire. The agent speaks recorded
words whose ends are known, so that history and ear compare to the word; `with word times` is what would be left if the
history were cut by those ends.
"""


def page(
    machine: str,
    taken: Sequence[Taken],
    curves: Sequence[tuple[str, Sequence[Point]]],
    outcomes: Sequence[Outcome],
    skipped: Sequence[str],
) -> Iterator[str]:
    """Yield all of it, as Markdown that reads well on a terminal too."""
    yield f"{machine}\n"
    yield _METHOD
    yield from (f"skipped: {why}\n" for why in skipped)
    for half in ("tuning", "report"):
        of_half = [one for one in taken if one.clip.half == half]
        yield f"## End of turn, {half} half\n"
        yield from _grid(_TURN_HEAD, _turn_rows(of_half))
        yield f"\n## By what is said, {half} half, clean\n"
        yield from _grid(_GROUP_HEAD, _group_rows([one for one in of_half if one.condition == CLEAN]))
        yield ""
    for name, points in curves:
        yield f"## Cut-offs against delay, {name}\n"
        yield from _grid(("way", "setting", "cut off", "never", "p50 / p95 ms"), [_point(p) for p in points])
        yield ""
    if outcomes:
        yield "## Sounds over the agent's words, both halves\n"
        yield from _grid(_FLOOR_HEAD, _floor_rows(outcomes))
        yield ""
        yield from (f"{line}\n" for line in _floor_lines(outcomes))
    report = [one for one in taken if one.clip.half == "report"]
    yield "## The five worst clips of the report half\n"
    for one, why in worst(report):
        yield f"- {one.condition.name}, {_origin(one)}, {one.clip.group}, {one.clip.name} ({one.clip.text!r}): {why}"
    yield "\n## Goals, report half\n"
    yield from _goals(report, outcomes)


# --- ends of turns ---------------------------------------------------------------------------------------------------

_TURN_HEAD = ("line", "expected", "clips", "cut off", "never", "p50 / p95 ms", "no recogniser", "slots", "WER")
_GROUP_HEAD = ("said", "by", "clips", "cut off", "never", "p50 / p95 ms", "no recogniser", "slots", "WER")


def _turn_rows(taken: Sequence[Taken]) -> Iterator[tuple[str, ...]]:
    for condition in dict.fromkeys(one.condition for one in taken):
        here = [one for one in taken if one.condition == condition]
        for name in CATEGORIES:
            if of := [one for one in here if category(one.clip.group) == name]:
                yield (condition.name, name, *_turn_cells(of))
        yield (condition.name, "all", *_turn_cells(here))


def _group_rows(taken: Sequence[Taken]) -> Iterator[tuple[str, ...]]:
    for group, origin in dict.fromkeys((one.clip.group, _origin(one)) for one in taken):
        yield (group, origin, *_turn_cells([o for o in taken if (o.clip.group, _origin(o)) == (group, origin)]))


def _origin(one: Taken) -> str:
    return "human" if one.clip.human else "synthetic"


def _turn_cells(taken: Sequence[Taken]) -> tuple[str, ...]:
    turns = Turns.of(one.end for one in taken)
    alone = Turns.of(one.ended(one.at_once.taken_ms) for one in taken)
    right, judged = slots(taken)
    wrong, said = words(taken)
    return (
        f"{turns.clips}",
        f"{turns.cut_off} ({turns.cut_off_share:.1%})",
        f"{turns.never}",
        f"{turns.p50_ms:.0f} / {turns.p95_ms:.0f}",
        f"{alone.p50_ms:.0f} / {alone.p95_ms:.0f}",
        f"{right} of {judged}" if judged else "–",
        f"{wrong / said:.1%}" if said else "–",
    )


def _point(point: Point) -> tuple[str, ...]:
    turns = point.turns
    return (
        point.way,
        point.setting,
        f"{turns.cut_off} of {turns.clips} ({turns.cut_off_share:.1%})",
        f"{turns.never}",
        f"{turns.p50_ms:.0f} / {turns.p95_ms:.0f}",
    )


# --- sounds over the agent's words -----------------------------------------------------------------------------------

_FLOOR_HEAD = ("sound", "by", "how many", "agent stopped", "decided after, p50 / p95 ms")


def _floor_rows(outcomes: Sequence[Outcome]) -> Iterator[tuple[str, ...]]:
    for kind, human in dict.fromkeys((one.sound.kind, one.sound.human) for one in outcomes):
        of = [one for one in outcomes if (one.sound.kind, one.sound.human) == (kind, human)]
        delays = [
            one.interrupted.decided_ms - one.interrupted.began_ms
            for one in of
            if one.stopped and one.interrupted.decided_ms is not None
        ]
        times = f"{percentile(delays, 0.5):.0f} / {percentile(delays, 0.95):.0f}" if delays else "–"
        stopped = sum(one.stopped for one in of)
        yield kind, "human" if human else "synthetic", f"{len(of)}", f"{stopped} ({stopped / len(of):.0%})", times


def _floor_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    false = [one for one in outcomes if not one.sound.meant]
    lasted_ms = sum(one.lasted_ms for one in false)
    stopped = sum(one.stopped for one in false)
    yield (
        f"False barge-ins: {stopped} of {len(false)}, {per_hour(stopped, lasted_ms):.0f} in an hour of nothing but "
        f"such sounds ({lasted_ms / 60_000:.1f} minutes of them)."
    )
    missed = sum(one.sound.meant and not one.stopped for one in outcomes)
    yield f"Missed barge-ins: {missed} of {sum(one.sound.meant for one in outcomes)}."
    cut = [one for one in outcomes if one.interrupted.cleared_ms is not None and one.interrupted.decided_ms is not None]
    wire = [(one.interrupted.cleared_ms or 0) - (one.interrupted.decided_ms or 0) for one in cut]
    spent = [one.interrupted.wire_us for one in cut]
    yield (
        f"Decision → clear on the wire: {percentile(wire, 0.5):.0f} / {max(wire, default=0):.0f} ms of call time "
        f"(p50 / most), computing {percentile(spent, 0.5):.0f} / {percentile(spent, 0.95):.0f} µs (p50 / p95)."
    )
    yield f"History against what was heard, words: {_errors([one.history_error for one in cut])}."
    yield f"The same with word times: {_errors([one.exact_error for one in cut])}."


def _errors(errors: Sequence[int]) -> str:
    mean = sum(map(abs, errors)) / max(1, len(errors))
    return (
        f"{mean:.2f} wrong on average over {len(errors)} interruptions, most {max(map(abs, errors), default=0)}; "
        f"too many in {sum(error > 0 for error in errors)}, too few in {sum(error < 0 for error in errors)}"
    )


# --- goals -----------------------------------------------------------------------------------------------------------


def _goals(report: Sequence[Taken], outcomes: Sequence[Outcome]) -> Iterator[str]:
    clean = [one for one in report if one.condition == CLEAN]
    noisy = [one for one in report if one.condition != CLEAN]
    yield _goal("cut off, clean", 100 * _ends(clean).cut_off_share, 100 * _MOST_CUT_CLEAN, "%")
    if noisy:
        yield _goal("cut off, in noise", 100 * _ends(noisy).cut_off_share, 100 * _MOST_CUT_NOISE, "%")
    short = [one for one in clean if category(one.clip.group) in ("complete slot", "yes or no")]
    free = [one for one in clean if category(one.clip.group) in ("free speech", "pause inside")]
    yield _goal("complete slot, yes or no: delay p50, clean", _ends(short).p50_ms, _SLOT_MS, " ms")
    yield _goal("free speech: delay p50, clean", _ends(free).p50_ms, _FREE_MS, " ms")
    yield _goal("free speech: delay p95, clean", _ends(free).p95_ms, _FREE_P95_MS, " ms")
    paused = [one for one in report if one.clip.group.startswith("eight digits, ")]
    yield _goal("eight digits with a pause of 700 ms, cut off", _ends(paused).cut_off, 0, "")
    if outcomes:
        false = sum(one.stopped for one in outcomes if not one.sound.meant)
        yield _goal("false barge-ins, both halves", false, 0, "")


def _ends(taken: Sequence[Taken]) -> Turns:
    return Turns.of(one.end for one in taken)


def _goal(what: str, value: float, at_most: float, unit: str) -> str:
    return f"- {'reached' if value <= at_most else 'missed '} {what}: {value:.3g}{unit} (goal ≤ {at_most:g}{unit})"


def _grid(head: Sequence[str], rows: Iterator[tuple[str, ...]] | Sequence[tuple[str, ...]]) -> Iterator[str]:
    """Yield a Markdown table whose columns stand below each other."""
    lines = [tuple(head), *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    lines.insert(1, tuple("-" * width for width in widths))
    for line in lines:
        yield f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |"
