"""Prefetches: only reads, with arguments that fit, and never before the caller is somebody."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import ValidationError

from voiceagent.errors import nearest
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Transition
from voiceagent.spec.prefetch import FromFact, FromItem, Prefetch
from voiceagent.spec.verify.certain import certain_facts, certain_grants, known_from_the_start
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["prefetches"]


def prefetches(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at what is fetched ahead, where, and with what."""
    for edge in _edges_with_any(flow):
        for prefetch in edge.prefetch:
            yield from _shape(edge, prefetch)
    yield from _too_early(flow, ways)


def _edges_with_any(flow: Flow) -> tuple[Transition, ...]:
    edges = (*(edge for phase in flow.phases for edge in phase.transitions), *flow.transitions)
    return tuple(edge for edge in edges if edge.prefetch)


def _shape(edge: Transition, prefetch: Prefetch) -> Iterator[Finding]:
    tool, source = prefetch.tool, prefetch.source
    if tool.effect != "read":
        yield error("prefetch-write", f"{tool.name!r} writes, so it cannot be fetched ahead", source)
    if tool.sealed:
        message = f"{tool.name!r} takes the secret {tool.sealed[0]!r}, so it cannot be fetched ahead"
        yield error("prefetch-secret", message, source)
    if prefetch.after is not None and not _begins(prefetch, edge.prefetch):
        there = any(prefetch.after is other.tool for other in edge.prefetch)
        why = "which waits for this one in turn" if there else "which is not fetched here"
        message = f"{tool.name!r} comes after {prefetch.after.name!r}, {why}"
        yield error("prefetch-order", message, source)
    if prefetch.for_each is not None and prefetch.after is None:
        message = f"{tool.name!r} is fetched for each {prefetch.for_each!r}, but comes `after` nothing that has any"
        yield error("prefetch-order", message, source)
    yield from _arguments(prefetch)


def _begins(prefetch: Prefetch, siblings: Sequence[Prefetch]) -> bool:
    """Whether a fetch that waits for nothing sets this one going, at once or by way of others."""
    going = {id(other.tool) for other in siblings if other.after is None}
    while id(prefetch.tool) not in going:
        more = {id(other.tool) for other in siblings if other.after is not None and id(other.after) in going} - going
        if not more:
            return False
        going |= more
    return True


def _arguments(prefetch: Prefetch) -> Iterator[Finding]:
    tool, source = prefetch.tool, prefetch.source
    parameters = tool.arguments.model_fields
    for name, value in prefetch.arguments.items():
        if name not in parameters:
            message = f"{name!r} is no parameter of {tool.name!r}{nearest(name, parameters)}"
            yield error("prefetch-argument", message, source)
        elif name in tool.binds:
            message = f"{name!r} of {tool.name!r} is bound to the fact {tool.binds[name]!r} and cannot be given"
            yield error("prefetch-argument", message, source)
        elif not isinstance(value, FromFact | FromItem) and (misfit := _misfit(prefetch, name)):
            yield error("prefetch-argument", f"{name!r} of {tool.name!r} does not fit: {misfit}", source)
        if isinstance(value, FromItem) and prefetch.after is None:
            message = f"{name!r} is taken from an item, but {tool.name!r} comes `after` nothing that has items"
            yield error("prefetch-argument", message, source)
    for name, field in parameters.items():
        if field.is_required() and name not in prefetch.arguments and name not in tool.binds:
            message = f"{tool.name!r} needs {name!r}, which the prefetch does not give"
            yield error("prefetch-argument", message, source)


def _misfit(prefetch: Prefetch, name: str) -> str | None:
    """Return what the tool has to say against a value that is always the same."""
    try:
        prefetch.tool.arguments.model_validate({name: prefetch.arguments[name]})
    except ValidationError as exc:
        return next((error["msg"] for error in exc.errors() if error["loc"][0] == name), None)
    return None


def _too_early(flow: Flow, ways: Ways) -> Iterator[Finding]:
    grants, facts = certain_grants(flow, ways), certain_facts(ways)
    start = known_from_the_start(flow)
    for phase in ways.reached:
        for edge in ways.edges[phase.name]:
            for prefetch in edge.prefetch:
                tool, where = prefetch.tool, (prefetch.source, (*ways.to(phase.name), edge.to))
                lacking = [grant for grant in tool.requires if grant not in grants.before(phase.name, edge)]
                if lacking:
                    message = f"{tool.name!r} is fetched before {lacking[0]!r} is granted"
                    yield error("prefetch-early", message, *where)
                    continue
                taken = [value.fact for value in prefetch.arguments.values() if isinstance(value, FromFact)]
                known = facts.before(phase.name, edge) | start
                unknown = [fact for fact in (*tool.binds.values(), *taken) if fact not in known]
                if unknown:
                    message = f"{tool.name!r} is fetched before {unknown[0]!r} is known on every way"
                    yield error("prefetch-early", message, *where)
