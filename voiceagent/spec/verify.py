"""Verify: what can be known about a flow before anybody calls."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.expects import Digits
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import facts_read_by
from voiceagent.spec.phase import Phase, Requested, Say, ToolFails, ToolSucceeds, Transition
from voiceagent.spec.prompt import placeholders_in
from voiceagent.spec.tool import Tool

__all__ = ["Finding", "verify"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or looks wrong, with the line that says so."""

    code: str
    severity: Literal["error", "warning"]
    message: str
    source: Source
    path: tuple[str, ...] = ()
    """Phases on the way to the mistake, where there is a way."""

    def __str__(self) -> str:
        way = f" (by way of {' → '.join(self.path)})" if self.path else ""
        return f"{self.source}: {self.severity}: {self.message}{way} [{self.code}]"


def verify(flow: Flow) -> list[Finding]:
    """Return everything that is wrong with a flow, in the order of its declarations. No findings: it may be called.

    Later rules assume that names lead somewhere, so they are looked at only if the references hold.
    """
    findings = [*_references(flow)]
    if any(finding.severity == "error" for finding in findings):
        return findings
    for rule in (_reachability, _ends, _grants, _facts, _prompts, _sealed):
        findings += rule(flow)
    return findings


def _error(code: str, message: str, source: Source, path: tuple[str, ...] = ()) -> Finding:
    return Finding(code, "error", message, source, path)


# --- names -----------------------------------------------------------------------------------------------------------


def _references(flow: Flow) -> Iterator[Finding]:
    names = [phase.name for phase in flow.phases]
    for phase in flow.phases:
        if names.count(phase.name) > 1:
            yield _error("duplicate-phase", f"there are several phases {phase.name!r}", phase.source)
        if phase.prompt is not None and phase.prompt not in flow.prompts:
            hint = nearest(phase.prompt, flow.prompts)
            yield _error("missing-prompt", f"phase {phase.name!r}: no prompt {phase.prompt!r}{hint}", phase.source)
        yield from _tool_names(flow, phase)
        for transition in flow.transitions_of(phase):
            yield from _transition_names(flow, phase, transition)
    if flow.initial not in names:
        yield _error("unknown-phase", f"the call begins in {flow.initial!r}{nearest(flow.initial, names)}", flow.source)


def _tool_names(flow: Flow, phase: Phase) -> Iterator[Finding]:
    seen: dict[str, Tool] = {}
    for tool in flow.tools_of(phase):
        if tool.name in seen:
            yield _error("duplicate-tool", f"phase {phase.name!r} offers two tools {tool.name!r}", tool.source)
        seen[tool.name] = tool
    for name in flow.requests_of(phase):
        if name in seen:
            yield _error("duplicate-tool", f"phase {phase.name!r}: {name!r} is both a tool and a move", phase.source)


def _transition_names(flow: Flow, phase: Phase, transition: Transition) -> Iterator[Finding]:
    source = transition.source
    if transition.to not in flow.by_name:
        hint = nearest(transition.to, flow.by_name)
        yield _error("unknown-phase", f"phase {phase.name!r} leads to {transition.to!r}, which is none{hint}", source)
    match transition.on:
        case ToolSucceeds(tool=tool) | ToolFails(tool=tool):
            if tool not in flow.tools_of(phase):
                hint = nearest(tool.name, [offered.name for offered in flow.tools_of(phase)])
                message = f"phase {phase.name!r} waits for {tool.name!r}, which it does not offer{hint}"
                yield _error("unknown-tool", message, source)
        case _:
            pass
    for fact in facts_read_by(None if callable(transition.when) else transition.when):
        if fact not in flow.facts.model_fields:
            hint = nearest(fact, flow.facts.model_fields)
            yield _error("unknown-fact", f"the guard reads {fact!r}, which is no fact{hint}", source)
    for prefetch in transition.prefetch:
        if prefetch.tool.effect != "read":
            yield _error(
                "prefetch-write", f"{prefetch.tool.name!r} writes, so it cannot be fetched ahead", prefetch.source
            )


# --- ways through the flow -------------------------------------------------------------------------------------------


def _ways(flow: Flow) -> dict[str, tuple[str, ...]]:
    """Return a shortest way from the first phase to every phase that can be reached."""
    ways: dict[str, tuple[str, ...]] = {flow.initial: (flow.initial,)}
    queue = [flow.initial]
    for name in queue:
        for transition in flow.transitions_of(flow.by_name[name]):
            if transition.to not in ways:
                ways[transition.to] = (*ways[name], transition.to)
                queue.append(transition.to)
    return ways


def _reachability(flow: Flow) -> Iterator[Finding]:
    ways = _ways(flow)
    for phase in flow.phases:
        if phase.name not in ways:
            yield _error("unreachable", f"no way leads to phase {phase.name!r}", phase.source)


def _ends(flow: Flow) -> Iterator[Finding]:
    ends = {phase.name for phase in flow.phases if phase.ends}
    grown = True
    while grown:
        more = {
            phase.name
            for phase in flow.phases
            if phase.name not in ends and any(edge.to in ends for edge in flow.transitions_of(phase))
        }
        grown = bool(more)
        ends |= more
    ways = _ways(flow)
    for phase in flow.phases:
        if phase.name in ways and phase.name not in ends:
            message = f"from phase {phase.name!r} the call can never end"
            yield _error("no-end", message, phase.source, ways[phase.name])


