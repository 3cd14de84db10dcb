"""Silence: the longest time a caller may hear nothing while the agent is at work, and which words end it.

A wait begins when the caller has stopped speaking. Until their words are known nothing is said
(`recognizer_timeout_ms`); then a model makes its reply (`model_timeout_ms`), a tool may run (`timeout_ms`: all its
retries share it), and the model tells of the outcome. Over the model and the tool lie the fillers of whatever is being
waited for: the first after `patience_ms`, then one every `again_ms`, and at `give_up_ms` the apology, after which none
follows in that wait. Reads are let go of then; a write goes on until its outcome is known.

The figures are upper bounds: phrases count as no time at all but for the length by which the first filler may be put
off when a result is about to come. A change of phase belongs to the wait that it happens in; the cascade makes it at
once. A model that asks for one tool after another without a word is bounded by the limits of the call alone, and
time that the caller takes to answer is no wait.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from voiceagent.errors import Source
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Ask, Phase
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["Wait", "longest_wait", "silences", "waits_in"]

_BETWEEN_KEYS_MS = 3_000
"""Keys pressed one by one are complete after this long without one."""
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
    hearing_ms = max(limits.recognizer_timeout_ms, _BETWEEN_KEYS_MS)
    model_ms = limits.model_timeout_ms
    filler = flow.filler_of(phase)
    waits: list[Wait] = []
    if not phase.ends:
        waits.append(Wait("the caller's words", "until the agent asks again", hearing_ms, phase.source))
    if not phase.ends or isinstance(phase.on_enter, Ask):
        waits += _covered("a reply", phase.source, filler, before_ms=hearing_ms, work_ms=model_ms, after_ms=0)
    for tool in flow.tools_of(phase):
        waits += _covered(
            f"{tool.name!r}",
            tool.source,
            tool.filler or filler,
            before_ms=hearing_ms,
            work_ms=_work_ms(tool, tool.filler or filler, model_ms, fetch_ms.get(tool.name, 0)),
            after_ms=model_ms,
            put_off_ms=_put_off_ms(tool.filler or filler),
            thinking=filler,
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
        for wait in _waits(flow, phase, fetch_ms):
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
    filler: Filler,
    *,
    before_ms: int,
    work_ms: int,
    after_ms: int,
    put_off_ms: int = 0,
    thinking: Filler | None = None,
) -> Iterator[Wait]:
    """Return the silences of one wait: up to the first filler, between two of them, after the last."""
    first = filler if thinking is None or filler.patience_ms + put_off_ms >= thinking.patience_ms else thinking
    patience_ms = max(filler.patience_ms + put_off_ms, thinking.patience_ms if thinking else 0)
    total_ms = work_ms + after_ms
    if total_ms <= patience_ms:
        yield Wait(what, "until the answer", before_ms + total_ms, source)
        return
    yield Wait(what, f"until the filler {first.phrases[0]!r}", before_ms + patience_ms, source)
    again_ms = max(filler.again_ms, thinking.again_ms if thinking else 0)
    # The first filler may also come at its earliest, and the answer before the next.
    rest_ms = total_ms - min(filler.patience_ms, thinking.patience_ms if thinking else filler.patience_ms)
    if rest_ms > again_ms:
        later = (filler.later or filler.phrases)[0]
        yield Wait(what, f"until the next filler {later!r}", again_ms, source)
    else:
        yield Wait(what, f"from the filler {first.phrases[0]!r} until the answer", rest_ms, source)
    give_up_ms = min(filler.give_up_ms, thinking.give_up_ms if thinking else filler.give_up_ms)
    if total_ms > give_up_ms:
        yield Wait(what, f"from {filler.apology!r} until the answer", total_ms - give_up_ms, source)
