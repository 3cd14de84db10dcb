"""Machines: what is said to an answering machine is said after its greeting, and only where one can have answered."""

from __future__ import annotations

from collections.abc import Iterator

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import BeepHeard, MachineAnswers, PersonAnswers, Phase, Transition, Wait
from voiceagent.spec.verify.finding import Finding, error, warning
from voiceagent.spec.ways import Ways

__all__ = ["machines"]


def machines(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at what waits for machines, for beeps and for people who were taken for machines."""
    yield from _first_phase(flow, ways)
    answered = [
        edge for phase in ways.reached for edge in ways.edges[phase.name] if isinstance(edge.on, MachineAnswers)
    ]
    with_machines = _reached_from({edge.to for edge in answered}, ways)
    for phase in ways.reached:
        waits = [edge for edge in ways.edges[phase.name] if isinstance(edge.on, BeepHeard | PersonAnswers)]
        if waits and phase.name not in with_machines:
            kind = type(waits[0].on).__name__
            message = f"phase {phase.name!r} waits for {kind}, and no way to it begins with MachineAnswers"
            yield error("dead-trigger", message, waits[0].source, ways.to(phase.name))
        elif any(isinstance(edge.on, BeepHeard) for edge in waits):
            yield from _waits_for_beep(phase, waits, ways)
    for edge in answered:
        yield from _talks_over(edge, flow.by_name[edge.to])


def _first_phase(flow: Flow, ways: Ways) -> Iterator[Finding]:
    if any(isinstance(edge.on, MachineAnswers) for edge in ways.edges[flow.initial]):
        return
    for phase in ways.reached:
        for edge in ways.edges[phase.name]:
            if isinstance(edge.on, MachineAnswers):
                message = f"who answers is found out in the first phase, and {flow.initial!r} has no MachineAnswers"
                yield error("dead-trigger", message, edge.source)
                return


def _reached_from(names: set[str], ways: Ways) -> set[str]:
    found = sorted(names)
    for name in found:
        found += [edge.to for edge in ways.edges[name] if edge.to not in found]
    return set(found)


def _waits_for_beep(phase: Phase, waits: list[Transition], ways: Ways) -> Iterator[Finding]:
    if not isinstance(phase.on_enter, Wait):
        message = f"phase {phase.name!r} waits for the beep and says something before it: `on_enter` has to be Wait"
        yield error("talks-over-greeting", message, phase.source_of("on_enter"), ways.to(phase.name))
    if not any(isinstance(edge.on, PersonAnswers) for edge in waits):
        message = f"phase {phase.name!r} has no PersonAnswers: somebody taken for a machine is left a message"
        yield warning("no-way-back", message, phase.source, ways.to(phase.name))


def _talks_over(edge: Transition, to: Phase) -> Iterator[Finding]:
    waits_for_beep = any(isinstance(other.on, BeepHeard) for other in to.transitions)
    if edge.say is not None or not (isinstance(to.on_enter, Wait) or waits_for_beep):
        message = f"what {to.name!r} begins with is said over the machine's greeting: go there on BeepHeard"
        yield error("talks-over-greeting", message, edge.source)
