"""Authority: the one function that decides whether a tool may run.

It is asked twice: when the model requests the tool, and again at the moment of execution, since a phase may have ended
in between. It reads what code has established (phase, epoch, grants), never what the model or the caller claims.
"""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.core.ids import Epoch
from voiceagent.spec.flow import Flow
from voiceagent.spec.tool import Tool

__all__ = ["Authority", "Refused", "decide"]


@dataclass(frozen=True, slots=True)
class Authority:
    """What holds at this moment."""

    phase: str
    epoch: Epoch
    swapping: bool
    """A transition is decided and its phase not yet in force: nothing may run."""
    grants: tuple[str, ...]
    known_facts: tuple[str, ...]
    tool_calls: int
    """How many tools have been started in this call."""
    ended: bool


@dataclass(frozen=True, slots=True)
class Refused:
    """The tool may not run; the model reads why."""

    reason: str


def decide(flow: Flow, authority: Authority, *, name: str, epoch: Epoch) -> Tool | Refused:
    """Return the tool if it may run now, for a request made under `epoch`; else why not."""
    if authority.ended:
        return Refused("the call is over")
    if authority.swapping or epoch != authority.epoch:
        return Refused(f"{name} belongs to a part of the call that is over")
    tool = flow.tool_of(flow.by_name[authority.phase], name)
    if tool is None:
        return Refused(f"there is no function {name!r} here")
    missing = [grant for grant in tool.requires if grant not in authority.grants]
    if missing:
        return Refused(f"{name} is not permitted: the caller has no {', '.join(missing)}")
    unbound = [fact for fact in tool.binds.values() if fact not in authority.known_facts]
    if unbound:
        return Refused(f"{name} is not possible yet: {', '.join(unbound)} not established")
    if authority.tool_calls >= flow.limits.max_tool_calls:
        return Refused("no more functions can be used in this call")
    return tool
