"""Guided dialogues: what they ask for, request and answer belongs to their phase."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from voiceagent.errors import Source, nearest
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import GuidedDialogue, Slot
from voiceagent.spec.phase import Phase, ToolFails, ToolSucceeds
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.ways import Ways

__all__ = ["guided", "spoken_after"]


def guided(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at the names in every guided dialogue, and at intents that nothing a caller says could mean."""
    after = spoken_after(ways)
    for phase in flow.phases:
        if phase.guided is not None:
            yield from _intents(flow, phase, phase.guided)
            yield from _answers(phase, phase.guided, ways.tools[phase.name], after.get(phase.name, {}))


def spoken_after(ways: Ways) -> dict[str, dict[str, Tool]]:
    """Return phase → the tools whose outcome leads to it, so that it is told there."""
    found: dict[str, dict[str, Tool]] = {}
    for edges in ways.edges.values():
        for edge in edges:
            if isinstance(edge.on, ToolSucceeds | ToolFails):
                found.setdefault(edge.to, {})[edge.on.tool.name] = edge.on.tool
    return found


def _intents(flow: Flow, phase: Phase, dialogue: GuidedDialogue) -> Iterator[Finding]:
    offered = flow.tools_of(phase)
    moves = flow.requests_of(phase)
    names = [*(tool.name for tool in offered), *moves]
    if dialogue.form is not None:
        form = dialogue.form
        if form.does not in offered:
            yield _not_offered(phase, form.does.name, names, form.source)
        else:
            yield from _slots(form.does, form.slots, form.source)
    for intent in dialogue.intents:
        if not intent.examples:
            what = intent.does.name if isinstance(intent.does, Tool) else intent.does or "an answer"
            message = f"phase {phase.name!r}: the intent for {what!r} has no examples, so no words ever mean it"
            yield error("no-examples", message, intent.source_of("examples"))
        match intent.does:
            case None:
                pass
            case Tool() as tool:
                if tool not in offered:
                    yield _not_offered(phase, tool.name, names, intent.source_of("does"))
                else:
                    yield from _slots(tool, intent.slots, intent.source)
            case name:
                if name not in moves:
                    yield _not_offered(phase, name, names, intent.source_of("does"))
                elif intent.slots:
                    message = f"the move {name!r} takes no arguments, so {intent.slots[0].name!r} is asked for in vain"
                    yield error("unknown-slot", message, intent.slots[0].source)


def _not_offered(phase: Phase, name: str, names: Sequence[str], source: Source) -> Finding:
    message = f"phase {phase.name!r} offers neither a tool nor a move {name!r}{nearest(name, names)}"
    return error("unknown-tool", message, source)


def _slots(tool: Tool, slots: Sequence[Slot], source: Source) -> Iterator[Finding]:
    fields = tool.arguments.model_fields
    known = [name for name in fields if name not in tool.binds]
    for slot in slots:
        if slot.name in tool.binds:
            message = f"{slot.name!r} of {tool.name!r} is bound to the fact {tool.binds[slot.name]!r}: never ask for it"
            yield error("unknown-slot", message, slot.source)
        elif slot.name not in fields:
            message = f"{slot.name!r} is no parameter of {tool.name!r}{nearest(slot.name, known)}"
            yield error("unknown-slot", message, slot.source)
    given = {slot.name for slot in slots}
    for name in known:
        if fields[name].is_required() and name not in given:
            message = f"{tool.name!r} needs {name!r}, which no slot asks for"
            yield error("missing-slot", message, source)


def _answers(
    phase: Phase, dialogue: GuidedDialogue, offered: Sequence[Tool], after: dict[str, Tool]
) -> Iterator[Finding]:
    known = dict.fromkeys([*(tool.name for tool in offered), *after])
    for field, answers in (("replies", dialogue.replies), ("failures", dialogue.failures)):
        for name in answers:
            if name not in known:
                message = f"phase {phase.name!r}: `{field}` has words for {name!r}, whose outcome never gets there"
                yield error("unknown-tool", f"{message}{nearest(name, known)}", dialogue.source_of(field, name))
