"""Ways: the paths a call can take from phase to phase, and what is certain whichever of them it took."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase, Requested, TimedOut, ToolFails, ToolSucceeds, Transition, TurnLimitReached
from voiceagent.spec.tool import Tool

__all__ = ["Given", "Ways", "loops_in", "way_round"]

Given = Callable[[Transition], Collection[str]]
"""What is certain once an edge was taken: grants, or facts that are known."""


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

    def without(self, name: str, item: str, given: Given) -> tuple[str, ...]:
        """Return a way to a phase on which the grant or fact is never given; a shortest way where there is none."""
        came = self._spread(lambda edge: item not in given(edge))
        return _way(came, name) if name in came else self.to(name)

    def held(self, given: Given) -> dict[str, frozenset[str]]:
        """Return what is established on entry to each phase whatever way was taken: the greatest fixed point."""
        bits: dict[str, int] = {}
        masks: dict[int, int] = {}
        out: dict[str, list[tuple[str, int]]] = {}
        for name in self._from:
            for edge in self.edges[name]:
                if id(edge) not in masks:  # a transition that every phase has is looked at once
                    masks[id(edge)] = sum(1 << bits.setdefault(item, len(bits)) for item in set(given(edge)))
            # Coming back to the first phase takes nothing away from what a call begins with: nothing.
            out[name] = [(edge.to, masks[id(edge)]) for edge in self.edges[name] if edge.to != self.flow.initial]
        values = dict.fromkeys(self._from, (1 << len(bits)) - 1)
        values[self.flow.initial] = 0
        _settle(values, out, lambda before, gained, known: known & (before | gained))
        return {name: _named(mask, bits) for name, mask in values.items()}

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
        _settle(values, out, lambda before, _, known: known | before)
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


def _way(came: Mapping[str, str | None], name: str) -> tuple[str, ...]:
    way: list[str] = []
    at: str | None = name
    while at is not None:
        way.append(at)
        at = came[at]
    return tuple(reversed(way))


def _settle(
    values: dict[str, int], out: Mapping[str, Sequence[tuple[str, int]]], step: Callable[[int, int, int], int]
) -> None:
    """Carry sets, as bits, along the edges until nothing changes."""
    queue = deque(values)
    queued = set(values)
    while queue:
        name = queue.popleft()
        queued.discard(name)
        for to, gained in out[name]:
            new = step(values[name], gained, values[to])
            if new != values[to]:
                values[to] = new
                if to not in queued:
                    queued.add(to)
                    queue.append(to)


def _named(mask: int, bits: Mapping[str, int]) -> frozenset[str]:
    return frozenset(item for item, bit in bits.items() if mask >> bit & 1) if mask else frozenset()
