"""Grants: no way leads to a tool past the tool that gives the right to use it."""

from __future__ import annotations

from collections.abc import Iterator

from voiceagent.spec.flow import Flow
from voiceagent.spec.verify.certain import certain_facts, certain_grants, ever_known, known_from_the_start
from voiceagent.spec.verify.finding import Finding, error, warning
from voiceagent.spec.ways import Ways

__all__ = ["bound_facts", "grants"]


def grants(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at what the tools of each phase require, against what is certain when the phase begins."""
    certain = certain_grants(flow, ways)
    # A tool that requires what it gives cannot be the first to give it.
    ever = ways.possible(lambda tool: set(tool.grants).difference(tool.requires))
    for phase in ways.reached:
        offered = ways.tools[phase.name]
        for tool in offered:
            # What another tool of the phase gives can be had here: until then this one is not offered.
            here = {grant for other in offered if other is not tool for grant in other.grants}
            for grant in dict.fromkeys(tool.requires):
                if grant not in ever[phase.name]:
                    message = f"{tool.name!r} requires {grant!r}, which nothing before or in {phase.name!r} can give"
                    yield error("grant-never", message, tool.source, ways.to(phase.name))
                    break
                if grant not in certain.on_entry[phase.name] | here:
                    way = certain.way_without(phase.name, grant)
                    message = f"phase {phase.name!r} can be entered without {grant!r}, which {tool.name!r} requires"
                    lost_by = certain.lost_by(phase.name, grant)
                    if lost_by is not None:
                        message += f": it is asked for again in {lost_by!r}, and the answer may be no"
                    yield error("grant-missing", message, tool.source, way)
                    break


def bound_facts(flow: Flow, ways: Ways) -> Iterator[Finding]:
    """Look at the facts that tools bind: a tool is not offered before they are known."""
    ever = ever_known(flow)
    certain = certain_facts(ways)
    start = known_from_the_start(flow)
    for phase in ways.reached:
        offered = ways.tools[phase.name]
        for tool in offered:
            here = {fact for other in offered if other is not tool for fact in other.sets}
            for fact in dict.fromkeys(tool.binds.values()):
                if fact not in ever:
                    message = f"{tool.name!r} binds {fact!r}, which no tool ever sets: it can never run"
                    yield error("fact-never-set", message, tool.source)
                elif fact not in certain.on_entry[phase.name] | here | start:
                    way = certain.way_without(phase.name, fact)
                    message = f"phase {phase.name!r} can be entered without {fact!r}, which {tool.name!r} binds"
                    # Only a warning: the tool is not offered then, and a predicate may know more than we do.
                    yield warning("fact-missing", message, tool.source, way)
