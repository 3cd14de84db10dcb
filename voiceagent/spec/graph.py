"""Graph: a flow as a picture of its phases and the ways between them, for people and for machines."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from dataclasses import dataclass

from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Not, guard_text
from voiceagent.spec.phase import (
    BeepHeard,
    HangUpAfter,
    HostSignals,
    MachineAnswers,
    NotUnderstood,
    PersonAnswers,
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
    TurnLimitReached,
    VoiceFails,
)
from voiceagent.spec.verify.certain import granted_by
from voiceagent.spec.verify.ends import loops_without_a_bound
from voiceagent.spec.ways import Ways

__all__ = [
    "EVERY",
    "Arrow",
    "FlowGraph",
    "Line",
    "Node",
    "as_dot",
    "as_json",
    "as_mermaid",
    "every_lines",
    "flow_graph",
    "guard_words",
    "lines_of",
    "node_lines",
    "trigger_words",
]

EVERY = "*"
"""Stands for every phase that does not end the call, where an arrow of all of them begins."""


@dataclass(frozen=True, slots=True)
class Node:
    """A phase."""

    name: str
    tools: tuple[str, ...]
    """What it offers beside the tools of every phase."""
    first: bool
    sensitive: bool
    ends: str | None
    """How the call ends there, in words; None where it goes on."""


@dataclass(frozen=True, slots=True)
class Arrow:
    """A transition."""

    start: str
    """A phase, or `EVERY`."""
    to: str
    trigger: str
    """What sets it off, in words."""
    guard: str | None
    grants: tuple[str, ...]
    """Rights that the call is certain to have once it went this way, given by this step."""
    prefetch: tuple[str, ...]
    """Tools that are fetched ahead on the way."""
    unbounded: bool
    """Part of a loop that a call may go round as often as the caller likes."""


@dataclass(frozen=True, slots=True)
class FlowGraph:
    """Everything that is drawn."""

    name: str
    nodes: tuple[Node, ...]
    arrows: tuple[Arrow, ...]
    loops: tuple[tuple[str, ...], ...]
    """Phases of each loop without a bound."""
    tools: tuple[str, ...]
    """What every phase offers."""


def flow_graph(flow: Flow) -> FlowGraph:
    """Return the graph of a flow whose names all lead somewhere."""
    ways = Ways(flow)
    loops = loops_without_a_bound(ways)
    granted = granted_by(flow)
    going_on = [phase.name for phase in flow.phases if not phase.ends]

    def arrow(start: str, edge: Transition) -> Arrow:
        starts = going_on if start == EVERY else [start]
        return Arrow(
            start=start,
            to=edge.to,
            trigger=trigger_words(edge),
            guard=guard_words(edge),
            grants=tuple(sorted(granted(edge))) if isinstance(edge.on, ToolSucceeds) else (),
            prefetch=tuple(dict.fromkeys(prefetch.tool.name for prefetch in edge.prefetch)),
            unbounded=edge.when is None
            and any(edge.to in loop and any(name in loop for name in starts) for loop in loops),
        )

    own = [arrow(phase.name, edge) for phase in flow.phases for edge in phase.transitions]
    return FlowGraph(
        name=flow.name,
        nodes=tuple(_node(flow, phase) for phase in flow.phases),
        arrows=(*own, *(arrow(EVERY, edge) for edge in flow.transitions)),
        loops=loops,
        tools=tuple(tool.name for tool in flow.tools),
    )


def _node(flow: Flow, phase: Phase) -> Node:
    match phase.ends:
        case None:
            ends = None
        case HangUpAfter():
            ends = "hangs up"
        case TransferTo(target=target):
            ends = f"transfers to {target}"
    tools = tuple(tool.name for tool in phase.tools)
    return Node(phase.name, tools, phase.name == flow.initial, phase.sensitive, ends)


def trigger_words(edge: Transition) -> str:  # noqa: C901 - one decision table: a row per trigger
    """Return what tries an edge, in a word or two."""
    match edge.on:
        case ToolSucceeds(tool=tool):
            return tool.name
        case ToolFails(tool=tool):
            return f"{tool.name} fails"
        case Requested(name=name):
            return name
        case Pressed(digits=digits):
            return f"keys {digits}"
        case HostSignals(name=name):
            return f"event {name}"
        case Silent():
            return "silence"
        case NotUnderstood():
            return "not understood"
        case TimedOut():
            return "time-out"
        case TurnLimitReached():
            return "turn limit"
        case VoiceFails():
            return "voice fails"
        case TransferFails():
            return "nobody there"
        case MachineAnswers():
            return "a machine answers"
        case PersonAnswers():
            return "a person after all"
        case BeepHeard():
            return "the beep"


def guard_words(edge: Transition) -> str | None:
    """Return the guard of an edge; None where nothing guards it."""
    if edge.when is None:
        return None
    if isinstance(edge.when, Compare | AllOf | AnyOf | Not):
        return guard_text(edge.when)
    return getattr(edge.when, "__name__", "a predicate")


# --- formats ---------------------------------------------------------------------------------------------------------


def node_lines(node: Node) -> list[str]:
    """Return what stands in a phase's box, its name first."""
    lines = [*node.tools]
    if node.sensitive:
        lines.append("nothing is recorded")
    if node.ends:
        lines.append(node.ends)
    return [node.name, *lines]


