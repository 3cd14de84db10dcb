"""A synthetic call: connect, hear the greeting, hang up; and what it shows of the agent."""

from __future__ import annotations

from voiceagent.runtime.call_summary import CallSummary
from voiceagent.testing import CallerScript, CallReport
from voiceagent.testing.caller_script import HangUpStep, WaitForAgentStep
from voiceagent.testing.timeline import AgentSpeechStarted

__all__ = ["greeted_after_ms", "hears_the_greeting", "problems_of"]

_AGENT_DONE_MS = 400
"""Silence after which the greeting counts as heard: enough, since nothing is answered to it."""
_FAILED = ("internal error", "too many events", "cancelled", "its journal breaks off")
"""Ends of a call that neither the caller nor the flow wanted."""


def hears_the_greeting(*, within_s: int) -> CallerScript:
    """Return a caller who hangs up when the agent has greeted them."""
    steps = (WaitForAgentStep(quiet_ms=_AGENT_DONE_MS, at_most_ms=within_s * 1_000), HangUpStep())
    return CallerScript("probe", steps, parameters={"probe": "1"})


def greeted_after_ms(report: CallReport) -> int | None:
    """Return when the agent was heard first; None where it never was."""
    return next((event.at_ms for event in report.timeline if isinstance(event, AgentSpeechStarted)), None)


def problems_of(summary: CallSummary) -> list[str]:
    """Return what went wrong on the agent's side, though the caller may not have noticed."""
    crashed = dict.fromkeys(tool.tool for tool in summary.tools if tool.outcome == "crashed")
    ended = summary.ended or "its journal breaks off"
    return [
        *(f"the tool {tool} crashed: see the log above" for tool in crashed),
        *([f"the agent's session failed: {ended}"] if ended in _FAILED else []),
    ]
