"""Silence: the longest time a caller may hear nothing while the agent is at work, and which words end it.

A wait begins when the caller has stopped speaking. Until their words are known nothing is said
(`recognizer_timeout_ms`); then a model makes its reply (`model_timeout_ms`), a tool may run (`timeout_ms`: all its
retries share it), a phase may change (`swap_timeout_ms`), and a model tells of the outcome. Over all but the first lie
the fillers of whatever is being waited for: one after `patience_ms`, then one every `again_ms`, and at `give_up_ms` the
apology, with which reads are let go of; a write goes on. No phrase is said twice in a row, so a tier of a single phrase
falls silent after it: two phrases are what keeps a long wait covered.

The figures are upper bounds: phrases count as no time at all but for the length by which the first filler may be put
off when a result is about to come, which is never so long that the bound would be broken. A model that asks for one
tool after another without a word is bounded by the limits of the call, and time that the caller takes to answer is no
wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from voiceagent.errors import Source
from voiceagent.spec.expects import BETWEEN_KEYS_MS, Digits
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Ask, Phase
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["Wait", "longest_wait", "silences", "waits_in"]

_PHRASE_MS = 1_200
"""By how much a first filler may be put off where nobody has measured its length."""
_MS_PER_CHARACTER = 65
"""Where somebody has, a phrase is taken to be about as long as it is written: 15 characters a second."""


@dataclass(frozen=True, slots=True)
class Wait:
    """One silence that a caller may have to bear in a phase."""

    what: str
    """What is being waited for."""
    ends_with: str
    """What is heard next, at the latest."""
    silence_ms: int
    source: Source

    def __str__(self) -> str:
        return f"{self.silence_ms / 1000:.1f} s, waiting for {self.what}: {self.ends_with}"


def waits_in(flow: Flow, phase: Phase) -> tuple[Wait, ...]:
    """Return every silence that may come up in a phase, in the order in which a call may meet them."""
    return _waits(flow, phase, _longest_fetch(flow))


def _waits(flow: Flow, phase: Phase, fetch_ms: Mapping[str, int]) -> tuple[Wait, ...]:
    limits = flow.limits
    between_keys_ms = [expected.between_keys_ms for expected in phase.expects if isinstance(expected, Digits)]
    hearing_ms = max(limits.recognizer_timeout_ms, *between_keys_ms or [BETWEEN_KEYS_MS])
    telling_ms = limits.swap_timeout_ms + limits.model_timeout_ms
    filler = flow.filler_of(phase)
    waits: list[Wait] = []
    if not phase.ends:
        waits.append(Wait("the caller's words", "until the agent asks again", hearing_ms, phase.source))
    if phase.has_model and (not phase.ends or isinstance(phase.on_enter, Ask)):
        work_ms = limits.model_timeout_ms + telling_ms
        waits += _covered("a reply", phase.source, (filler,), before_ms=hearing_ms, total_ms=work_ms)
    for tool in flow.tools_of(phase) if phase.has_model else ():
        own = flow.filler_of(phase, tool)
        work_ms = _work_ms(tool, own, limits.model_timeout_ms, fetch_ms.get(tool.name, 0))
        waits += _covered(
            f"{tool.name!r}",
            tool.source,
            (own,) if own is filler else (own, filler),
            before_ms=hearing_ms,
            total_ms=work_ms + telling_ms,
            put_off_ms=_put_off_ms(own),
            by_ms=limits.filler_by_ms,
        )
    return tuple(waits)


def _work_ms(tool: Tool, filler: Filler, model_ms: int, fetch_ms: int) -> int:
    """Return how long it may take from the caller's words, or their yes, to a tool's outcome."""
    if tool.effect == "irreversible":
        return tool.timeout_ms  # the yes starts it, no model has to think first
    work_ms = model_ms + fetch_ms + tool.timeout_ms
    if tool.effect == "read" and model_ms < filler.give_up_ms:
        return min(work_ms, filler.give_up_ms)  # with the apology it is let go of
    return work_ms


def _put_off_ms(filler: Filler) -> int:
    return max(_PHRASE_MS, _MS_PER_CHARACTER * max(len(phrase) for phrase in filler.phrases))


def longest_wait(flow: Flow, phase: Phase) -> Wait | None:
    """Return the longest silence that may come up in a phase; None where nothing is waited for."""
    return max(waits_in(flow, phase), key=lambda wait: wait.silence_ms, default=None)


def silences(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look for waits that are longer than the flow allows."""
    most_ms = flow.limits.max_silence_ms
    fetch_ms = _longest_fetch(flow)
    for phase in ways.reached:
        longest: dict[tuple[str, Source], Wait] = {}
        for wait in _waits(flow, phase, fetch_ms):
            key = (wait.what, wait.source)
            longest[key] = max(longest.get(key, wait), wait, key=lambda wait: wait.silence_ms)
        for wait in longest.values():
            if wait.silence_ms > most_ms:
                message = (
                    f"phase {phase.name!r}: the caller may hear nothing for {wait}; {most_ms / 1000:.1f} s are allowed"
                )
                yield error("silence-too-long", message, wait.source)


