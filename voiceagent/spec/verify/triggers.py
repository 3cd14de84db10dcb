"""Triggers: what a phase waits for can happen, and the limits that it sets lead somewhere."""

from __future__ import annotations

from collections.abc import Iterator

from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import TimedOut, TransferFails, TransferTo, TurnLimitReached
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["triggers"]


def triggers(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at limits beside the transitions that they set off, and at what moves say of themselves."""
    for phase in flow.phases:
        limits = (("timeout_ms", phase.timeout_ms, TimedOut), ("max_turns", phase.max_turns, TurnLimitReached))
        for field, value, kind in limits:
            if value is None:
                for edge in phase.transitions:
                    if isinstance(edge.on, kind):
                        message = f"phase {phase.name!r} waits for {kind.__name__}, but has no `{field}`"
                        yield error("dead-trigger", message, edge.source)
            elif not any(isinstance(edge.on, kind) for edge in ways.edges[phase.name]):
                message = f"phase {phase.name!r} has a `{field}`, but no transition on {kind.__name__}: nothing happens"
                yield error("limit-ignored", message, phase.source_of(field))
        for name, request in flow.requests_of(phase).items():
            if not request.description.strip():
                yield error("no-description", f"the move {name!r} needs a description", request.source)
    yield from _transfers(flow)


def _transfers(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        for edge in phase.transitions:
            if isinstance(edge.on, TransferFails) and not isinstance(phase.ends, TransferTo):
                message = f"phase {phase.name!r} waits for TransferFails, but transfers nobody"
                yield error("dead-trigger", message, edge.source)
    for edge in flow.transitions:
        if isinstance(edge.on, TransferFails):
            message = "a phase that ends the call has none of the flow's transitions: give it TransferFails itself"
            yield error("dead-trigger", message, edge.source)
