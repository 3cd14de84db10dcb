"""Templates: every hole in a prompt or a sentence has a value on whatever way a call came there."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import GuidedDialogue, Slot
from voiceagent.spec.phase import Phase, Press, Say, TransferTo
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify.certain import certain_facts, ever_known, facts_of, known_from_the_start
from voiceagent.spec.verify.finding import Finding, error
from voiceagent.spec.verify.guided import spoken_after
from voiceagent.spec.ways import Established, Ways

__all__ = ["templates"]


@dataclass(frozen=True, slots=True)
class _Text:
    """One template, where it stands, and what it may count on."""

    text: str
    source: Source
    what: str
    facts: Collection[str] = ()
    """Facts that are known there beside those on entry to the phase."""
    given: Collection[str] = ()
    """Other names that have a value there: an argument, the result."""
    maybe: Collection[str] = ()
    """Other names that have one sometimes."""


def templates(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at every template of every phase."""
    ever, start = ever_known(flow), known_from_the_start(flow)
    certain = certain_facts(ways)
    after = spoken_after(ways)
    for phase in flow.phases:
        if phase.prompt is not None:
            prompt = flow.prompts[phase.prompt]
            if "{{" in prompt.static or "{%" in prompt.static:
                message = f"prompt {phase.prompt!r}: placeholders belong below the line `---`"
                yield error("static-placeholder", message, prompt.static_hole or prompt.source)
        yield from _said_as_they_stand(phase, ways)
        sure = certain.on_entry[phase.name] | start if ways.reaches(phase.name) else None
        for text in _texts(flow, ways, phase, after.get(phase.name, {})):
            yield from _look_at(flow, certain, phase, text, ever=ever, sure=sure)


def _said_as_they_stand(phase: Phase, ways: Ways) -> Iterator[Finding]:
    """Look for holes where nothing fills them: in reprompts and fillers, which are rendered ahead of any call."""
    wording = ways.flow.wording_of(phase)
    fillers = [wording.filler, *(tool.filler for tool in ways.tools[phase.name] if tool.filler)]
    said = [(phrase, phase.source) for prompts in (wording.no_input, wording.no_match) for phrase in prompts.phrases]
    said += [(phrase, phase.source) for phrase in ways.flow.backchannels_of(phase)]
    said += [(text, f.source) for f in fillers for text in (*f.phrases, *f.later, f.apology)]
    said += [(text, wording.phrases.source) for text in wording.phrases.model_dump().values()]
    for text, source in said:
        if "{{" in text or "{%" in text:
            message = f"{text!r} is said as it stands: nothing fills in its placeholders"
            yield error("static-placeholder", message, source)


def _look_at(
    flow: Flow, certain: Established, phase: Phase, text: _Text, *, ever: frozenset[str], sure: frozenset[str] | None
) -> Iterator[Finding]:
    from voiceagent.spec.verify.holes import holes_in  # the template engine is for those who look at templates

    try:
        holes = holes_in(text.text, source=text.source)
    except PhaseError as exc:
        yield error("bad-template", f"{text.what}: {exc.message}", exc.source or text.source)
        return
    here = {*text.given, *text.maybe}
    known = [*flow.facts.model_fields, *here]
    for name in holes.names:
        hole = f"{text.what}: {{{{ {name} }}}}"
        if name not in known:
            yield error("unknown-placeholder", f"{hole} is no fact{nearest(name, known)}", text.source)
        elif name not in holes.needed or name in text.given or name in text.facts:
            continue
        elif name in text.maybe:
            message = f"{hole} is not asked for before this, so it may have no value"
            yield error("placeholder-missing", message, text.source)
        elif name not in ever:
            yield error("placeholder-never-set", f"{hole} is a fact that no tool ever sets", text.source)
        elif sure is not None and name not in sure:
            way = certain.way_without(phase.name, name)
            message = f"{hole} has no value where phase {phase.name!r} is entered on another way"
            yield error("placeholder-missing", message, text.source, way)


def _texts(flow: Flow, ways: Ways, phase: Phase, after: Mapping[str, Tool]) -> Iterator[_Text]:
    if phase.prompt is not None:
        prompt = flow.prompts[phase.prompt]
        where = Source(prompt.source.file, prompt.late_line) if prompt.late else prompt.source
        yield _Text(prompt.late, where, f"prompt {phase.prompt!r}")
    if isinstance(phase.on_enter, Say):
        yield _Text(phase.on_enter.text, phase.on_enter.source_of("text"), "`on_enter`")
    if isinstance(phase.on_enter, Press):
        yield _Text(phase.on_enter.digits, phase.on_enter.source_of("digits"), "`press`")
    if isinstance(phase.ends, TransferTo) and phase.ends.announce:
        yield _Text(phase.ends.announce, phase.ends.source_of("announce"), "`announce`")
    for edge in ways.edges[phase.name]:
        if edge.say:
            yield _Text(edge.say, edge.source_of("say"), f"`say` on the way to {edge.to!r}", facts=facts_of(edge))
    offered = ways.tools[phase.name]
    for tool in offered:
        if tool.confirm:
            bound = tuple(tool.binds.values())  # the tool is not offered before these are known
            yield _Text(tool.confirm, tool.source, f"`confirm` of {tool.name!r}", bound, tool.arguments.model_fields)
    if phase.guided is not None:
        yield from _guided(phase.guided, {tool.name: tool for tool in offered}, after)


def _guided(dialogue: GuidedDialogue, offered: Mapping[str, Tool], after: Mapping[str, Tool]) -> Iterator[_Text]:
    for field in ("opening", "not_understood", "anything_else"):
        yield _Text(getattr(dialogue, field) or "", dialogue.source_of(field), f"`{field}`")
    if dialogue.form is not None:
        yield from _asks(dialogue.form.slots, None)
    for intent in dialogue.intents:
        yield _Text(intent.say or "", intent.source_of("say"), "`say` of an intent")
        yield from _asks(intent.slots, intent.does if isinstance(intent.does, Tool) else None)
    for name, text in dialogue.replies.items():
        # Where the tool is offered its success has just set its facts; told in the phase after, they are old news.
        facts = tuple(offered[name].sets) if name in offered and name not in after else ()
        yield _Text(
            text, dialogue.source_of("replies", name), f"`replies` for {name!r}", facts, ("result", "arguments")
        )
    for name, text in dialogue.failures.items():
        yield _Text(text, dialogue.source_of("failures", name), f"`failures` for {name!r}", (), ("reason", "arguments"))


def _asks(slots: tuple[Slot, ...], tool: Tool | None) -> Iterator[_Text]:
    """Return the questions; the slots asked for before have values, those a tool has a default for may have none."""
    filled: list[str] = []
    names = [slot.name for slot in slots]
    fields = tool.arguments.model_fields if tool is not None else {}
    for slot in slots:
        for field, text in (("ask", slot.ask), ("ask_again", slot.ask_again or "")):
            yield _Text(text, slot.source_of(field), f"the question for {slot.name!r}", (), tuple(filled), names)
        if slot.name not in fields or fields[slot.name].is_required():
            filled.append(slot.name)
