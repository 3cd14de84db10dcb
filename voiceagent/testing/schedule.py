"""Schedules: in which order things come that happen at nearly the same moment.

A virtual clock alone always gives the same order, and hides what goes wrong in another. In the real world the voice,
the recognizer, the model, the tools, the speaker and the timers run beside each other; only what comes from one of
them keeps its order. A schedule lets one of them overtake another, by seed, within a few milliseconds.
"""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from voiceagent.core import events as ev

__all__ = ["PLAIN_SEED", "Pending", "Schedule", "Swap", "label_of", "shrink", "source_of"]

PLAIN_SEED = 0
"""The schedule in which nothing overtakes anything."""

_WINDOW_MS = 60
"""How late something may be handled: what an event loop under load and a queue of a few events amount to."""
_SWAP_RATE = 0.3
_PartT = TypeVar("_PartT")


@dataclass(frozen=True, slots=True)
class Swap:
    """Something was handled before something else that came a little sooner, or although it was called off."""

    early: str
    late: str
    """What was overtaken; empty where `early` was on its way already when it was called off."""
    occurrence: int
    """The how manieth time that these two met."""

    def __str__(self) -> str:
        if not self.late:
            return f"{self.early} came although it had just been called off"
        again = f" (time {self.occurrence} that they met)" if self.occurrence > 1 else ""
        return f"{self.early} before {self.late}{again}"


class Schedule:
    """Decides who comes first. One schedule serves one call; afterwards `taken` says what it did."""

    def __init__(self, seed: int = PLAIN_SEED, *, only: Sequence[Swap] | None = None) -> None:
        """Draw swaps by `seed`, or, with `only`, make exactly these wherever they are possible."""
        self.seed = seed
        self.taken: list[Swap] = []
        plain = seed == PLAIN_SEED if only is None else not only
        self.window_ms = 0 if plain else _WINDOW_MS
        self._only = None if only is None else frozenset(only)
        self._random = random.Random(f"order {seed}")  # noqa: S311 - no secret: the same seed must give the same order
        self._met: dict[tuple[str, str], int] = {}

    def choose(self, labels: Sequence[str]) -> int:
        """Return which of these comes first; the first of them would without a schedule."""
        swaps = [self._swap(label, labels[0]) for label in labels[1:]]
        if self._only is not None:
            chosen = next((n for n, swap in enumerate(swaps, 1) if swap in self._only), 0)
        else:
            chosen = self._random.randint(1, len(swaps)) if self._random.random() < _SWAP_RATE else 0
        if chosen:
            self.taken.append(swaps[chosen - 1])
        return chosen

    def lets_through(self, label: str) -> bool:
        """Return whether something that was just called off comes all the same."""
        swap = self._swap(label, "")
        let = self._random.random() < _SWAP_RATE if self._only is None else swap in self._only
        if let:
            self.taken.append(swap)
        return let

    def _swap(self, early: str, late: str) -> Swap:
        met = self._met.get((early, late), 0) + 1
        self._met[early, late] = met
        return Swap(early, late, met)


