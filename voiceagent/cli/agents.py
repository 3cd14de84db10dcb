"""Agents to be served: loaded, proved, and refused with the reason where a call to them could only go wrong."""

from __future__ import annotations

import types
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from voiceagent.errors import OperatorError, PhaseError
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.egress import SERVICE
from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify import verify
from voiceagent.spec.verify.languages import unspoken_languages
from voiceagent.speech import languages_of

__all__ = ["agents_to_serve", "checked_flow", "require_spoken", "tools_that_want_a_service"]


def agents_to_serve(
    agents: Sequence[str], *, service_url: str, engines: Literal["local", "null"] = "local"
) -> dict[str, Flow]:
    """Return the flows of agents by the names under which they are called.

    Raises PhaseError for an agent that `check` refuses with these engines, OperatorError for two of one name and for
    tools that want a service where none is named.
    """
    flows: dict[str, Flow] = {}
    for agent in agents:
        flow = checked_flow(agent)
        require_spoken(flow, engines)
        name = Path(agent).resolve().name
        if name in flows:
            raise OperatorError(f"two agents are called {name!r}: only one of them could be reached")
        if not service_url:
            _require_no_service(flow, name)
        flows[name] = flow
    return flows


def checked_flow(agent: str) -> Flow:
    """Return the flow of an agent. Raises PhaseError for one that `check` refuses."""
    flow = load_flow(agent)
    wrong = [finding for finding in verify(flow) if finding.severity == "error"]
    if wrong:
        more = f" (and {len(wrong) - 1} more: voiceagent check {agent})" if len(wrong) > 1 else ""
        raise PhaseError(f"{wrong[0]}{more}")
    return flow


def tools_that_want_a_service(flow: Flow) -> tuple[str, ...]:
    """Return the names of the tools that fail where no service is named."""
    return tuple(dict.fromkeys(tool.name for tool in _tools_of(flow) if _wants_service(tool)))


def require_spoken(flow: Flow, engines: Literal["local", "null"]) -> None:
    """Raise PhaseError, with file and line, where a phase is in a language that these engines have not got."""
    heard, spoken = languages_of(engines)
    for finding in unspoken_languages(flow, heard=heard, spoken=spoken):
        raise PhaseError(str(finding))


def _require_no_service(flow: Flow, name: str) -> None:
    wanting = tools_that_want_a_service(flow)
    if wanting:
        raise OperatorError(f"the tools of {name} call a service ({', '.join(wanting)}): name it with --service-url")


def _tools_of(flow: Flow) -> Iterable[Tool]:
    return (tool for phase in flow.phases for tool in flow.tools_of(phase))


def _wants_service(tool: Tool) -> bool:
    if all(place.to != SERVICE for place in tool.reach):
        return False
    return bool(tool.scopes) or _speaks_http(tool.run, set())


def _speaks_http(function: object, seen: set[object]) -> bool:
    """Whether a function, or one of its module's that it names, reads an attribute `http`: so `ctx.http` is used."""
    if not isinstance(function, types.FunctionType) or function in seen:
        return False
    seen.add(function)
    names = function.__code__.co_names
    return "http" in names or any(_speaks_http(function.__globals__.get(name), seen) for name in names)
