"""Ways: the paths a call can take from phase to phase, and what is certain whichever of them it took."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import (
    Phase,
    Requested,
    TimedOut,
    ToolFails,
    ToolSucceeds,
    TransferFails,
    TransferTo,
    Transition,
    TurnLimitReached,
)
from voiceagent.spec.tool import Tool

__all__ = ["Established", "Given", "Taken", "Ways", "loops_in", "way_round"]

Place = TypeVar("Place")

Given = Callable[[Transition], Collection[str]]
"""What is certain once an edge was taken: grants, or facts that are known."""
Taken = Callable[[Tool], Collection[str]]
"""What a run of a tool may take away again."""


class Ways:
    """A flow as a graph; every target must exist. A question costs a visit to every edge, or a few."""

    def __init__(self, flow: Flow) -> None:
        self.flow = flow
        self.tools: dict[str, tuple[Tool, ...]] = {p.name: flow.tools_of(p) for p in flow.phases}
        """Phase → what it offers."""
        self.edges: dict[str, tuple[Transition, ...]] = {p.name: self._tried_in(p) for p in flow.phases}
        """Phase → the transitions that something there can try, in the order in which they are tried."""
        self._from = self._spread(lambda _: True)

    @property
    def reached(self) -> tuple[Phase, ...]:
        """Phases that a call can come to, the nearest first."""
        return tuple(self.flow.by_name[name] for name in self._from)

    def reaches(self, name: str) -> bool:
        """Whether a call can come to that phase."""
        return name in self._from

    def to(self, name: str) -> tuple[str, ...]:
        """Return a shortest way from the first phase to one that can be reached."""
        return _way(self._from, name)

    def established(self, given: Given, taken: Taken) -> Established:
        """Return what is certain in each phase whatever way was taken to it.

        A tool that may take something away can have done so by the time its phase is left, whatever leads out of it:
        only the edge itself may say that it is still there.
        """
        gains: dict[int, frozenset[str]] = {}
        for name in self._from:
            for edge in self.edges[name]:
                if id(edge) not in gains:  # a transition that every phase has is looked at once
                    gains[id(edge)] = frozenset(given(edge))
        lost = {name: frozenset(item for tool in self.tools[name] for item in taken(tool)) for name in self._from}
        bits: dict[str, int] = {}
        for item in (item for items in (*gains.values(), *lost.values()) for item in sorted(items)):
            bits.setdefault(item, len(bits))
        masks = {edge: _mask(items, bits) for edge, items in gains.items()}
        # Coming back to the first phase takes nothing away from what a call begins with: nothing.
        out = {
            name: [(edge.to, masks[id(edge)]) for edge in self.edges[name] if edge.to != self.flow.initial]
            for name in self._from
        }
        values = dict.fromkeys(self._from, (1 << len(bits)) - 1)
        values[self.flow.initial] = 0
        kept = {name: ~_mask(items, bits) for name, items in lost.items()}
        _settle(values, out, lambda name, before, gained, known: known & ((before & kept[name]) | gained))
        on_entry = {name: _named(mask, bits) for name, mask in values.items()}
        return Established(self, on_entry, gains, lost, {})

    def possible(self, of_tool: Callable[[Tool], Iterable[str]]) -> dict[str, frozenset[str]]:
        """Return what the tools on any way to a phase, or in it, may give by the time the phase is left."""
        bits: dict[str, int] = {}
        values = {
            name: sum(
                1 << bits.setdefault(item, len(bits)) for item in {i for t in self.tools[name] for i in of_tool(t)}
            )
            for name in self._from
        }
        out = {name: [(edge.to, 0) for edge in self.edges[name]] for name in self._from}
        _settle(values, out, lambda _, before, gained, known: known | before | gained)
        return {name: _named(mask, bits) for name, mask in values.items()}

    def leading_to(self, targets: Iterable[str], by: Callable[[Transition], bool] = lambda _: True) -> set[str]:
        """Return the phases from which edges of this kind lead to one of these, themselves included."""
        into: dict[str, list[str]] = {name: [] for name in self.edges}
        for name, edges in self.edges.items():
            for edge in edges:
                if by(edge):
                    into[edge.to].append(name)
        found = set(targets)
        queue = list(found)
        for name in queue:
            for before in into[name]:
                if before not in found:
                    found.add(before)
                    queue.append(before)
        return found

    def _tried_in(self, phase: Phase) -> tuple[Transition, ...]:
        def tried(edge: Transition) -> bool:
            match edge.on:
                case ToolSucceeds(tool=tool) | ToolFails(tool=tool):
                    return phase.has_model and tool in self.tools[phase.name]
                case Requested():
                    return phase.has_model
                case TimedOut():
                    return phase.timeout_ms is not None
                case TurnLimitReached():
                    return phase.max_turns is not None
                case TransferFails():
                    return isinstance(phase.ends, TransferTo)
                case _:
                    return True

        return tuple(edge for edge in self.flow.transitions_of(phase) if tried(edge))

    def _spread(self, by: Callable[[Transition], bool]) -> dict[str, str | None]:
        """Return every phase that edges of this kind lead to, with the one it is first come to from."""
        came: dict[str, str | None] = {self.flow.initial: None}
        queue = [self.flow.initial]
        for name in queue:
            for edge in self.edges[name]:
                if edge.to not in came and by(edge):
                    came[edge.to] = name
                    queue.append(edge.to)
        return came


@dataclass(frozen=True, slots=True)
class Established:
    """What is certain in each phase, and how a call may come there without something."""

    ways: Ways
    on_entry: Mapping[str, frozenset[str]]
    """Phase that can be reached → what is certain when it begins."""
    gains: Mapping[int, frozenset[str]]
    """Identity of an edge → what is certain once it was taken."""
    lost: Mapping[str, frozenset[str]]
    """Phase → what may be gone when it is left."""
    _came: dict[str, dict[_At, _At | None]]
    """What has been asked for so far → how every phase is come to with it and without."""

    def before(self, name: str, edge: Transition) -> frozenset[str]:
        """Return what is certain at the moment an edge out of a phase is taken."""
        return (self.on_entry[name] - self.lost[name]) | self.gains[id(edge)]

    def way_without(self, name: str, item: str) -> tuple[str, ...]:
        """Return a shortest way to a phase that begins without the grant or fact; any way where there is none."""
        return tuple(phase for phase, _ in self._without(name, item)) or self.ways.to(name)

    def lost_by(self, name: str, item: str) -> str | None:
        """Return the phase on that way in which the grant or fact was there last; None where it never was."""
        return next((phase for phase, has in reversed(self._without(name, item)) if has), None)

    def _without(self, name: str, item: str) -> tuple[_At, ...]:
        if item not in self._came:  # many phases lack the same thing
            self._came[item] = self._spread(item)
        return _way(self._came[item], (name, False)) if (name, False) in self._came[item] else ()

    def _spread(self, item: str) -> dict[_At, _At | None]:
        first: _At = (self.ways.flow.initial, False)
        came: dict[_At, _At | None] = {first: None}
        queue: list[_At] = [first]
        for name, has in queue:
            kept = has and item not in self.lost[name]
            for edge in self.ways.edges[name]:
                there = (edge.to, kept or item in self.gains[id(edge)])
                if there not in came:
                    came[there] = (name, has)
                    queue.append(there)
        return came


_At = tuple[str, bool]
"""A phase, entered with something or without it."""


def loops_in(successors: Mapping[str, Collection[str]]) -> tuple[tuple[str, ...], ...]:
    """Return the strongly connected parts that have a cycle, each in the order of the mapping (Tarjan's algorithm)."""
    order = {name: number for number, name in enumerate(successors)}
    seen: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: dict[str, None] = {}
    loops: list[tuple[str, ...]] = []
    for root in successors:
        if root in seen:
            continue
        stack = [(root, iter(successors[root]))]
        seen[root] = low[root] = len(seen)
        open_[root] = None
        while stack:
            name, rest = stack[-1]
            to = next((to for to in rest if to in successors and (to not in seen or to in open_)), None)
            if to is None:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[name])
                if low[name] == seen[name]:
                    part = _closed(open_, name)
                    if len(part) > 1 or name in successors[name]:
                        loops.append(tuple(sorted(part, key=order.__getitem__)))
            elif to in open_:
                low[name] = min(low[name], seen[to])
            else:
                seen[to] = low[to] = len(seen)
                open_[to] = None
                stack.append((to, iter(successors[to])))
    return tuple(sorted(loops, key=lambda loop: order[loop[0]]))


