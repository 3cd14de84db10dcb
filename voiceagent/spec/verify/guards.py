"""Guards: every transition can be taken by some call; none is always refused, none is always beaten by another."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from typing import Literal

from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Not, facts_read_by, guard_text
from voiceagent.spec.phase import HostSignals, Phase, Pressed, Requested, ToolFails, ToolSucceeds, Transition
from voiceagent.spec.verify.finding import Finding, error, warning
from voiceagent.spec.verify.valuation import MOST_ATOMS, Clause, Valuations
from voiceagent.spec.ways import Ways

__all__ = ["guards", "trigger_of"]

_Verdict = Literal["possible", "dead", "shadowed", "not-decided"]
_RANK: dict[_Verdict, int] = {"possible": 0, "not-decided": 1, "shadowed": 2, "dead": 3}


def trigger_of(edge: Transition) -> str:
    """Return what tries an edge, in words; two edges with the same words are tried by the same thing."""
    match edge.on:
        case ToolSucceeds(tool=tool):
            return f"the success of {tool.name!r}"
        case ToolFails(tool=tool):
            return f"the failure of {tool.name!r}"
        case Requested(name=name):
            return f"the move {name!r}"
        case Pressed(digits=digits):
            return f"the keys {digits!r}"
        case HostSignals(name=name):
            return f"the event {name!r}"
        case other:
            return type(other).__name__


def guards(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at each transition beside those that the same thing tries before it."""
    changeable = ways.possible(lambda tool: tool.sets)
    everywhere: dict[int, tuple[_Verdict, str]] = {}
    of_all = {id(edge) for edge in flow.transitions}
    valuations = Valuations(flow.facts)
    for phase in ways.reached:
        for edge, verdict, why in _verdicts(valuations, ways, phase, changeable[phase.name]):
            if id(edge) not in of_all:
                way = ways.to(phase.name) if verdict != "possible" else ()
                yield from _told(edge, verdict, why, whose=f"phase {phase.name!r}", way=way)
            elif id(edge) not in everywhere or _RANK[verdict] < _RANK[everywhere[id(edge)][0]]:
                # A phase may well go another way than all others do: only what no phase does is a mistake.
                everywhere[id(edge)] = (verdict, why)
    for edge in flow.transitions:
        if id(edge) in everywhere:
            yield from _told(edge, *everywhere[id(edge)], whose="every phase", way=())
    yield from _predicates(flow)


def _told(edge: Transition, verdict: _Verdict, why: str, *, whose: str, way: tuple[str, ...]) -> Iterator[Finding]:
    what = f"{whose}: the transition on {trigger_of(edge)} to {edge.to!r}"
    match verdict:
        case "possible":
            return
        case "dead":
            yield error(
                "dead-guard", f"{what} is never taken: no facts fit its guard{why}", edge.source_of("when"), way
            )
        case "shadowed":
            yield error(
                "shadowed-guard", f"{what} is never taken: before it always comes that to {why}", edge.source, way
            )
        case "not-decided":
            message = f"{what} hangs on more than {MOST_ATOMS} comparisons: whether it can be taken is not decided"
            yield warning("not-decided", message, edge.source, way)


def _verdicts(
    valuations: Valuations, ways: Ways, phase: Phase, changeable: frozenset[str]
) -> Iterator[tuple[Transition, _Verdict, str]]:
    earlier: dict[str, list[Transition]] = {}
    for edge in ways.edges[phase.name]:
        before = earlier.setdefault(trigger_of(edge), [])
        verdict = _verdict(valuations, edge, before, changeable)
        why = _no_fit(edge, changeable) if verdict == "dead" else ", ".join({repr(o.to): None for o in before})
        yield edge, verdict, why
        before.append(edge)


def _no_fit(edge: Transition, changeable: frozenset[str]) -> str:
    text = f" `{guard_text(edge.when)}`" if isinstance(edge.when, Compare | AllOf | AnyOf | Not) else ""
    fixed = [fact for fact in facts_read_by(edge.when) if fact not in changeable]
    return f"{text}; no tool on the way sets {fixed[0]!r}" if fixed else text


def _verdict(
    valuations: Valuations, edge: Transition, before: Sequence[Transition], changeable: frozenset[str]
) -> _Verdict:
    own: list[Clause] = [(edge.when, True)] if isinstance(edge.when, Compare | AllOf | AnyOf | Not) else []
    decided = valuations.satisfiable(own, changeable)
    if decided is False:
        return "dead"
    if any(other.when is None for other in before):
        return "shadowed"
    # What a Python predicate says is unknown: it may leave everything to those after it.
    refused: list[Clause] = [(o.when, False) for o in before if isinstance(o.when, Compare | AllOf | AnyOf | Not)]
    left = valuations.satisfiable([*own, *refused], changeable) if refused else decided
    return "shadowed" if left is False else "not-decided" if left is None else "possible"


def _predicates(flow: Flow) -> Iterator[Finding]:
    edges = (*(edge for phase in flow.phases for edge in phase.transitions), *flow.transitions)
    for edge in edges:
        if callable(edge.when):
            name = getattr(edge.when, "__qualname__", type(edge.when).__name__)
            if inspect.iscoroutinefunction(edge.when):
                message = f"the guard {name!r} is `async`: nobody waits for its answer, so it never permits"
                yield error("dead-guard", message, edge.source_of("when"))
                continue
            if not _takes_facts(edge.when):
                message = f"the guard {name!r} does not take the facts as its only argument, so it never permits"
                yield error("dead-guard", message, edge.source_of("when"))
                continue
            message = f"the guard {name!r} is Python: it counts as unknown, nothing is proved of it"
            yield warning("unknown-guard", message, edge.source_of("when"))


def _takes_facts(predicate: Callable[..., object]) -> bool:
    try:
        inspect.signature(predicate).bind(None)
    except TypeError:
        return False
    except ValueError:
        return True  # it is not written in Python, and does not say
    return True
