"""How often the guided model understands what a caller says, and how often it starts something nobody asked for.

Examples, word lists and thresholds may be tried against `guided_phrasings_dev.yaml`. `guided_phrasings_report.yaml` is
for figures only: its sentences were written without sight of the examples in `phases/bank` and of the language module,
and nothing may be changed because of one of them.
"""

from __future__ import annotations

import argparse
import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict

from voiceagent.core.effects import Message, ModelRequest
from voiceagent.core.ids import Epoch
from voiceagent.core.sealing import SealingState
from voiceagent.language import language_for
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import ReplyDone, ReplyModel, ToolRequest
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.expects import Digits
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase
from voiceagent.spec.tool import Tool
from voiceagent.tools.vault import Vault

__all__ = ["main"]

AGENT = Path("phases/bank")
LEAST_RIGHT = 0.85
"""In every phase."""
MOST_STARTED = 0.03
"""Of all out-of-scope sentences, each said in each phase."""
FACTS = {"verified": True, "customer_id": "C-1001", "customer_name": "Daniel", "attempts_left": 5}
UNIX_MS = 1_764_000_000_000

Half = Literal["dev", "report"]


class Phrasing(BaseModel):
    """One sentence, and the tool or move that it asks for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str
    does: str


class Phrasings(BaseModel):
    """The test set."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phases: dict[str, tuple[Phrasing, ...]]
    out_of_scope: tuple[str, ...]

    @classmethod
    def of(cls, half: Half) -> Phrasings:
        """Return one half of the test set."""
        written = Path(__file__).with_name(f"guided_phrasings_{half}.yaml").read_text(encoding="utf-8")
        return cls.model_validate(yaml.safe_load(written))


@dataclass(frozen=True, slots=True)
class Heard:
    """What one sentence led to."""

    phase: str
    text: str
    wanted: str | None
    """Tool or move; None for a sentence that asks for nothing."""
    started: str | None
    """The tool or move that was asked for, or whose slot was asked for; None: not understood."""


@dataclass(frozen=True, slots=True)
class Count:
    """How the sentences of one phase were understood."""

    phase: str
    right: int
    wrong: int
    not_understood: int

    @property
    def share(self) -> float:
        """The part that was right."""
        return self.right / (self.right + self.wrong + self.not_understood)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the figures; return 0 where the goals are met, else 1."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.guided", description=__doc__)
    parser.add_argument("--split", choices=("dev", "report"), help="only this half")
    parser.add_argument("--verbose", action="store_true", help="list every sentence that was not right")
    options = parser.parse_args(arguments)
    halves: tuple[Half, ...] = ("dev", "report") if options.split is None else (options.split,)
    flow = load_flow(AGENT)
    model = GuidedModels().open(flow, locale=flow.locale, time_zone="UTC")
    met = [
        _report(half, asyncio.run(_heard(flow, model, Phrasings.of(half))), verbose=options.verbose) for half in halves
    ]
    print(_HOW_MEASURED)
    return 0 if all(met) else 1


_HOW_MEASURED = f"""
How measured: each sentence is the caller's first in its phase, after the phase's opening; the request is made as a
call makes it, with its digits sealed in a sensitive phase, and answered by the guided model itself. Right: the wanted
tool or move is requested, or one of its slots is asked for; a form asks for its first slot whatever is said, so only a
later one counts. Started: anything is requested, or a slot asked for, for a sentence that is out of scope.
Goals, for each half: at least {LEAST_RIGHT:.0%} right in every phase, at most {MOST_STARTED:.0%} false starts."""


# --- asking the model ---


async def _heard(flow: Flow, model: ReplyModel, phrasings: Phrasings) -> list[Heard]:
    wanted = [(phase, p.text, p.does) for phase, listed in phrasings.phases.items() for p in listed]
    nothing = [(phase, text, None) for phase in phrasings.phases for text in phrasings.out_of_scope]
    return [
        Heard(phase, text, does, await _started(flow, model, flow.by_name[phase], text))
        for phase, text, does in [*wanted, *nothing]
    ]


async def _started(flow: Flow, model: ReplyModel, phase: Phase, text: str) -> str | None:
    started: str | None = None
    async for piece in model.reply(_request(flow, phase, text)):
        match piece:
            case ToolRequest(name=name):
                started = name
            case ReplyDone(asks=str(slot)):
                started = _whose(phase, slot)
            case _:
                pass
    return started


def _request(flow: Flow, phase: Phase, text: str) -> ModelRequest:
    epoch = Epoch(1)
    prompt = flow.prompt_of(phase)
    opening = phase.guided.opening if phase.guided and phase.guided.opening else "How can I help you?"
    if phase.sensitive:
        text = Vault().seal(text, language_for(flow.locale), SealingState(_digits(phase), serial=1).sealing())
    return ModelRequest(
        phase=phase.name,
        epoch=epoch,
        prompt=prompt.static,
        late_facts="",
        tools=(*(tool.name for tool in flow.tools_of(phase)), *flow.requests_of(phase)),
        history=(Message(1, "agent", opening, epoch), Message(2, "caller", text, epoch)),
        facts=FACTS,
        unix_ms=UNIX_MS,
    )


def _digits(phase: Phase) -> tuple[Digits, ...]:
    return tuple(expected for expected in phase.expects if isinstance(expected, Digits))


def _whose(phase: Phase, slot: str) -> str | None:
    """Return the tool or move that a slot belongs to; None for the one that a form begins with."""
    if phase.guided is None:
        return None
    form = phase.guided.form
    owners = [*phase.guided.intents, *([form] if form is not None and form.slots[0].name != slot else [])]
    owner = next((owner for owner in owners if any(known.name == slot for known in owner.slots)), None)
    does = owner.does if owner else None
    return does.name if isinstance(does, Tool) else does


# --- printing ---


def _report(half: Half, heard: Sequence[Heard], *, verbose: bool) -> bool:
    """Print one half's figures; return whether they meet the goals."""
    counts = list(_counts(heard))
    nothing = [one for one in heard if one.wanted is None]
    started = [one for one in nothing if one.started is not None]
    print(f"\n{half} half\n{'phase':<18}{'right':>7}{'wrong':>7}{'not understood':>16}{'share':>8}{'false starts':>14}")
    for count in counts:
        false = sum(one.phase == count.phase for one in started)
        said = sum(one.phase == count.phase for one in nothing)
        print(
            f"{count.phase:<18}{count.right:>7}{count.wrong:>7}{count.not_understood:>16}{count.share:>8.1%}"
            f"{f'{false} of {said}':>14}"
        )
    right = sum(count.right for count in counts)
    asked = sum(one.wanted is not None for one in heard)
    share = len(started) / len(nothing)
    print(f"in all: {right} of {asked} right, {right / asked:.1%}; {len(started)} of {len(nothing)} start, {share:.1%}")
    if verbose:
        for one in heard:
            if one.started != one.wanted:
                print(f"  {one.phase}: {one.text!r} wants {one.wanted or '-'}, got {one.started or '-'}")
    return all(count.share >= LEAST_RIGHT for count in counts) and share <= MOST_STARTED


def _counts(heard: Sequence[Heard]) -> Iterator[Count]:
    for phase in dict.fromkeys(one.phase for one in heard):
        asked = [one for one in heard if one.phase == phase and one.wanted is not None]
        right = sum(one.started == one.wanted for one in asked)
        lost = sum(one.started is None for one in asked)
        yield Count(phase, right, len(asked) - right - lost, lost)


if __name__ == "__main__":
    raise SystemExit(main())
