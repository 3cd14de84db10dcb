"""Ends: every phase can be reached, can reach an end, and no call goes round and round for ever."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import (
    NotUnderstood,
    Phase,
    Pressed,
    Requested,
    Silent,
    TimedOut,
    ToolFails,
    ToolSucceeds,
    TransferFails,
    TransferTo,
    Transition,
    VoiceFails,
)
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways, loops_in, way_round

__all__ = ["ends", "loops_without_a_bound", "people", "reachability", "rounds"]


def reachability(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look for phases that no call can come to."""
    for phase in flow.phases:
        if not ways.reaches(phase.name):
            yield error("unreachable", f"no way leads to phase {phase.name!r}", phase.source)


def ends(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look for phases and loops that no way leads out of; what leads into them is told with the way there."""
    endable = ways.leading_to(phase.name for phase in flow.phases if phase.ends)
    successors = {p.name: [edge.to for edge in ways.edges[p.name]] for p in ways.reached if p.name not in endable}
    for name, targets in successors.items():
        if not targets:
            message = f"phase {name!r} has no way out and does not end the call"
            yield error("dead-end", message, flow.by_name[name].source, ways.to(name))
    for loop in loops_in(successors):
        if all(to in loop for name in loop for to in successors[name]):
            message = f"the call can never end: nothing leads out of {_round(successors, loop)}"
            yield error("no-end", message, flow.by_name[loop[0]].source, ways.to(loop[0]))


def _round(successors: Mapping[str, list[str]], loop: tuple[str, ...]) -> str:
    return " → ".join(way_round(successors, loop))


# --- nobody there ----------------------------------------------------------------------------------------------------

_UNATTENDED: dict[type, str] = {
    Silent: "a caller who says nothing",
    NotUnderstood: "a caller who is never understood",
    VoiceFails: "a voice that keeps failing",
    TransferFails: "a caller whom nobody takes",
}
"""What goes on by itself, without the caller's help."""


def rounds(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look for loops that a call goes round by itself until its time is up.

    Where a phase has no transition for silence, for words that are not understood or for a voice that fails, the call
    ends there: that is the exit.
    """
    for kind, who in _UNATTENDED.items():
        goes_on = {phase.name: _goes_on(flow, phase, ways.edges[phase.name], kind) for phase in ways.reached}
        for loop in loops_in(goes_on):
            if all(to in loop for name in loop for to in goes_on[name]) and all(goes_on[name] for name in loop):
                message = f"{who} is led round {_round(goes_on, loop)} without exit or bound"
                first = flow.by_name[loop[0]]
                edge = next(e for e in ways.edges[first.name] if e.to in loop and isinstance(e.on, (kind, TimedOut)))
                yield error("endless-loop", message, edge.source, ways.to(first.name))


def _goes_on(flow: Flow, phase: Phase, edges: tuple[Transition, ...], kind: type) -> list[str]:
    """Return where such a call goes on from a phase; nowhere if it may end here."""
    if phase.ends and kind is not TransferFails:
        return []
    by_itself = [edge for edge in edges if isinstance(edge.on, kind)]
    timed = [edge for edge in edges if isinstance(edge.on, TimedOut)] if kind is Silent else []
    never_silent_long_enough = bool(timed) and (phase.timeout_ms or 0) < flow.wording_of(phase).no_input.after_ms
    sure = any(edge.when is None for edge in by_itself)
    if not sure and not (never_silent_long_enough and any(edge.when is None for edge in timed)):
        return []
    return [edge.to for edge in (*by_itself, *timed)]


# --- loops that are drawn --------------------------------------------------------------------------------------------


def loops_without_a_bound(ways: Ways) -> tuple[tuple[str, ...], ...]:
    """Return the loops that a call may go round as often as the caller likes.

    A round is bounded where a guard on it reads facts: a counter of attempts, something that is done only once. What a
    phase limits (turns, time) begins anew with every entry, so it bounds a stay and not a round.
    """
    unguarded = {
        phase.name: [edge.to for edge in ways.edges[phase.name] if edge.when is None] for phase in ways.reached
    }
    return loops_in(unguarded)


# --- people ----------------------------------------------------------------------------------------------------------


def people(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look for phases from which the caller cannot get to a person although the flow promises one."""
    if not flow.reaches_human:
        return
    people = [phase.name for phase in flow.phases if isinstance(phase.ends, TransferTo)]
    if not people:
        yield error("no-human", "the flow promises a person, but no phase transfers the call", flow.source)
        return
    by_request = (Requested, Pressed, ToolSucceeds, ToolFails)
    helped = ways.leading_to(people, lambda edge: isinstance(edge.on, by_request))
    for phase in ways.reached:
        if phase.name not in helped and not phase.ends:
            message = f"from phase {phase.name!r} the caller cannot get to a person, whatever they ask for or press"
            yield error("no-human", message, phase.source, ways.to(phase.name))