class Pending:
    """Everything that is going to happen, and what of it happens next."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._heap: list[tuple[int, int, ev.Event]] = []
        self._order = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._heap)

    def add(self, at_ms: int, event: ev.Event) -> None:
        """Let something happen at this instant."""
        heapq.heappush(self._heap, (at_ms, next(self._order), event))

    def withhold(self, kind: type[ev.Event]) -> list[ev.Event]:
        """Take out everything of a class that is going to happen: it is in the hands of the test now."""
        held = [entry for entry in sorted(self._heap, key=lambda entry: entry[:2]) if isinstance(entry[2], kind)]
        self._heap = [entry for entry in self._heap if not isinstance(entry[2], kind)]
        heapq.heapify(self._heap)
        return [event for _, _, event in held]

    def leave_only(self, kind: type[ev.Event]) -> None:
        """Let nothing else happen: whoever would have done it is gone."""
        self._heap = [entry for entry in self._heap if isinstance(entry[2], kind)]
        heapq.heapify(self._heap)

    def drop(self, source: str, after_ms: int) -> None:
        """Let nothing of this source happen any more after that instant."""
        left = [entry for entry in self._heap if entry[0] <= after_ms or source_of(entry[2]) != source]
        if len(left) < len(self._heap):
            self._heap = left
            heapq.heapify(left)

    def next(self, deadline_ms: int | None, until_ms: int) -> tuple[int, ev.Event] | None:
        """Take what comes next, an event or the deadline as TimePassed, if it comes by then; with its instant."""
        heap = self._heap
        if not heap or (deadline_ms is not None and deadline_ms < heap[0][0]):
            first_ms, event = deadline_ms, ev.TimePassed()
        else:
            first_ms, event = heap[0][0], heap[0][2]
        if first_ms is None or first_ms > until_ms:
            return None
        if self._schedule.window_ms:
            return self._chosen(first_ms, deadline_ms, until_ms)
        if not isinstance(event, ev.TimePassed):
            heapq.heappop(heap)
        return first_ms, event

    def _chosen(self, first_ms: int, deadline_ms: int | None, until_ms: int) -> tuple[int, ev.Event]:
        """Take one of those that come within the window."""
        latest_ms = min(first_ms + self._schedule.window_ms, until_ms)
        near: list[tuple[int, int, ev.Event]] = []
        while self._heap and self._heap[0][0] <= latest_ms:
            near.append(heapq.heappop(self._heap))
        timer = (deadline_ms, -1, ev.TimePassed()) if deadline_ms is not None and deadline_ms <= latest_ms else None
        candidates = _first_of_each(near)
        if timer is not None:
            # At one and the same instant an event comes before the timer.
            place = sum(1 for at_ms, _, _ in candidates if at_ms <= timer[0])
            candidates.insert(place, timer)
        chosen = 0
        if len(candidates) > 1:
            chosen = self._schedule.choose([label_of(event) for _, _, event in candidates])
        taken = candidates[chosen]
        for pending in near:
            if pending is not taken:
                heapq.heappush(self._heap, pending)
        return taken[0], taken[2]


def shrink(
    parts: Sequence[_PartT], fails: Callable[[Sequence[_PartT]], bool], *, at_most: int = 200
) -> tuple[_PartT, ...]:
    """Return a smallest selection of the parts with which `fails` still says yes: none of it can be left out.

    After `at_most` tries it is whatever selection has been reached.
    """
    needed = list(parts)
    tries = itertools.count()
    if not needed or fails(()):
        return ()
    size = len(needed)
    while True:
        size = max(1, size // 2)
        start, shorter = 0, False
        while start < len(needed):
            rest = needed[:start] + needed[start + size :]
            if next(tries) >= at_most:
                return tuple(needed)
            if rest and fails(rest):
                needed, shorter = rest, True
            else:
                start += size
        if size == 1 and not shorter:
            break
    return tuple(needed)


def _first_of_each(near: Sequence[tuple[int, int, ev.Event]]) -> list[tuple[int, int, ev.Event]]:
    """Return the first event of each source: only what comes from different ones may change places."""
    first: dict[str, tuple[int, int, ev.Event]] = {}
    for pending in near:
        first.setdefault(source_of(pending[2]), pending)
    return list(first.values())


def source_of(event: ev.Event) -> str:  # noqa: C901 - a table: a row per source
    """Return where an event comes from: what comes from one source keeps its order."""
    match event:
        case ev.CallerStartedSpeaking() | ev.CallerPaused() | ev.VoiceFoundFaint():
            return "voice"
        case ev.TranscriptPartial(utterance) | ev.TranscriptFinal(utterance) | ev.TranscriptFailed(utterance):
            return f"words {utterance}"
        case ev.TurnJudged(utterance):
            return f"judgement {utterance}"
        case ev.DigitsPressed():
            return "keys"
        case ev.ReplyStarted(reply) | ev.ReplyText(reply) | ev.ToolRequested(reply):
            return f"reply {reply}"
        case ev.ReplyFinished(reply) | ev.ReplyFailed(reply):
            return f"reply {reply}"
        case ev.ToolFinished(call) | ev.ToolFailed(call):
            return f"tool {call}"
        case ev.PrefetchFinished(fetch) | ev.PrefetchFailed(fetch):
            return f"fetch {fetch}"
        case ev.SpeechQueued() | ev.SpeechFailed():
            return "synthesis"
        case ev.PlayoutStarted() | ev.PlayoutReached() | ev.PlayoutStopped():
            return "playout"
        case ev.PhaseSwapped() | ev.SwapFailed():
            return "swap"
        case ev.HostEvent():
            return "host"
        case _:
            return "line"


def label_of(event: ev.Event) -> str:
    """Return a short name that tells an event from its like: `ToolFinished t2`."""
    kind = type(event).__name__
    match event:
        case ev.SpeechQueued(id, clause) | ev.SpeechFailed(id, clause) | ev.PlayoutReached(id, clause):
            return f"{kind} {id}.{clause}"
        case ev.CallerStartedSpeaking(id) | ev.CallerPaused(id) | ev.TranscriptPartial(id) | ev.TranscriptFinal(id):
            return f"{kind} {id}"
        case ev.TranscriptFailed(id) | ev.TurnJudged(id) | ev.VoiceFoundFaint(id):
            return f"{kind} {id}"
        case ev.PlayoutStarted(id) | ev.PlayoutStopped(id):
            return f"{kind} {id}"
        case ev.ReplyStarted(id) | ev.ReplyText(id) | ev.ToolRequested(id) | ev.ReplyFinished(id) | ev.ReplyFailed(id):
            return f"{kind} {id}"
        case ev.ToolFinished(id) | ev.ToolFailed(id) | ev.PrefetchFinished(id) | ev.PrefetchFailed(id):
            return f"{kind} {id}"
        case ev.PhaseSwapped(epoch) | ev.SwapFailed(epoch):
            return f"{kind} {epoch}"
        case ev.HostEvent(name):
            return f"{kind} {name}"
        case _:
            return kind
