"""Verify: what can be known about a flow before anybody calls."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.expects import Digits
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, facts_read_by
from voiceagent.spec.phase import Phase, Say, ToolFails, ToolSucceeds, Transition
from voiceagent.spec.prefetch import FromFact
from voiceagent.spec.prompt import Prompt, placeholders_in
from voiceagent.spec.tool import Tool
from voiceagent.spec.ways import held_on_every_way, shortest_ways, way_without

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
    findings = list(dict.fromkeys([*_references(flow), *_fact_names(flow)]))
    if findings:
        return findings
    for rule in (_reachability, _ends, _grants, _bound_facts, _prompts, _read_backs, _secrets, _descriptions):
        findings += rule(flow)
    return list(dict.fromkeys(findings))  # a global tool or transition is looked at once per phase, and told once


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
        for edge in phase.transitions:
            yield from _transition_names(flow, edge, whose=f"phase {phase.name!r}", offered=flow.tools_of(phase))
    everywhere = tuple(tool for phase in flow.phases for tool in flow.tools_of(phase))
    for edge in flow.transitions:
        yield from _transition_names(flow, edge, whose="every phase", offered=everywhere)
    if flow.initial not in names:
        yield _error("unknown-phase", f"the call begins in {flow.initial!r}{nearest(flow.initial, names)}", flow.source)


def _tool_names(flow: Flow, phase: Phase) -> Iterator[Finding]:
    seen: set[str] = set()
    for tool in flow.tools_of(phase):
        if tool.name in seen:
            yield _error("duplicate-tool", f"phase {phase.name!r} offers two tools {tool.name!r}", tool.source)
        seen.add(tool.name)
    for name in flow.requests_of(phase):
        if name in seen:
            yield _error("duplicate-tool", f"phase {phase.name!r}: {name!r} is both a tool and a move", phase.source)


def _transition_names(flow: Flow, edge: Transition, *, whose: str, offered: Sequence[Tool]) -> Iterator[Finding]:
    if edge.to not in flow.by_name:
        hint = nearest(edge.to, flow.by_name)
        yield _error("unknown-phase", f"{whose} leads to {edge.to!r}, which is none{hint}", edge.source)
    match edge.on:
        case ToolSucceeds(tool=tool) | ToolFails(tool=tool):
            if tool not in offered:
                hint = nearest(tool.name, [other.name for other in offered])
                message = f"{whose} waits for {tool.name!r}, which it does not offer{hint}"
                yield _error("unknown-tool", message, edge.source)
        case _:
            pass
    for prefetch in edge.prefetch:
        if prefetch.tool.effect != "read":
            message = f"{prefetch.tool.name!r} writes, so it cannot be fetched ahead"
            yield _error("prefetch-write", message, prefetch.source)
        if prefetch.after is not None and all(prefetch.after is not other.tool for other in edge.prefetch):
            message = f"{prefetch.tool.name!r} comes after {prefetch.after.name!r}, which is not fetched here"
            yield _error("prefetch-order", message, prefetch.source)


def _fact_names(flow: Flow) -> Iterator[Finding]:
    known = flow.facts.model_fields
    for reader, fact, source in _facts_named(flow):
        if fact not in known:
            yield _error("unknown-fact", f"{reader} names {fact!r}, which is no fact{nearest(fact, known)}", source)


def _facts_named(flow: Flow) -> Iterator[tuple[str, str, Source]]:
    """Return (what names it, fact, where) for every fact that is named anywhere but in a template."""
    for phase in flow.phases:
        for tool in flow.tools_of(phase):
            for fact in (*tool.sets, *tool.binds.values()):
                yield f"tool {tool.name!r}", fact, tool.source
        for edge in flow.transitions_of(phase):
            for fact in facts_read_by(edge.when):
                yield "the guard", fact, edge.source
            for prefetch in edge.prefetch:
                for value in prefetch.arguments.values():
                    if isinstance(value, FromFact):
                        yield f"the prefetch of {prefetch.tool.name!r}", value.fact, prefetch.source


# --- ways through the flow -------------------------------------------------------------------------------------------


def _reachability(flow: Flow) -> Iterator[Finding]:
    ways = shortest_ways(flow)
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
    ways = shortest_ways(flow)
    for phase in flow.phases:
        if phase.name not in ways or phase.name in ends:
            continue
        if not flow.transitions_of(phase):
            message = f"phase {phase.name!r} has no way out and does not end the call"
            yield _error("dead-end", message, phase.source, ways[phase.name])
        else:
            message = f"from phase {phase.name!r} the call can never end"
            yield _error("no-end", message, phase.source, ways[phase.name])


# --- grants ----------------------------------------------------------------------------------------------------------


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
    match edge.when:
        case Compare(fact=name, is_="eq", value=True):
            return name == fact
        case AllOf(all_of=parts):
            return any(isinstance(p, Compare) and p.fact == fact and p.is_ == "eq" and p.value is True for p in parts)
        case _:
            return False


def _grants(flow: Flow) -> Iterator[Finding]:
    held = held_on_every_way(flow, _grants_of)
    ways = shortest_ways(flow)
    for phase in flow.phases:
        if phase.name not in held:
            continue
        for tool in flow.tools_of(phase):
            here = {grant for other in flow.tools_of(phase) if other is not tool for grant in other.grants}
            missing = [grant for grant in tool.requires if grant not in held[phase.name] | here]
            if missing:
                way = way_without(flow, phase.name, missing[0], _grants_of) or ways[phase.name]
                message = f"phase {phase.name!r} can be entered without {missing[0]!r}, which {tool.name!r} requires"
                yield _error("grant-missing", message, tool.source, way)
        for edge in flow.transitions_of(phase):
            for prefetch in edge.prefetch:
                lacking = [g for g in prefetch.tool.requires if g not in held[phase.name] | _grants_of(edge)]
                if lacking:
                    message = f"{prefetch.tool.name!r} is fetched before {lacking[0]!r} is granted"
                    yield _error("prefetch-early", message, prefetch.source, ways[phase.name])


# --- facts -----------------------------------------------------------------------------------------------------------


def _bound_facts(flow: Flow) -> Iterator[Finding]:
    """A tool is not offered before the facts that it binds are known."""
    ever = _ever_known(flow)
    held = held_on_every_way(flow, _facts_of)
    ways = shortest_ways(flow)
    for phase in flow.phases:
        if phase.name not in held:
            continue
        offered = flow.tools_of(phase)
        for tool in offered:
            here = {fact for other in offered if other is not tool for fact in other.sets}
            for fact in dict.fromkeys(tool.binds.values()):
                if fact not in ever:
                    message = f"{tool.name!r} binds {fact!r}, which no tool ever sets: it can never run"
                    yield _error("fact-never-set", message, tool.source)
                elif fact not in held[phase.name] | here | _known_from_the_start(flow):
                    way = way_without(flow, phase.name, fact, _facts_of) or ways[phase.name]
                    message = f"phase {phase.name!r} can be entered without {fact!r}, which {tool.name!r} binds"
                    # Only a warning: the tool is not offered then, and a predicate may know more than we do.
                    yield Finding("fact-missing", "warning", message, tool.source, way)


def _known_from_the_start(flow: Flow) -> set[str]:
    return set(flow.facts().known())


def _ever_known(flow: Flow) -> set[str]:
    """Return every fact that can have a value at all."""
    tools = [tool for phase in flow.phases for tool in flow.tools_of(phase)]
    return _known_from_the_start(flow) | {fact for tool in tools for fact in tool.sets}


def _facts_of(edge: Transition) -> set[str]:
    """Facts that are known once this edge was taken: its tool sets them, or its guard would not have permitted it."""
    by_tool = set(edge.on.tool.sets) if isinstance(edge.on, ToolSucceeds) else set[str]()
    return by_tool | _implied_by(edge.when)


def _implied_by(guard: object) -> set[str]:
    match guard:
        case Compare(fact=fact):
            return set() if _permits_unknown(guard) else {fact}
        case AllOf(all_of=parts):
            return {fact for part in parts for fact in _implied_by(part)}
        case AnyOf(any_of=(first, *others)):
            return _implied_by(first).intersection(*(_implied_by(part) for part in others))
        case _:
            return set()


def _permits_unknown(comparison: Compare) -> bool:
    """Whether the comparison holds for a fact that has no value."""
    wanted = comparison.value
    match comparison.is_:
        case "set":
            return wanted is False
        case "eq":
            return wanted is None
        case "ne":
            return wanted is not None
        case "in":
            return isinstance(wanted, list) and None in wanted
        case "lt" | "le" | "gt" | "ge":
            return False


# --- prompts and templates -------------------------------------------------------------------------------------------


def _prompts(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        if phase.prompt is not None:
            prompt = flow.prompts[phase.prompt]
            yield from _static_part(phase.prompt, prompt)
            yield from _placeholders(flow, prompt.late, Source(prompt.source.file, prompt.late_line))
        if isinstance(phase.on_enter, Say):
            yield from _placeholders(flow, phase.on_enter.text, phase.on_enter.source)
        for edge in flow.transitions_of(phase):
            yield from _placeholders(flow, edge.say or "", edge.source)


def _static_part(name: str, prompt: Prompt) -> Iterator[Finding]:
    if "{{" in prompt.static or "{%" in prompt.static:
        yield _error("static-placeholder", f"prompt {name!r}: placeholders belong below the line `---`", prompt.source)


def _placeholders(flow: Flow, text: str, source: Source, *, also: Sequence[str] = ()) -> Iterator[Finding]:
    """Look at a template over facts, and over the names in `also`."""
    try:
        names = placeholders_in(text, source=source)
    except PhaseError as exc:
        yield _error("bad-template", str(exc), exc.source or source)
        return
    known = [*flow.facts.model_fields, *also]
    ever = _ever_known(flow)
    for name in names:
        if name not in known:
            yield _error("unknown-placeholder", f"{{{{ {name} }}}} is no fact{nearest(name, known)}", source)
        elif name not in ever and name not in also:
            yield _error("placeholder-never-set", f"{{{{ {name} }}}} is a fact that no tool ever sets", source)


def _read_backs(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        for tool in flow.tools_of(phase):
            yield from _placeholders(flow, tool.confirm or "", tool.source, also=tuple(tool.arguments.model_fields))


# --- secrets and moves -----------------------------------------------------------------------------------------------


def _secrets(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        if phase.sensitive:
            continue
        for expected in phase.expects:
            if isinstance(expected, Digits) and expected.sealed:
                message = f"phase {phase.name!r} expects the secret {expected.name!r} and is not `sensitive`"
                yield _error("secret-exposed", message, phase.source)
        for tool in flow.tools_of(phase):
            if tool.sealed:
                message = f"phase {phase.name!r} offers {tool.name!r}, which takes a secret, and is not `sensitive`"
                yield _error("secret-exposed", message, phase.source)


def _descriptions(flow: Flow) -> Iterator[Finding]:
    for phase in flow.phases:
        for name, request in flow.requests_of(phase).items():
            if not request.description.strip():
                yield _error("no-description", f"the move {name!r} needs a description", request.source)
