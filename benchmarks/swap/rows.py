"""Rows: what callers heard and what the provider wrote down, put together into what a change of phase costs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.figures import percentile
from benchmarks.swap.caller import Caller, Round
from benchmarks.swap.moments import BARE, BEHIND, SPEECH

__all__ = ["Gap", "Row", "Spread", "gap_of", "lost_and_twice", "row_of", "waited_ms"]

_NS = 1_000_000
_SAMPLES_PER_MS = 8
_CHARACTERS_PER_TOKEN = 4
_UNDER_WAY_MS = 500
"""At the end of a call: what the caller said last may not have arrived when they hung up."""

Record = Mapping[str, Any]
"""What the provider wrote down of one session."""


@dataclass(frozen=True, slots=True)
class Spread:
    """A measured quantity, in milliseconds."""

    p50: float
    p95: float
    most: float
    count: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Return the spread of these; zeros where there are none."""
        return cls(percentile(values, 0.5), percentile(values, 0.95), max(values, default=0.0), len(values))


@dataclass(frozen=True, slots=True)
class Gap:
    """One change of phase."""

    raw_ms: float
    """Silence at the ear."""
    net_ms: float
    """The same without the provider's time. Heard from its first moment on it can come out below 0: the last of the
    old audio takes its way to the ear too, and stutters. Of silence that is covered there is nothing to take off."""
    added_ms: float
    """From the request for the change to the first new audio at the ear, without the provider's time."""


@dataclass(frozen=True, slots=True)
class Row:
    """One way to change the phase."""

    name: str
    changes: int
    unanswered: int
    bare: Spread
    """Gap in speech at the caller's ear where the old voice says its last word when it asks for the change."""
    bare_net: Spread
    """The same without the time in which the provider was waited for."""
    added: Spread
    """From the provider's request for the change to the first new audio at the ear, without the provider's time."""
    behind: Spread
    """Silence at the ear where the old voice is still saying a sentence."""
    behind_net: Spread
    spoken_samples: int
    """Of the caller's speech."""
    lost_samples: int
    twice_samples: int
    all_lost_samples: int
    """Of everything the caller's line carried, background included."""
    all_twice_samples: int
    tools: float
    """Offered to the model, on average of all replies."""
    prompt_tokens: float
    """Of instructions and tools in force, on average of all replies."""
    sent_tokens: float
    """Of instructions and tools that went over the wire, per reply."""
    late_p99_ms: float
    """The callers' own lateness."""


def row_of(name: str, callers: Sequence[Caller], records: Mapping[str, Sequence[Record]]) -> Row:
    """Return the row of these calls; `records` are the provider's, by the name of the call."""
    gaps: dict[int, list[Gap]] = {BARE: [], BEHIND: []}
    lost: Counter[bool] = Counter()
    twice: Counter[bool] = Counter()
    spoken = 0
    for caller in callers:
        sessions = records[caller.name]
        for over in caller.rounds:
            if over.request in gaps:
                gaps[over.request].append(gap_of(over, sessions))
        for speech, lost_ms, twice_ms in lost_and_twice(caller.spoken, sessions, from_ms=caller.asks_from_ms):
            lost[speech] += lost_ms
            twice[speech] += twice_ms
        spoken += sum(last - first + 1 for tag, first, last in caller.spoken if tag in SPEECH)
    sessions = [session for caller in callers for session in records[caller.name]]
    replies = [reply for session in sessions for reply in session["replies"]]
    sent = sum(chars for session in sessions for chars in session["setup_chars"])
    return Row(
        name,
        changes=sum(len(caller.rounds) for caller in callers),
        unanswered=sum(caller.unanswered for caller in callers),
        bare=Spread.of([gap.raw_ms for gap in gaps[BARE]]),
        bare_net=Spread.of([gap.net_ms for gap in gaps[BARE]]),
        added=Spread.of([gap.added_ms for gap in gaps[BARE]]),
        behind=Spread.of([gap.raw_ms for gap in gaps[BEHIND]]),
        behind_net=Spread.of([gap.net_ms for gap in gaps[BEHIND]]),
        spoken_samples=spoken * _SAMPLES_PER_MS,
        lost_samples=lost[True] * _SAMPLES_PER_MS,
        twice_samples=twice[True] * _SAMPLES_PER_MS,
        all_lost_samples=lost.total() * _SAMPLES_PER_MS,
        all_twice_samples=twice.total() * _SAMPLES_PER_MS,
        tools=sum(reply["tools"] for reply in replies) / max(1, len(replies)),
        prompt_tokens=sum(reply["prompt_chars"] for reply in replies) / max(1, len(replies)) / _CHARACTERS_PER_TOKEN,
        sent_tokens=sent / max(1, len(replies)) / _CHARACTERS_PER_TOKEN,
        late_p99_ms=percentile([late for caller in callers for late in caller.late_ms], 0.99),
    )


def gap_of(over: Round, sessions: Sequence[Record]) -> Gap:
    """Return what the caller heard of a change, and what of it was not the provider's time."""
    assert over.new_began_ns is not None
    requested_ns = _reply(sessions, over.old_serial)[1]["called_ns"]
    answering, new = _reply(sessions, over.new_serial)
    waited = waited_ms(answering["busy"], requested_ns, new["first_audio_ns"])
    raw = over.silent_ns / _NS
    return Gap(
        raw_ms=raw,
        net_ms=raw - waited if raw > 0 else 0.0,
        added_ms=(over.new_began_ns - requested_ns) / _NS - waited,
    )


def _reply(sessions: Sequence[Record], serial: int | None) -> tuple[Record, Record]:
    return next((s, reply) for s in sessions for reply in s["replies"] if reply["serial"] == serial)


def waited_ms(busy: Sequence[Sequence[int]], from_ns: int, to_ns: int) -> float:
    """Return for how long between two moments a session was connecting, changing or making a reply."""
    total = 0
    until = from_ns
    for began, ended in sorted((began, ended) for began, ended in busy):
        begin, end = max(began, until), min(ended, to_ns)
        if end > begin:
            total += end - begin
            until = end
    return total / _NS


def lost_and_twice(
    spoken: Sequence[tuple[int, int, int]], sessions: Sequence[Record], *, from_ms: int
) -> Iterator[tuple[bool, int, int]]:
    """Yield for every stretch of the caller's audio: whether it is speech, milliseconds lost, milliseconds twice.

    What no session has taken in is lost, be it that it was never sent or that it was cleared; what one session was
    given two times, or a second one as well, is twice. What came before `from_ms` does not count, nor what was on its
    way when the caller hung up.
    """
    end = spoken[-1][2] if spoken else 0
    times: Counter[int] = Counter()
    for session in sessions:
        for _, first, last in session["heard"]:
            times.update(range(first, last + 1))
    for tag, first, last in spoken:
        counted = range(max(first, from_ms), min(last, end - _UNDER_WAY_MS) + 1)
        lost = sum(1 for moment in counted if not times[moment])
        twice = sum(times[moment] - 1 for moment in counted if times[moment] > 1)
        yield tag in SPEECH, lost, twice
