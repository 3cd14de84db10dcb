"""Names: every phase, prompt, tool, move and fact that a flow names exists, once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.language import language_for
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import facts_read_by
from voiceagent.spec.phase import Phase, Requested, ToolFails, ToolSucceeds, Transition
from voiceagent.spec.prefetch import FromFact
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify.finding import Finding, error

__all__ = ["fact_names", "references"]

_MOST_HINTS = 50


class _Hints:
    """The nearest name for the first mistakes: among hundreds of names it takes milliseconds to find."""

    def __init__(self) -> None:
        self._given = 0

    def __call__(self, name: str, known: Iterable[str]) -> str:
        self._given += 1
        return nearest(name, known) if self._given <= _MOST_HINTS else ""


def references(flow: Flow) -> Iterator[Finding]:
    """Look at the names of phases, prompts, tools and moves, and at the languages."""
    yield from _languages(flow)
    hints = _Hints()
    seen: dict[str, Source] = {}
    for phase in flow.phases:
        if phase.name in seen:
            message = f"there is a phase {phase.name!r} already, in {seen[phase.name]}"
            yield error("duplicate-phase", message, phase.source)
        seen.setdefault(phase.name, phase.source)
        yield from _prompt(flow, phase, hints)
        yield from _tool_names(flow, phase)
        offered = flow.tools_of(phase)
        for edge in phase.transitions:
            yield from _transition_names(flow, edge, hints, whose=f"phase {phase.name!r}", offered=offered)
    everywhere = tuple(dict.fromkeys(tool for phase in flow.phases for tool in flow.tools_of(phase)))
    for edge in flow.transitions:
        yield from _transition_names(flow, edge, hints, whose="every phase", offered=everywhere)
    yield from _invalidated(flow, everywhere)
    if flow.initial not in flow.by_name:
        message = f"the call begins in {flow.initial!r}{nearest(flow.initial, flow.by_name)}"
        yield error("unknown-phase", message, flow.source_of("initial"))


def _languages(flow: Flow) -> Iterator[Finding]:
    named = [(flow.locale, "", flow.source_of("locale"))]
    named += [(locale, "wordings: ", flow.source_of("wordings", locale)) for locale in flow.wordings]
    named += [(p.language, f"phase {p.name!r}: ", p.source_of("language")) for p in flow.phases if p.language]
    for locale, whose, source in named:
        try:
            language_for(locale)
        except PhaseError as exc:
            yield error("unknown-locale", f"{whose}{exc}", source)


def _prompt(flow: Flow, phase: Phase, hints: _Hints) -> Iterator[Finding]:
    if phase.prompt is not None and phase.prompt not in flow.prompts:
        hint = hints(phase.prompt, flow.prompts)
        yield error(
            "missing-prompt", f"phase {phase.name!r}: no prompt {phase.prompt!r}{hint}", phase.source_of("prompt")
        )
    moves = [edge for edge in phase.transitions if isinstance(edge.on, Requested)]
    if not phase.has_model and not phase.ends and (phase.tools or moves):
        message = (
            f"phase {phase.name!r} has neither a prompt nor a guided dialogue: nobody asks for its tools and moves"
        )
        yield error("missing-prompt", message, phase.source)


def _tool_names(flow: Flow, phase: Phase) -> Iterator[Finding]:
    seen: set[str] = set()
    for tool in flow.tools_of(phase):
        if tool.name in seen:
            yield error("duplicate-tool", f"phase {phase.name!r} offers two tools {tool.name!r}", tool.source)
        seen.add(tool.name)
    for name in flow.requests_of(phase):
        if name in seen:
            yield error("duplicate-tool", f"phase {phase.name!r}: {name!r} is both a tool and a move", phase.source)


def _transition_names(
    flow: Flow, edge: Transition, hints: _Hints, *, whose: str, offered: Sequence[Tool]
) -> Iterator[Finding]:
    if edge.to not in flow.by_name:
        hint = hints(edge.to, flow.by_name)
        yield error("unknown-phase", f"{whose} leads to {edge.to!r}, which is none{hint}", edge.source_of("to"))
    match edge.on:
        case ToolSucceeds(tool=tool) | ToolFails(tool=tool):
            if tool not in offered:
                hint = nearest(tool.name, [other.name for other in offered])
                message = f"{whose} waits for {tool.name!r}, which it does not offer{hint}"
                yield error("unknown-tool", message, edge.source_of("on"))
        case _:
            pass


def _invalidated(flow: Flow, offered: Sequence[Tool]) -> Iterator[Finding]:
    fetched = [
        prefetch.tool for phase in flow.phases for edge in flow.transitions_of(phase) for prefetch in edge.prefetch
    ]
    reads = {tool.name for tool in (*offered, *fetched) if tool.effect == "read"}
    for tool in offered:
        for name in tool.invalidates:
            if name not in reads:
                message = (
                    f"{tool.name!r} invalidates {name!r}, which is no read tool of this flow{nearest(name, reads)}"
                )
                yield error("unknown-tool", message, tool.source)


def fact_names(flow: Flow) -> Iterator[Finding]:
    """Look at every fact that is named anywhere but in a template."""
    known = flow.facts.model_fields
    for reader, fact, source in _facts_named(flow):
        if fact not in known:
            yield error("unknown-fact", f"{reader} names {fact!r}, which is no fact{nearest(fact, known)}", source)


def _facts_named(flow: Flow) -> Iterator[tuple[str, str, Source]]:
    """Return (what names it, fact, where)."""
    edges = [edge for phase in flow.phases for edge in phase.transitions]
    for tool in dict.fromkeys(tool for phase in flow.phases for tool in flow.tools_of(phase)):
        for fact in (*tool.sets, *tool.binds.values()):
            yield f"tool {tool.name!r}", fact, tool.source
    for edge in (*edges, *flow.transitions):
        for fact in facts_read_by(edge.when):
            yield "the guard", fact, edge.source_of("when")
        for prefetch in edge.prefetch:
            for fact in prefetch.tool.binds.values():
                yield f"tool {prefetch.tool.name!r}", fact, prefetch.tool.source
            for value in prefetch.arguments.values():
                if isinstance(value, FromFact):
                    yield f"the prefetch of {prefetch.tool.name!r}", value.fact, prefetch.source_of("arguments")
