"""Ways: the paths a call can take from phase to phase, and what is certain whichever of them it took."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Transition

__all__ = ["held_on_every_way", "shortest_ways", "way_without"]


def shortest_ways(flow: Flow) -> dict[str, tuple[str, ...]]:
    """Return a shortest way from the first phase to every phase that can be reached."""
    ways: dict[str, tuple[str, ...]] = {flow.initial: (flow.initial,)}
    queue = [flow.initial]
    for name in queue:
        for transition in flow.transitions_of(flow.by_name[name]):
            if transition.to not in ways:
                ways[transition.to] = (*ways[name], transition.to)
                queue.append(transition.to)
    return ways


def held_on_every_way(flow: Flow, given: Callable[[Transition], set[str]]) -> dict[str, set[str]]:
    """Return what is established on entry to each phase whatever way was taken: the greatest fixed point."""
    reachable = shortest_ways(flow)
    everything = {item for phase in flow.phases for edge in flow.transitions_of(phase) for item in given(edge)}
    held = {name: set(everything) for name in reachable}
    held[flow.initial] = set()
    changed = True
    while changed:
        changed = False
        for name in reachable:
            for edge in flow.transitions_of(flow.by_name[name]):
                narrowed = held[edge.to] & (held[name] | given(edge))
                if edge.to != flow.initial and narrowed != held[edge.to]:
                    held[edge.to] = narrowed
                    changed = True
    return held


def way_without(flow: Flow, target: str, item: str, given: Callable[[Transition], set[str]]) -> tuple[str, ...] | None:
    """Return a way to a phase on which the grant or fact is never given."""
    ways: dict[str, tuple[str, ...]] = {flow.initial: (flow.initial,)}
    queue = [flow.initial]
    for name in queue:
        for edge in flow.transitions_of(flow.by_name[name]):
            if edge.to not in ways and item not in given(edge):
                ways[edge.to] = (*ways[name], edge.to)
                queue.append(edge.to)
    return ways.get(target)
