"""Names of an agent that a scripted conversation may mention; one that does not exist is told with the nearest."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from voiceagent.errors import ScriptError, Source, nearest
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HostSignals, TransferTo
from voiceagent.spec.tool import Tool

__all__ = ["Names"]


@dataclass(frozen=True, slots=True)
class Names:
    """What one flow calls its parts."""

    phases: tuple[str, ...]
    tools: dict[str, Tool]
    moves: tuple[str, ...]
    facts: tuple[str, ...]
    host_events: tuple[str, ...]
    targets: tuple[str, ...]

    @classmethod
    def of(cls, flow: Flow) -> Names:
        """Collect the names of a flow."""
        edges = [edge for phase in flow.phases for edge in flow.transitions_of(phase)]
        return cls(
            phases=tuple(flow.by_name),
            tools={tool.name: tool for phase in flow.phases for tool in flow.tools_of(phase)},
            moves=tuple(dict.fromkeys(name for phase in flow.phases for name in flow.requests_of(phase))),
            facts=tuple(flow.facts.model_fields),
            host_events=tuple(edge.on.name for edge in edges if isinstance(edge.on, HostSignals)),
            targets=tuple(phase.ends.target for phase in flow.phases if isinstance(phase.ends, TransferTo)),
        )

    def phase(self, name: str, source: Source) -> str:
        """Return the name of a phase. Raises ScriptError where there is none of this name."""
        return _known("phase", name, self.phases, source)

    def tool(self, name: str, source: Source) -> Tool:
        """Return a tool. Raises ScriptError where there is none of this name."""
        return self.tools[_known("tool", name, self.tools, source)]

    def tool_or_move(self, name: str, source: Source) -> str:
        """Return the name of something a model may ask for. Raises ScriptError where there is none of this name."""
        return _known("tool or move", name, (*self.tools, *self.moves), source)

    def fact(self, name: str, source: Source) -> str:
        """Return the name of a fact. Raises ScriptError where there is none of this name."""
        return _known("fact", name, self.facts, source)

    def host_event(self, name: str, source: Source) -> str:
        """Return the name of an event that a transition waits for. Raises ScriptError where none does."""
        return _known("host event", name, self.host_events, source)

    def target(self, name: str, source: Source) -> str:
        """Return whom callers are transferred to. Raises ScriptError where no phase transfers there."""
        return _known("transfer target", name, self.targets, source)


def _known(what: str, name: str, known: Iterable[str], source: Source) -> str:
    names = list(known)
    if name not in names:
        listed = nearest(name, names) or (f"; there are: {', '.join(names)}" if names else "; there is none at all")
        raise ScriptError(f"there is no {what} {name!r} in this agent{listed}", source=source)
    return name