def every_lines(graph: FlowGraph) -> list[str]:
    """Return what stands where the arrows of every phase begin."""
    return ["every phase", *graph.tools]


@dataclass(frozen=True, slots=True)
class Line:
    """What is drawn between two phases: all arrows from one to the other."""

    start: str
    to: str
    words: tuple[str, ...]
    """What sets it off, the rights it gives, what is fetched; one for each line of text."""
    unbounded: bool


def lines_of(graph: FlowGraph) -> tuple[Line, ...]:
    """Return the lines to draw, in the order of declaration."""
    found: dict[tuple[str, str, bool], list[str]] = {}
    for arrow in graph.arrows:
        words = found.setdefault((arrow.start, arrow.to, arrow.unbounded), [])
        words.append(f"{arrow.trigger} if {arrow.guard}" if arrow.guard else arrow.trigger)
        if arrow.grants:
            words.append(f"grants {', '.join(arrow.grants)}")
        if arrow.prefetch:
            words.append(f"fetches {', '.join(arrow.prefetch)}")
    return tuple(
        Line(start, to, (*words, "(no bound)") if unbounded else tuple(words), unbounded)
        for (start, to, unbounded), words in found.items()
    )


def as_mermaid(graph: FlowGraph) -> str:
    """Return a Mermaid flowchart, as GitHub draws it in Markdown."""
    lines = ["flowchart TD"]
    if any(arrow.start == EVERY for arrow in graph.arrows):
        lines.append(f'    every_phase[["{_mermaid_text(every_lines(graph))}"]]')
    for node in graph.nodes:
        opening, closing = ('(["', '"])') if node.ends else ('["', '"]')
        kind = "ends" if node.ends else "first" if node.first else "phase"
        lines.append(f"    {_id(node.name)}{opening}{_mermaid_text(node_lines(node))}{closing}:::{kind}")
    marked: list[int] = []
    for number, line in enumerate(lines_of(graph)):
        arrow = "-.->" if line.start == EVERY else "-->"
        lines.append(f'    {_id(line.start)} {arrow}|"{_mermaid_text(line.words)}"| {_id(line.to)}')
        if line.unbounded:
            marked.append(number)
    lines += [
        "    classDef phase fill:#eef3fb,stroke:#4a6fa5,color:#1c2733",
        "    classDef first fill:#d9ead3,stroke:#4f7942,color:#1c2733",
        "    classDef ends fill:#f3f3f3,stroke:#777777,color:#1c2733",
    ]
    if marked:
        lines.append(f"    linkStyle {','.join(map(str, marked))} stroke:#c2571a,stroke-width:3px")
    return "\n".join(lines) + "\n"


def _id(name: str) -> str:
    # A prefix, since `end` and other words mean something to Mermaid.
    return "every_phase" if name == EVERY else f"p_{name}"


def _mermaid_text(lines: Sequence[str]) -> str:
    escaped = [
        line.replace("#", "#35;").replace('"', "#quot;").replace("<", "#lt;").replace(">", "#gt;") for line in lines
    ]
    return "<br/>".join(escaped)


def as_dot(graph: FlowGraph) -> str:
    """Return a Graphviz digraph."""
    lines = [
        f"digraph {_quoted([graph.name])} {{",
        '    node [shape=box, style="rounded,filled", fillcolor="#eef3fb"];',
    ]
    if any(arrow.start == EVERY for arrow in graph.arrows):
        lines.append(f'    "{EVERY}" [label={_quoted(every_lines(graph))}, shape=box, style=dashed];')
    for node in graph.nodes:
        fill = ', fillcolor="#f3f3f3"' if node.ends else ', fillcolor="#d9ead3"' if node.first else ""
        lines.append(f"    {_quoted([node.name])} [label={_quoted(node_lines(node))}{fill}];")
    for line in lines_of(graph):
        style = ", style=dashed" if line.start == EVERY else ""
        style += ', color="#c2571a", penwidth=3' if line.unbounded else ""
        lines.append(f"    {_quoted([line.start])} -> {_quoted([line.to])} [label={_quoted(line.words)}{style}];")
    return "\n".join([*lines, "}"]) + "\n"


def _quoted(lines: Sequence[str]) -> str:
    return '"' + "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in lines) + '"'


def as_json(graph: FlowGraph) -> str:
    """Return everything as JSON: `nodes`, `arrows`, `loops`, with the names of the fields above."""
    return json.dumps(dataclasses.asdict(graph), ensure_ascii=False, indent=2) + "\n"
