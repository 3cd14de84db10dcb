"""Hints: names are taken from facts that exist, and from answers of tools that somebody fetches."""

from __future__ import annotations

from collections.abc import Iterator

from voiceagent.errors import nearest
from voiceagent.spec.flow import Flow
from voiceagent.spec.hints import FromAnswer
from voiceagent.spec.prefetch import FromFact
from voiceagent.spec.verify.finding import Finding, error

__all__ = ["hints"]


def hints(flow: Flow) -> Iterator[Finding]:
    """Look at where the names come from that a phase hints at."""
    asked = [tool for phase in flow.phases for tool in flow.tools_of(phase)]
    fetched = [
        prefetch.tool for phase in flow.phases for edge in flow.transitions_of(phase) for prefetch in edge.prefetch
    ]
    reads = {tool.name: tool for tool in (*asked, *fetched) if tool.effect == "read"}
    for phase in flow.phases:
        for hint in phase.hints:
            match hint:
                case FromFact(fact=fact) if fact not in flow.facts.model_fields:
                    near = nearest(fact, flow.facts.model_fields)
                    message = f"phase {phase.name!r} hints at {fact!r}, which is no fact{near}"
                    yield error("unknown-fact", message, hint.source)
                case FromAnswer(tool=tool) if reads.get(tool.name) is not tool:
                    near = nearest(tool.name, reads)
                    message = (
                        f"phase {phase.name!r} hints at what {tool.name!r} answers, which this flow never reads{near}"
                    )
                    yield error("unknown-tool", message, hint.source)
                case _:
                    pass
