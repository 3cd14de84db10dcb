"""What may be asked about a call while it goes on: where it stands, what is known, what is offered, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from pydantic import JsonValue

from voiceagent.core import events as ev
from voiceagent.core.authority import Refused, decide
from voiceagent.core.conversation import Conversation
from voiceagent.core.effects import AskModel, ModelRequest, Outgoing
from voiceagent.core.ids import TurnId
from voiceagent.core.phase_machine import Signal, tries
from voiceagent.core.phasing import Weighed
from voiceagent.errors import PhaseError
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.graph import guard_words, trigger_words
from voiceagent.spec.guards import facts_read_by, holds
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, ToolFails, TransferTo, Transition
from voiceagent.spec.tool import Tool

__all__ = ["Answer", "LastTurn", "about_facts", "about_phase", "about_tools", "why"]


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said to a question, for people and for machines."""

    to: str
    lines: tuple[str, ...]
    about: dict[str, JsonValue]


@dataclass(slots=True)
class LastTurn:
    """What the model was shown since the caller's last turn, and what it has asked for."""

    turn: TurnId | None = None
    shown: list[ModelRequest] = field(default_factory=list[ModelRequest])
    asked: list[str] = field(default_factory=list[str])

    def happened(self, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        """Take an event and the effects it has caused."""
        if isinstance(event, ev.ToolRequested):
            self.asked.append(event.name)
        for out in outgoing:
            if out.turn != self.turn:
                self.turn = out.turn
                self.shown.clear()
                self.asked.clear()
            if isinstance(out.effect, AskModel):
                self.shown.append(out.effect.request)


# --- where it stands -------------------------------------------------------------------------------------------------


def about_phase(conversation: Conversation) -> Answer:
    """Return the phase, since when it lasts, where it may lead, and its prompt as the model reads it."""
    state = conversation.state
    flow, phase = state.flow, state.phase
    since_ms = state.entered_ms - state.started_ms
    leads = [_edge(edge) for edge in flow.transitions_of(phase)]
    prompt = flow.prompt_of(phase)
    try:
        late = prompt.late_facts(state.facts.known(), locale=state.locale)
    except PhaseError as exc:
        late = f"({exc})"
    turns = f"{state.phase_turns} turn{'' if state.phase_turns == 1 else 's'} of the caller's"
    return Answer(
        "phase",
        (
            f"{phase.name}, entry {state.epoch}, since {since_ms / 1_000:.1f} s of the call, {turns}",
            *([_end_of(phase)] if phase.ends else []),
            *(f"  {lead}" for lead in leads),
            *(["prompt:", *_indented(prompt.static)] if prompt.static else ["no prompt: no model speaks here"]),
            *(["and what is known of this call:", *_indented(late)] if late else []),
        ),
        {
            "phase": phase.name,
            "entry": state.epoch,
            "since_ms": since_ms,
            "turns": state.phase_turns,
            "leads": [{"to": edge.to, "text": _edge(edge)} for edge in flow.transitions_of(phase)],
            "prompt": prompt.static,
            "late_facts": late,
        },
    )


def about_facts(conversation: Conversation) -> Answer:
    """Return what tools have established, and which rights that has given."""
    state = conversation.state
    shown = _masked(state.flow)
    known = state.facts.known()
    unknown = [name for name in type(state.facts).model_fields if name not in known]
    grants = list(state.grants)
    facts: dict[str, JsonValue] = {name: shown(name, value) for name, value in known.items()}
    return Answer(
        "facts",
        (
            *(f"{name} = {_text(value)}" for name, value in facts.items()),
            f"not known: {', '.join(unknown) or 'nothing'}",
            f"grants: {', '.join(grants) or 'none'}",
        ),
        {"facts": facts, "not_known": list(unknown), "grants": list(grants)},
    )


def about_tools(conversation: Conversation) -> Answer:
    """Return what the model is offered now, and why it is not offered the rest of what is declared."""
    state = conversation.state
    flow, phase = state.flow, state.phase
    lines: list[str] = []
    offers: list[JsonValue] = []
    for tool in flow.tools_of(phase):
        permitted = decide(flow, state.authority, name=tool.name, epoch=state.epoch)
        refused = permitted.reason if isinstance(permitted, Refused) else None
        lines.append(f"{tool.name}({_parameters(tool)})" if refused is None else f"not offered: {tool.name}: {refused}")
        offers.append({"tool": tool.name, "parameters": dict(tool.parameters), "refused": refused})
    for edge in flow.transitions_of(phase):
        if isinstance(edge.on, Requested):
            refused = None if holds(edge.when, state.facts) else f"its guard does not hold: {guard_words(edge)}"
            lines.append(
                f"{edge.on.name}: {edge.on.description}"
                if refused is None
                else f"not offered: {edge.on.name}: {refused}"
            )
            offers.append({"move": edge.on.name, "to": edge.to, "refused": refused})
    return Answer("tools", tuple(lines) or ("nothing is declared here",), {"offers": offers})


# --- why -------------------------------------------------------------------------------------------------------------


def why(conversation: Conversation, last: LastTurn) -> Answer:
    """Return what the model was offered in the last turn, and why each transition fired or did not."""
    state = conversation.state
    decided = [weighed for weighed in conversation.weighed if weighed.turn == state.turn]
    shown = last.shown if last.turn == state.turn else []
    asked = last.asked if last.turn == state.turn else []
    lines = [f"turn {state.turn}"]
    lines += [f"in {request.phase} the model was offered: {', '.join(request.tools) or 'nothing'}" for request in shown]
    lines.append(f"it asked for: {', '.join(asked) or 'nothing'}" if shown else "no model was asked")
    told = [_verdicts(state.flow, weighed) for weighed in decided] or [_untried(state.flow, state.phase, state.facts)]
    lines += [line for verdicts in told for line in _verdict_lines(verdicts)]
    about: dict[str, JsonValue] = {
        "turn": state.turn,
        "offered": [{"phase": request.phase, "tools": list(request.tools)} for request in shown],
        "asked": list(asked),
        "decisions": [
            {
                "phase": verdicts.phase,
                "tried_by": list(verdicts.tried_by),
                "transitions": [dict(verdict.plain()) for verdict in verdicts.of],
            }
            for verdicts in told
        ],
    }
    return Answer("why", tuple(lines), about)


@dataclass(frozen=True, slots=True)
class _Verdict:
    """What became of one transition."""

    edge: Transition
    verdict: str
    values: dict[str, JsonValue]
    """Of the facts that its guard reads."""

    def plain(self) -> dict[str, JsonValue]:
        return {
            "to": self.edge.to,
            "on": trigger_words(self.edge),
            "guard": guard_words(self.edge),
            "facts": self.values,
            "verdict": self.verdict,
        }


@dataclass(frozen=True, slots=True)
class _Verdicts:
    phase: str
    tried_by: tuple[str, ...]
    of: tuple[_Verdict, ...]


def _verdicts(flow: Flow, weighed: Weighed) -> _Verdicts:
    def verdict(edge: Transition) -> str:
        if edge is weighed.taken:
            return "taken"
        if not any(tries(edge, signal) for signal in weighed.signals):
            return "not tried"
        if not holds(edge.when, weighed.facts):
            return "tried, but its guard does not hold"
        return "tried and permitted, but another one comes first"

    tried_by = tuple(_signal(flow, weighed.phase, signal) for signal in weighed.signals)
    return _judged(flow, weighed.phase, weighed.facts, verdict, tried_by)


def _untried(flow: Flow, phase: Phase, facts: Facts) -> _Verdicts:
    """Return how the transitions stand that nothing has tried."""

    def verdict(edge: Transition) -> str:
        return "not tried" if holds(edge.when, facts) else "not tried, and its guard does not hold"

    return _judged(flow, phase, facts, verdict, ())


def _judged(
    flow: Flow, phase: Phase, facts: Facts, verdict: Callable[[Transition], str], tried_by: tuple[str, ...]
) -> _Verdicts:
    shown = _masked(flow)
    known = facts.known()
    return _Verdicts(
        phase.name,
        tried_by,
        tuple(
            _Verdict(edge, verdict(edge), {name: shown(name, known.get(name)) for name in facts_read_by(edge.when)})
            for edge in flow.transitions_of(phase)
        ),
    )


def _verdict_lines(verdicts: _Verdicts) -> Iterator[str]:
    by = f", tried by {', '.join(verdicts.tried_by)}" if verdicts.tried_by else ""
    yield f"transitions of {verdicts.phase}{by}:"
    for verdict in verdicts.of:
        mark = "✓" if verdict.verdict == "taken" else "✗" if verdict.verdict.startswith("tried") else " "
        values = "; ".join(f"{name} is {_text(value)}" for name, value in verdict.values.items())
        yield f"  {mark} {_edge(verdict.edge)}: {verdict.verdict}{f' ({values})' if values else ''}"


# --- words -----------------------------------------------------------------------------------------------------------


def _signal(flow: Flow, phase: Phase, signal: Signal) -> str:
    by_edge = (trigger_words(edge) for edge in flow.transitions_of(phase) if tries(edge, signal))
    otherwise = f"{signal.name} fails" if signal.kind is ToolFails else signal.name or signal.kind.__name__
    return next(by_edge, otherwise)


def _edge(edge: Transition) -> str:
    guard = guard_words(edge)
    return f"{trigger_words(edge)} → {edge.to}{f' if {guard}' if guard else ''}"


def _end_of(phase: Phase) -> str:
    match phase.ends:
        case TransferTo(target=target):
            return f"here the caller is handed over to {target}"
        case HangUpAfter() | None:
            return "here the call ends"


def _parameters(tool: Tool) -> str:
    known = tool.parameters.get("properties")
    named = known if isinstance(known, dict) else {}
    return ", ".join(f"{name}: {_kind(schema)}" for name, schema in named.items())


def _kind(schema: JsonValue) -> str:
    if not isinstance(schema, dict):
        return "any"
    if isinstance(choices := schema.get("enum"), list):
        return " | ".join(map(str, choices))
    if isinstance(several := schema.get("anyOf"), list):
        return " | ".join(_kind(one) for one in several)
    return str(schema.get("type", "any"))


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in text.splitlines())


def _text(value: JsonValue) -> str:
    return "unknown" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


def _masked(flow: Flow) -> Callable[[str, JsonValue], JsonValue]:
    """Return what shows a fact's value; of texts about whoever has proved who they are, only how long they are."""
    personal = {
        fact for phase in flow.phases for tool in flow.tools_of(phase) if tool.sealed for fact in dict(tool.sets)
    }

    def shown(name: str, value: JsonValue) -> JsonValue:
        return f"••• ({len(value)} letters)" if name in personal and isinstance(value, str) else value

    return shown
