"""The usual call to the bank, and what is the same of it whoever speaks."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from voiceagent.testing import CallFile, CallFiles, CallPlayer, LiveModels, Says

__all__ = ["Trace", "balance_calls", "trace_of"]

BANK = Path(__file__).parents[1] / "conversations" / "bank"


@dataclass(frozen=True, slots=True)
class Trace:
    """What is the same whoever speaks."""

    phases: list[str]
    tools: list[str]
    heard: list[str]


@cache
def balance_calls() -> CallFile:
    return CallFiles().read(BANK / "balance.call.yaml")


def trace_of(live: LiveModels | None) -> Trace:
    """Place the usual call; without a model the guided one speaks."""
    file = balance_calls()
    script = file.scripts[0]
    call = CallPlayer(file.flow, live=live).place(script, "core", 0).start()
    for turn in script.turns:
        if isinstance(turn.act, Says):
            call.says(turn.act.text)
    return Trace(call.record.phases, [tool for tool, _ in call.tool_runs], call.heard)
