"""How costs grow: with the turns of a call, with the tools of a flow, with the phases that a proof looks at."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from statistics import median
from time import process_time_ns

from benchmarks.core import bank_call
from benchmarks.figures import Figure
from benchmarks.full.table import Row
from voiceagent import (
    Flow,
    GuidedDialogue,
    HangUpAfter,
    Intent,
    Phase,
    Prompt,
    Requested,
    Say,
    Silent,
    Transition,
    tool,
)
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.conversation import Conversation
from voiceagent.models.guided import GuidedModels
from voiceagent.models.shown import shown
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify import verify
from voiceagent.testing import ScriptedCall

__all__ = ["growth", "long_flow"]

_TURNS = 500
_PHASES = (10, 20, 50, 100, 200)
_TODAY = date(2025, 11, 24)


def growth(*, quick: bool) -> Iterator[Row]:
    """Measure on virtual time, in CPU time: nothing of it depends on a socket."""
    yield from _turns(200 if quick else _TURNS)
    yield from _tools(rounds=3 if quick else 15)
    yield from _proof(_PHASES[:3] if quick else _PHASES, rounds=3 if quick else 7)


# --- turns ---


def _turns(turns: int) -> Iterator[Figure]:
    flow = load_flow(Path("phases/loadtest"))
    call = ScriptedCall(flow, model=GuidedModels().open(flow, locale="en-US", time_zone="UTC"))
    call.start()
    for _ in range(turns):
        call.says("Tell me the next thing, please.")
    rounds = [_spent_by_turn_us(flow, call) for _ in range(3)]
    spent_us = [median(of_one) for of_one in zip(*rounds, strict=True)]
    part = max(10, turns // 10)
    first, last = median(spent_us[5 : 5 + part]), median(spent_us[-part:])
    yield Figure(
        f"a turn, the last {part} of {turns} / the first",
        last / first,
        "×",
        1.1,
        how=f"all that `handle` does in a turn: {first:.0f} µs at first, {last:.0f} in the end; medians",
    )
    shown_letters = _letters_shown(call)
    fifth = len(shown_letters) // 5
    yield Figure(
        f"what the model is shown, last turn / {fifth}th",
        shown_letters[-1] / shown_letters[fifth],
        "×",
        1.1,
        how=f"the history is shaped: {shown_letters[0]} letters in the first turn, {shown_letters[-1]} in the last",
    )


def _spent_by_turn_us(flow: Flow, call: ScriptedCall) -> Sequence[float]:
    again = Conversation(flow, call.inherited)
    spent: list[float] = []
    for now_ms, event, _ in call.journal:
        if isinstance(event, ev.CallerStartedSpeaking):
            spent.append(0.0)
        began_ns = process_time_ns()
        again.handle(event, now_ms)
        if spent:
            spent[-1] += (process_time_ns() - began_ns) / 1000
    return spent


def _letters_shown(call: ScriptedCall) -> Sequence[int]:
    asked = [out.effect for _, _, outgoing in call.journal for out in outgoing if isinstance(out.effect, fx.AskModel)]
    return [sum(len(str(message)) for message in ask.request.history) for ask in asked]


# --- tools ---


def _tools(rounds: int) -> Iterator[Figure]:
    flow = load_flow(Path("phases/bank"))
    call = bank_call(flow)
    larger = _with_tools(flow, 500)
    few, many = list[float](), list[float]()
    for _ in range(rounds):  # in turn, so that a slow moment of the machine meets both
        few += _swaps_us(flow, call)
        many += _swaps_us(larger, call)
    yield Figure(
        "a phase swap, as the model will see it",
        median(few) / 1000,
        "ms",
        0.3,
        how=f"median of {len(few)} in calls to the bank: the event that decides it, PhaseSwapped, and rendering",
    )
    yield Figure(
        "the same with 500 more tools in the flow",
        median(many) / 1000,
        "ms",
        0.3,
        spread=f"{median(many) / median(few):.2f}× of without",
        how="in 250 phases beside the bank's own",
    )


def _with_tools(flow: Flow, count: int) -> Flow:
    shelves = tuple(
        Phase(name=f"shelf_{number}", prompt=flow.phases[0].prompt, tools=(_tool(2 * number), _tool(2 * number + 1)))
        for number in range(count // 2)
    )
    return flow.model_copy(update={"phases": (*flow.phases, *shelves)})


def _tool(number: int) -> Tool:
    async def look_up(code: str, most: int = 3) -> dict[str, object]:
        """Look something up that is kept on this shelf, by its code."""
        return {"code": code, "most": most}

    look_up.__name__ = f"look_up_{number}"
    return tool(look_up)


def _swaps_us(flow: Flow, call: ScriptedCall) -> Iterator[float]:
    again = Conversation(flow, call.inherited)
    deciding_ns = 0
    for now_ms, event, _ in call.journal:
        began_ns = process_time_ns()
        outgoing = again.handle(event, now_ms)
        spent_ns = process_time_ns() - began_ns
        if isinstance(event, ev.PhaseSwapped):
            yield (deciding_ns + spent_ns) / 1000
        for out in outgoing:
            if isinstance(out.effect, fx.SwapPhase):
                began_ns = process_time_ns()
                shown(flow, out.effect.request, today=_TODAY)
                deciding_ns = spent_ns + process_time_ns() - began_ns


# --- phases ---


def long_flow(phases: int) -> Flow:
    """Return a flow of so many phases, each with a prompt, a tool, words of its own, and ways on and back."""
    names = [f"part_{number}" for number in range(phases)]
    return Flow(
        name="long",
        initial=names[0],
        phases=(*(_part(names, at) for at in range(phases)), Phase(name="bye", ends=HangUpAfter())),
        transitions=(
            Transition(on=Requested(name="finish", description="They are done."), to="bye"),
            Transition(on=Silent(), to="bye"),
        ),
        prompts={
            f"long/{name}.md": Prompt(f"This is part {name}. Say what there is to say about it.") for name in names
        },
    )


def _part(names: Sequence[str], at: int) -> Phase:
    ways = {"on": names[min(at + 1, len(names) - 1)], "back": names[max(at - 1, 0)]}
    return Phase(
        name=names[at],
        prompt=f"long/{names[at]}.md",
        on_enter=Say(text=f"This is part {at}."),
        tools=(_tool(at),),
        transitions=tuple(
            Transition(on=Requested(name=f"{way}_from_{at}", description=f"The caller wants to go {way}."), to=to)
            for way, to in ways.items()
            if to != names[at]
        ),
        guided=GuidedDialogue(
            intents=tuple(
                Intent(does=f"{way}_from_{at}", examples=(f"go {way} from part {at} please",))
                for way, to in ways.items()
                if to != names[at]
            )
        ),
    )


def _proof(sizes: Sequence[int], rounds: int) -> Iterator[Figure]:
    spent_ms = {size: _fastest_ms(partial(verify, long_flow(size)), rounds) for size in sizes}
    few, many = min(sizes), max(sizes)
    shown_ms = ", ".join(f"{size}: {ms:.1f} ms" for size, ms in spent_ms.items())
    yield Figure(
        f"proving a phase, {many} phases / {few}",
        (spent_ms[many] / many) / (spent_ms[few] / few),
        "×",
        1.3,
        how=f"1 is linear; the fastest of {rounds}: {shown_ms}",
    )


def _fastest_ms(work: Callable[[], object], rounds: int) -> float:
    spent: list[float] = []
    for _ in range(rounds):
        began_ns = process_time_ns()
        work()
        spent.append((process_time_ns() - began_ns) / 1e6)
    return min(spent)