def _longest_fetch(flow: Flow) -> dict[str, int]:
    """Return tool → how long a call of it may wait for a fetch under way before it runs itself."""
    longest: dict[str, int] = {}
    for edge in (*(edge for phase in flow.phases for edge in phase.transitions), *flow.transitions):
        for prefetch in edge.prefetch:
            # A fetch ends by its own deadline or by the tool's time-out, whichever is sooner.
            fetch_ms = min(prefetch.deadline_ms, prefetch.tool.timeout_ms)
            longest[prefetch.tool.name] = max(longest.get(prefetch.tool.name, 0), fetch_ms)
    return longest


def _covered(
    what: str,
    source: Source,
    fillers: Sequence[Filler],
    *,
    before_ms: int,
    total_ms: int,
    put_off_ms: int = 0,
    by_ms: int = 0,
) -> Iterator[Wait]:
    """Return the silences of one wait: up to the first filler, between two of them, after the apology.

    Of several fillers, the tool's and the phase's, any may be in force at any time: the longest gap counts. The first
    is put off by `put_off_ms` at most, and not to a time beyond `by_ms` after the caller's last word.
    """

    def to_first_ms(filler: Filler) -> int:
        return _to_first_ms(filler, max(0, min(put_off_ms, by_ms - before_ms - filler.patience_ms)))

    first = max(fillers, key=to_first_ms)
    first_ms = to_first_ms(first)
    if total_ms <= first_ms:
        yield Wait(what, "until the answer", before_ms + total_ms, source)
        return
    words = first.phrases[0] if _alternates(first.phrases) or first.later else first.apology
    yield Wait(what, f"until the filler {words!r}", before_ms + first_ms, source)
    further = max(fillers, key=lambda filler: _between_ms(filler, total_ms))
    between_ms = _between_ms(further, total_ms)
    words = (further.later or further.phrases)[0] if _keeps_on(further) else further.apology
    ends_with = f"until the next filler {words!r}" if total_ms > between_ms else "until the answer"
    yield Wait(what, f"from one filler {ends_with}", between_ms, source)
    for filler in fillers:
        if not _keeps_on(filler) and total_ms > filler.give_up_ms:
            yield Wait(what, f"from {filler.apology!r} until the answer", total_ms - filler.give_up_ms, source)


def _alternates(phrases: Sequence[str]) -> bool:
    """Whether there is always a phrase that was not the last one said."""
    return len(set(phrases)) > 1


def _keeps_on(filler: Filler) -> bool:
    """Whether phrases follow each other for as long as a wait lasts."""
    return _alternates(filler.later or filler.phrases)


def _to_first_ms(filler: Filler, put_off_ms: int) -> int:
    first_ms = filler.patience_ms + put_off_ms
    if not _alternates(filler.phrases):
        # The only phrase may have been the last of the wait before: it is passed over.
        first_ms = first_ms + filler.again_ms if filler.later else filler.give_up_ms
    return min(first_ms, filler.give_up_ms)


def _between_ms(filler: Filler, total_ms: int) -> int:
    rest_ms = total_ms - filler.patience_ms  # the first filler came, at its earliest
    if _keeps_on(filler):
        return min(filler.again_ms, rest_ms)
    return min(max(filler.again_ms, filler.give_up_ms - filler.patience_ms), rest_ms)