# --- grants ----------------------------------------------------------------------------------------------------------


def _held_on_every_way(flow: Flow, given: Callable[[Transition], set[str]]) -> dict[str, set[str]]:
    """Return what is established on entry to each phase whatever way was taken: the greatest fixed point."""
    reachable = _ways(flow)
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


def _grants_of(edge: Transition) -> set[str]:
    """Grants that are certain once this edge was taken: the tool gave them, and the guard says it meant yes."""
    if not isinstance(edge.on, ToolSucceeds):
        return set()
    tool = edge.on.tool
    if tool.grants_when is None:
        return set(tool.grants)
    fact = next((fact for fact, path in tool.sets.items() if path == tool.grants_when), None)
    return set(tool.grants) if fact is not None and _requires_true(edge, fact) else set()


def _requires_true(edge: Transition, fact: str) -> bool:
    from voiceagent.spec.guards import AllOf, Compare

    match edge.when:
        case Compare(fact=name, is_="eq", value=True):
            return name == fact
        case AllOf(all_of=parts):
            return any(isinstance(p, Compare) and p.fact == fact and p.is_ == "eq" and p.value is True for p in parts)
        case _:
            return False


def _grants(flow: Flow) -> Iterator[Finding]:
    held = _held_on_every_way(flow, _grants_of)
    ways = _ways(flow)
    for phase in flow.phases:
        if phase.name not in held:
            continue
        for tool in flow.tools_of(phase):
            here = {grant for other in flow.tools_of(phase) if other is not tool for grant in other.grants}
            missing = [grant for grant in tool.requires if grant not in held[phase.name] | here]
            if missing:
                way = _way_without(flow, phase.name, missing[0]) or ways[phase.name]
                message = f"phase {phase.name!r} can be entered without {missing[0]!r}, which {tool.name!r} requires"
                yield _error("grant-missing", message, tool.source, way)
        for edge in flow.transitions_of(phase):
            for prefetch in edge.prefetch:
                lacking = [g for g in prefetch.tool.requires if g not in held[phase.name] | _grants_of(edge)]
                if lacking:
                    message = f"{prefetch.tool.name!r} is fetched before {lacking[0]!r} is granted"
                    yield _error("prefetch-early", message, prefetch.source, ways[phase.name])


def _way_without(flow: Flow, target: str, grant: str) -> tuple[str, ...] | None:
    """Return a way to a phase on which the grant is never given."""
    ways: dict[str, tuple[str, ...]] = {flow.initial: (flow.initial,)}
    queue = [flow.initial]
    for name in queue:
        for edge in flow.transitions_of(flow.by_name[name]):
            if edge.to not in ways and grant not in _grants_of(edge):
                ways[edge.to] = (*ways[name], edge.to)
                queue.append(edge.to)
    return ways.get(target)


# --- facts, prompts, secrets -----------------------------------------------------------------------------------------


def _facts(flow: Flow) -> Iterator[Finding]:
    known = flow.facts.model_fields
    for phase in flow.phases:
        for tool in flow.tools_of(phase):
            for fact in [*tool.sets, *tool.binds.values()]:
                if fact not in known:
                    hint = nearest(fact, known)
                    yield _error(
                        "unknown-fact", f"tool {tool.name!r} names {fact!r}, which is no fact{hint}", tool.source
                    )


def _prompts(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        texts: list[tuple[str, Source]] = []
        if phase.prompt is not None:
            prompt = flow.prompts[phase.prompt]
            texts.append((prompt.late, Source(prompt.source.file, prompt.late_line)))
            if placeholders_in(prompt.static, source=prompt.source):
                message = f"prompt {phase.prompt!r}: placeholders belong below the line `---`"
                yield _error("static-placeholder", message, prompt.source)
        if isinstance(phase.on_enter, Say):
            texts.append((phase.on_enter.text, phase.on_enter.source))
        texts += [(edge.say, edge.source) for edge in flow.transitions_of(phase) if edge.say]
        for text, source in texts:
            yield from _placeholders(flow, text, source)


def _placeholders(flow: Flow, text: str, source: Source) -> Iterator[Finding]:
    try:
        names = placeholders_in(text, source=source)
    except PhaseError as exc:
        yield _error("bad-template", str(exc), exc.source or source)
        return
    for name in names:
        if name not in flow.facts.model_fields:
            hint = nearest(name, flow.facts.model_fields)
            yield _error("unknown-placeholder", f"{{{{ {name} }}}} is no fact{hint}", source)


def _sealed(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        secret = [expected for expected in phase.expects if isinstance(expected, Digits) and expected.sealed]
        if secret and not phase.sensitive:
            message = f"phase {phase.name!r} expects the secret {secret[0].name!r} and is not `sensitive`"
            yield _error("secret-exposed", message, phase.source)
        for tool in phase.tools:
            if tool.sealed and not phase.sensitive:
                message = f"phase {phase.name!r} offers {tool.name!r}, which takes a secret, and is not `sensitive`"
                yield _error("secret-exposed", message, phase.source)
        for name, request in flow.requests_of(phase).items():
            if not request.description.strip():
                yield _error("no-description", f"the move {name!r} needs a description", request.source)
        if not phase.ends and not any(isinstance(edge.on, Requested) for edge in flow.transitions_of(phase)):
            if not phase.transitions and not flow.transitions:
                yield _error("dead-end", f"phase {phase.name!r} has no way out and does not end the call", phase.source)