def _closed(open_: dict[str, None], name: str) -> list[str]:
    part: list[str] = []
    while not part or part[-1] != name:
        part.append(open_.popitem()[0])
    return part


def way_round(successors: Mapping[str, Collection[str]], loop: Sequence[str]) -> tuple[str, ...]:
    """Return a shortest way from the first phase of a loop back to it, both ends included."""
    inside = set(loop)
    came: dict[str, str | None] = {loop[0]: None}
    queue = [loop[0]]
    for name in queue:
        for to in successors[name]:
            if to == loop[0]:
                return (*_way(came, name), to)
            if to in inside and to not in came:
                came[to] = name
                queue.append(to)
    raise ValueError("not a loop")


def _way(came: Mapping[Place, Place | None], place: Place) -> tuple[Place, ...]:
    way: list[Place] = []
    at: Place | None = place
    while at is not None:
        way.append(at)
        at = came[at]
    return tuple(reversed(way))


def _settle(
    values: dict[str, int], out: Mapping[str, Sequence[tuple[str, int]]], step: Callable[[str, int, int, int], int]
) -> None:
    """Carry sets, as bits, along the edges until nothing changes."""
    queue = deque(values)
    queued = set(values)
    while queue:
        name = queue.popleft()
        queued.discard(name)
        for to, gained in out[name]:
            new = step(name, values[name], gained, values[to])
            if new != values[to]:
                values[to] = new
                if to not in queued:
                    queued.add(to)
                    queue.append(to)


def _mask(items: Iterable[str], bits: Mapping[str, int]) -> int:
    return sum(1 << bits[item] for item in items)


def _named(mask: int, bits: Mapping[str, int]) -> frozenset[str]:
    return frozenset(item for item, bit in bits.items() if mask >> bit & 1) if mask else frozenset()
