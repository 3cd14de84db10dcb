"""The desk that the benchmark calls: the prompts and tools of the demo's bank, with a way on from every phase."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from benchmarks.swap.provider import GO_ON
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.facts import Facts
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Transition, VoiceFails
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool

__all__ = ["desk"]

_BANK = Path("phases/bank")
_NEVER_MS = 3_600_000
_NO_FILLER_MS = 10_000
"""A filler would cover what is to be measured."""


class _BankFacts(Facts):
    customer_id: str = "c-1"
    """Known from the beginning: every tool that is bound to it can run, and so is offered."""


def desk(*, standby: bool = False) -> Flow:
    """Return the phases of the bank in which a model speaks, one after the other and around again."""
    bank = load_flow(_BANK)
    stations = [phase for phase in bank.phases if phase.prompt is not None]
    prompts = {f"swap/{phase.name}.md": Prompt(bank.prompt_of(phase).static) for phase in stations}
    on = Requested(name=GO_ON, description="The caller wants to go on to the next thing.")
    phases = [
        Phase(
            name=phase.name,
            prompt=f"swap/{phase.name}.md",
            tools=tuple(_free(tool) for tool in phase.tools),
            transitions=(Transition(on=on, to=after.name, standby=standby),),
        )
        for phase, after in zip(stations, [*stations[1:], stations[0]], strict=True)
    ]
    goodbye = Phase(name="goodbye", ends=HangUpAfter())
    return Flow(
        name="swap",
        initial=stations[0].name,
        facts=_BankFacts,
        filler=Filler(phrases=("One moment.",), patience_ms=_NO_FILLER_MS),
        limits=Limits(max_call_ms=_NEVER_MS, max_turns=400),
        prompts=prompts,
        phases=(*phases, goodbye),
        transitions=(Transition(on=VoiceFails(), to="goodbye"),),
    )


def _free(tool: Tool) -> Tool:
    """Return a tool as the model is shown it once the caller is known: here they are from the beginning."""
    return replace(tool, requires=(), grants=(), grants_when=None, sets={})
