"""Versions: an agent that is changed while its author talks to it goes on as it is now when it enters a phase."""

from __future__ import annotations

from voiceagent.core.effects import ReportProblem, UseVersion
from voiceagent.core.events import AgentChanged
from voiceagent.core.state import CallState, Outbox
from voiceagent.errors import PhaseError
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool

__all__ = ["Versions"]


class Versions:
    """Which version of its agent a call goes by, and which one it takes next."""

    def __init__(self, state: CallState, out: Outbox) -> None:
        self._state = state
        self._out = out
        self._flows: dict[str, Flow] = {}
        self._current = ""
        """Unknown until another one comes: most calls have only one."""
        self._previous = ""
        self._next: str | None = None

    def prepare(self, version: str, flow: Flow) -> None:
        """Have a version at hand. A call keeps the limits that it began with: they have been counted against."""
        self._flows[version] = flow.model_copy(update={"limits": self._state.flow.limits})

    def changed(self, event: AgentChanged) -> None:
        """Take this version with the next entry into a phase."""
        if event.version not in self._flows:
            self._out.emit(ReportProblem("version unknown", f"{event.version} is not at hand: the agent is as it was"))
            return
        if not self._current:
            self._current = event.before
            self._flows[event.before] = self._state.flow
        self._next = event.version
        if not self._has(event.version, self._state.phase.name):
            here = self._state.phase.name
            self._out.emit(ReportProblem("phase removed", f"{here} goes on as it was until the call leaves it"))

    def take(self, phase: str) -> bool:
        """A phase is being entered: go by the newest version that has it. True where that is another than before."""
        if self._next is None:
            return False
        if not self._has(self._next, phase):
            self._out.emit(ReportProblem("phase removed", f"{phase} is entered as it was before the agent was changed"))
            return False
        version, self._next = self._next, None
        self._use(version)
        return True

    def lead_back(self, phase: str) -> bool:
        """A phase could not be entered, and the call goes back to this one: by the version that had it."""
        if phase in self._state.flow.by_name:
            return False
        self._next = self._next or self._current
        self._use(self._previous)
        return True

    def _has(self, version: str, phase: str) -> bool:
        return phase in self._flows[version].by_name

    def _use(self, version: str) -> None:
        state, flow = self._state, self._flows[version]
        facts, unknown = _carried_over(state.facts, flow)
        given = {grant for tool in _tools_of(flow) for grant in tool.grants}
        withdrawn = tuple(grant for grant in state.grants if grant not in given)
        for grant in withdrawn:
            del state.grants[grant]
        state.flow, state.facts = flow, facts
        self._previous, self._current = self._current, version
        self._out.emit(UseVersion(version, (*unknown, *withdrawn)))


def _carried_over(known: Facts, flow: Flow) -> tuple[Facts, tuple[str, ...]]:
    """Return what is known in the terms of another version, and what it has no such terms for."""
    facts: Facts = flow.facts()
    unknown: list[str] = []
    for name, value in known.known().items():
        try:
            facts = facts.with_values({name: value})
        except PhaseError:
            unknown.append(name)
    return facts, tuple(unknown)


def _tools_of(flow: Flow) -> tuple[Tool, ...]:
    return (*flow.tools, *(tool for phase in flow.phases for tool in phase.tools))
