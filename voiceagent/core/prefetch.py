"""Prefetch: what is fetched before anybody asks, and who is served from it. The only importer of `cachetools`.

The plan belongs to one call and dies with it. A key is the authentication generation, the tool and its arguments, so
that nothing fetched for one identity is ever served to another.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cachetools import TLRUCache
from pydantic import JsonValue

from voiceagent.core.ids import FetchId, ToolCallId
from voiceagent.spec.facts import Facts
from voiceagent.spec.prefetch import FromFact, FromItem, Prefetch
from voiceagent.spec.tool import Tool

__all__ = ["Answer", "Joined", "PlannedFetch", "PrefetchPlan"]

_MOST_ANSWERS = 128
_MOST_AT_ONCE = 4

Key = tuple[int, str, str]


@dataclass(frozen=True, slots=True)
class PlannedFetch:
    """A fetch to start now."""

    fetch: FetchId
    tool: Tool
    arguments: dict[str, JsonValue]
    deadline_ms: int


@dataclass(frozen=True, slots=True)
class Answer:
    """A tool call can be answered from memory."""

    fetch: FetchId
    result: JsonValue
    saved_ms: int


@dataclass(frozen=True, slots=True)
class Joined:
    """A tool call waits for a fetch that is under way; nothing new is started."""

    fetch: FetchId


@dataclass(frozen=True, slots=True)
class _Stored:
    fetch: FetchId
    result: JsonValue
    took_ms: int
    fresh_ms: int


@dataclass(slots=True)
class _InFlight:
    key: Key
    prefetch: Prefetch
    arguments: dict[str, JsonValue]
    siblings: tuple[Prefetch, ...]
    version: int
    started_ms: int
    waiters: list[tuple[ToolCallId, int]] = field(default_factory=list[tuple[ToolCallId, int]])
    """Tool calls that joined, and when."""

    @property
    def tool(self) -> Tool:
        return self.prefetch.tool


@dataclass(slots=True)
class _Queued:
    key: Key
    prefetch: Prefetch
    siblings: tuple[Prefetch, ...]
    arguments: dict[str, JsonValue]


def _expiry(_key: Key, stored: _Stored, now_ms: float) -> float:
    return now_ms + stored.fresh_ms


@dataclass(slots=True)
class _Time:
    """What the time is, for the cache: it asks, and is told nothing."""

    now_ms: int = 0

    def __call__(self) -> int:
        return self.now_ms


class PrefetchPlan:
    """The call's fetches, their answers, and the tool calls that wait for them."""

    def __init__(self) -> None:
        self._time = _Time()
        self._generation = 0
        self._count = 0
        self._versions: dict[str, int] = {}
        self._in_flight: dict[FetchId, _InFlight] = {}
        self._queue: list[_Queued] = []
        self._answers: TLRUCache[Key, _Stored] = TLRUCache(_MOST_ANSWERS, _expiry, timer=self._time)

    @property
    def generation(self) -> int:
        """How often the caller's identity has been established, changed or withdrawn; 0 before the first time."""
        return self._generation

    def identity_established(self) -> None:
        """The caller is somebody, somebody else or nobody from now on: nothing fetched before is served any more."""
        self._generation += 1
        self._queue.clear()
        self._answers.clear()

    def plan(self, prefetches: Sequence[Prefetch], facts: Facts, now_ms: int) -> list[PlannedFetch]:
        """A transition with these prefetches was decided: return the fetches to start now."""
        self._time.now_ms = now_ms
        siblings = tuple(prefetches)
        for prefetch in siblings:
            if prefetch.after is None:
                self._enqueue(prefetch, siblings, facts, item=None)
        return self._start(now_ms)

    def finished(
        self, fetch: FetchId, result: JsonValue, facts: Facts, now_ms: int
    ) -> tuple[list[PlannedFetch], list[tuple[ToolCallId, Answer]]]:
        """A fetch returned: store it if it is still true, start what depends on it, answer who waits."""
        self._time.now_ms = now_ms
        flight = self._in_flight.pop(fetch, None)
        if flight is None:
            return [], []
        took_ms = now_ms - flight.started_ms
        current = flight.key[0] == self._generation and flight.version == self._versions.get(flight.tool.name, 0)
        if current:
            self._answers[flight.key] = _Stored(fetch, result, took_ms, flight.tool.fresh_ms)
            for dependent in flight.siblings:
                if dependent.after is flight.tool:
                    for item in _items(result, dependent):
                        self._enqueue(dependent, flight.siblings, facts, item=item)
        # Who joined asked before the write that made this stale, so they are answered; who asks now fetches anew.
        answers = [(call, Answer(fetch, result, max(0, since - flight.started_ms))) for call, since in flight.waiters]
        return self._start(now_ms), answers

    def failed(self, fetch: FetchId, now_ms: int) -> tuple[list[PlannedFetch], list[ToolCallId]]:
        """A fetch came to nothing: return what can start in its place and who must ask for themselves."""
        self._time.now_ms = now_ms
        flight = self._in_flight.pop(fetch, None)
        waiters = [call for call, _ in flight.waiters] if flight else []
        return self._start(now_ms), waiters

    def under_way(self, now_ms: int) -> list[PlannedFetch]:
        """Return the fetches that have no outcome yet, with all their time ahead of them once more.

        What was begun for another identity is forgotten, unless somebody waits for it.
        """
        self._in_flight = {
            fetch: flight
            for fetch, flight in self._in_flight.items()
            if flight.key[0] == self._generation or flight.waiters
        }
        return [
            PlannedFetch(fetch, flight.tool, flight.arguments, now_ms + flight.prefetch.deadline_ms)
            for fetch, flight in self._in_flight.items()
        ]

    def look_up(
        self, call: ToolCallId, tool: Tool, arguments: Mapping[str, JsonValue], now_ms: int
    ) -> Answer | Joined | None:
        """Return the answer, the fetch that will bring it, or None where the tool has to run."""
        self._time.now_ms = now_ms
        if tool.effect != "read":
            return None
        key = self._key(tool, arguments)
        stored = self._answers.get(key)
        if stored is not None:
            return Answer(stored.fetch, stored.result, stored.took_ms)
        version = self._versions.get(tool.name, 0)
        for fetch, flight in self._in_flight.items():
            if flight.key == key and flight.version == version:
                flight.waiters.append((call, now_ms))
                return Joined(fetch)
        # The model was quicker than the queue: its own call takes the place of the fetch.
        self._queue = [queued for queued in self._queue if queued.key != key]
        return None

    def answers_of(self, tool: Tool, now_ms: int) -> list[JsonValue]:
        """Return the answers of a tool that are still fresh, the oldest first."""
        self._time.now_ms = now_ms
        stored = [self._answers.get(key) for key in list(self._answers) if key[:2] == (self._generation, tool.name)]
        return [answer.result for answer in stored if answer is not None]

    def leave(self, call: ToolCallId) -> None:
        """A tool call no longer waits."""
        for flight in self._in_flight.values():
            flight.waiters = [waiter for waiter in flight.waiters if waiter[0] != call]

    def store(self, tool: Tool, arguments: Mapping[str, JsonValue], result: JsonValue, took_ms: int) -> None:
        """Keep the answer of a read the model asked for itself: the same question again is served from memory."""
        if tool.effect == "read" and self._generation:
            key = self._key(tool, arguments)
            self._answers[key] = _Stored(FetchId("f0"), result, took_ms, tool.fresh_ms)

    def version_of(self, tool: Tool) -> int:
        """Return a number that rises whenever a write makes the tool's earlier answers stale."""
        return self._versions.get(tool.name, 0)

    def written(self, tool: Tool) -> None:
        """A write succeeded: the answers it makes stale are dropped, and those under way will not be stored."""
        for name in tool.invalidates:
            self._versions[name] = self._versions.get(name, 0) + 1
            for key in [key for key in list(self._answers) if key[1] == name]:
                del self._answers[key]

    def close(self) -> None:
        """The call is over: forget everything."""
        self._answers.clear()
        self._queue.clear()
        self._in_flight.clear()

    def _key(self, tool: Tool, arguments: Mapping[str, JsonValue]) -> Key:
        return self._generation, tool.name, json.dumps(arguments, sort_keys=True)

    def _enqueue(self, prefetch: Prefetch, siblings: tuple[Prefetch, ...], facts: Facts, *, item: JsonValue) -> None:
        known = facts.known()
        arguments: dict[str, object] = {}
        for name, value in prefetch.arguments.items():
            match value:
                case FromFact(fact=fact):
                    arguments[name] = known.get(fact)
                case FromItem(field=path):
                    arguments[name] = item.get(path) if isinstance(item, dict) else None
                case _:
                    arguments[name] = value
        arguments |= {parameter: known.get(fact) for parameter, fact in prefetch.tool.binds.items()}
        try:
            valid = prefetch.tool.validated(arguments)
        except ValueError:
            return  # an item without the field: there is nothing to fetch for it
        key = self._key(prefetch.tool, valid)
        pending = [flight.key for flight in self._in_flight.values()] + [queued.key for queued in self._queue]
        if key not in pending and key not in self._answers:
            self._queue.append(_Queued(key, prefetch, siblings, valid))

    def _start(self, now_ms: int) -> list[PlannedFetch]:
        started: list[PlannedFetch] = []
        while self._queue and len(self._in_flight) < _MOST_AT_ONCE:
            queued = self._queue.pop(0)
            self._count += 1
            fetch = FetchId(f"f{self._count}")
            tool = queued.prefetch.tool
            self._in_flight[fetch] = _InFlight(
                queued.key,
                queued.prefetch,
                queued.arguments,
                queued.siblings,
                self._versions.get(tool.name, 0),
                now_ms,
            )
            started.append(PlannedFetch(fetch, tool, queued.arguments, now_ms + queued.prefetch.deadline_ms))
        return started


def _items(result: JsonValue, dependent: Prefetch) -> list[JsonValue]:
    found: JsonValue = result
    if dependent.for_each is not None:
        found = result.get(dependent.for_each) if isinstance(result, dict) else None
    return found[: dependent.at_most] if isinstance(found, list) else []
