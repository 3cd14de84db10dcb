"""Certain: which grants and facts are established once an edge of the flow was taken."""

from __future__ import annotations

from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare
from voiceagent.spec.phase import ToolSucceeds, Transition
from voiceagent.spec.tool import Tool
from voiceagent.spec.ways import Established, Given, Ways

__all__ = ["certain_facts", "certain_grants", "ever_known", "facts_of", "known_from_the_start"]


def known_from_the_start(flow: Flow) -> frozenset[str]:
    """Return the facts whose default is a value."""
    return frozenset(flow.facts().known())


def ever_known(flow: Flow) -> frozenset[str]:
    """Return every fact that can have a value at all."""
    return known_from_the_start(flow) | {fact for tool in _all_tools(flow) for fact in tool.sets}


def certain_grants(flow: Flow, ways: Ways) -> Established:
    """Return the grants that are held in each phase; whoever is asked for them again may say no and lose them."""
    return ways.established(granted_by(flow), lambda tool: () if tool.grants_when is None else tool.grants)


def certain_facts(ways: Ways) -> Established:
    """Return the facts that are known in each phase."""
    return ways.established(facts_of, _may_be_forgotten)


def _may_be_forgotten(tool: Tool) -> tuple[str, ...]:
    """Return the facts that a tool which says no may have nothing to say of: they are no longer known."""
    if tool.grants_when is None:
        return ()
    return tuple(fact for fact, path in tool.sets.items() if path != tool.grants_when)


def granted_by(flow: Flow) -> Given:
    """Return what says which grants are certain once an edge was taken.

    Its tool gave them, and where that depends on the result, the guard says that the result meant yes. A guard on any
    edge says so too, where every tool that writes the fact gives the grant along with a yes, and none takes it away
    without a no to that fact.
    """
    by_fact = _grants_by_fact(flow)

    def grants_of(edge: Transition) -> frozenset[str]:
        yes = _required_true(edge.when)
        by_guard = {grant for fact in yes for grant in by_fact.get(fact, ())}
        if not isinstance(edge.on, ToolSucceeds):
            return frozenset(by_guard)
        tool = edge.on.tool
        sure = tool.grants_when is None or any(tool.sets.get(fact) == tool.grants_when for fact in yes)
        return frozenset(by_guard.union(tool.grants if sure else ()))

    return grants_of


def _all_tools(flow: Flow) -> tuple[Tool, ...]:
    return tuple(dict.fromkeys(tool for phase in flow.phases for tool in flow.tools_of(phase)))


def _grants_by_fact(flow: Flow) -> dict[str, frozenset[str]]:
    """Return fact → the grants that were given whenever it is true."""
    found: dict[str, frozenset[str]] = {}
    for tool in _all_tools(flow):
        for fact, path in tool.sets.items():
            given = frozenset(tool.grants if tool.grants_when in (None, path) else ())
            found[fact] = found[fact] & given if fact in found else given
    taking = [tool for tool in _all_tools(flow) if tool.grants_when is not None]
    for fact, grants in found.items():
        gone = {grant for tool in taking if tool.sets.get(fact) != tool.grants_when for grant in tool.grants}
        found[fact] = grants - gone
    true_anyway = {fact for fact, value in flow.facts().known().items() if value is True}
    return {fact: grants for fact, grants in found.items() if grants and fact not in true_anyway}


def _required_true(guard: object) -> frozenset[str]:
    match guard:
        case Compare(fact=fact, is_="eq", value=True):
            return frozenset((fact,))
        case AllOf(all_of=parts):
            return frozenset(fact for part in parts for fact in _required_true(part))
        case AnyOf(any_of=(first, *others)):
            return _required_true(first).intersection(*(_required_true(part) for part in others))
        case _:
            return frozenset()


def facts_of(edge: Transition) -> frozenset[str]:
    """Return the facts that are known once an edge was taken: its tool sets them, or its guard asks for them.

    A tool that may say no (`grants_when`) sets the rest of its facts only where the guard says that it has said yes.
    """
    implied = _implied_by(edge.when)
    if not isinstance(edge.on, ToolSucceeds):
        return implied
    tool = edge.on.tool
    if tool.grants_when is None or any(tool.sets.get(fact) == tool.grants_when for fact in _required_true(edge.when)):
        return implied.union(tool.sets)
    return implied.union(fact for fact, path in tool.sets.items() if path == tool.grants_when)


def _implied_by(guard: object) -> frozenset[str]:
    match guard:
        case Compare(fact=fact):
            return frozenset() if _permits_unknown(guard) else frozenset((fact,))
        case AllOf(all_of=parts):
            return frozenset(fact for part in parts for fact in _implied_by(part))
        case AnyOf(any_of=(first, *others)):
            return _implied_by(first).intersection(*(_implied_by(part) for part in others))
        case _:
            return frozenset()


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
