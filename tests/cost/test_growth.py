"""What grows with a call or its flow, and what must not: turns cost the same from the first to the five-hundredth.

That the proof of a flow grows with it as a line does is in tests/spec/test_verify_work.py.
"""

from __future__ import annotations

import gc
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import date
from itertools import pairwise

from tests.cost.counting import function_calls
from voiceagent import Flow, Limits, Phase, Prompt, Requested, Transition, tool
from voiceagent.core.codec import encode_outgoing
from voiceagent.core.effects import AskModel, ModelRequest, Outgoing
from voiceagent.core.events import Event
from voiceagent.models.shown import shown
from voiceagent.spec.tool import Tool
from voiceagent.testing import ModelRule, RuledModel, ScriptedCall, ask_for, say

TURNS = 500
TODAY = date(2025, 11, 24)


@tool
async def look_up(what: str) -> dict[str, object]:
    """Look something up."""
    raise AssertionError("scripted tools never run")


def _phase(name: str, other: str) -> Phase:
    moves = Transition(on=Requested(name="next", description="The caller wants the next thing."), to=other)
    return Phase(name=name, prompt=f"long/{name}.md", tools=(look_up,), transitions=(moves,))


LONG = Flow(
    name="long",
    initial="odd",
    phases=(_phase("odd", "even"), _phase("even", "odd")),
    prompts={f"long/{name}.md": Prompt("Answer what the caller asks.") for name in ("odd", "even", "elsewhere")},
    limits=Limits(max_turns=10_000, max_tool_calls=10_000, max_model_requests=10_000, max_call_ms=24 * 3_600_000),
)
"""Every turn asks for a tool, goes on to the other phase, and is answered there."""
LOOKS_UP_AND_GOES_ON = (
    ModelRule(tuple(say("Here it is.")), after_tool="next"),
    ModelRule(tuple(ask_for("next")), after_tool="look_up"),
    ModelRule(tuple(ask_for("look_up", '{"what": "the next thing"}'))),
)


@dataclass
class Turn:
    """What one turn has cost."""

    effects: list[str] = field(default_factory=list[str])
    lines: list[bytes] = field(default_factory=list[bytes])
    function_calls: int = 0
    messages: int = 0
    """Most that a model was shown."""
    shown_bytes: int = 0
    """Most that one was sent: prompt, tools and conversation."""
    shown_calls: int = 0
    """Functions called to make that of the words of the call."""


class LongCall:
    """A call of equal turns, looked at from inside of each."""

    def __init__(self, flow: Flow) -> None:
        self._call = ScriptedCall(flow, model=RuledModel(LOOKS_UP_AND_GOES_ON), tools={"look_up": {"found": "it"}})
        self._handle = self._call.conversation.handle
        self._call.conversation.handle = self._watched
        self._turn = Turn()
        self._counting = True
        self._call.start()

    def _watched(self, event: Event, now_ms: int) -> tuple[Outgoing, ...]:
        outgoing: tuple[Outgoing, ...] = ()

        def handle() -> None:
            nonlocal outgoing
            outgoing = self._handle(event, now_ms)

        if self._counting:
            self._turn.function_calls += function_calls(handle)
        else:
            handle()
        for out in outgoing:
            self._turn.effects.append(type(out.effect).__name__)
            self._turn.lines.append(encode_outgoing(out))
            if isinstance(out.effect, AskModel):
                self._asked(out.effect.request)
        return outgoing

    def _asked(self, request: ModelRequest) -> None:
        """Make what a provider is sent, in no provider's shape."""

        def make() -> None:
            told = asdict(shown(self._call.flow, request, today=TODAY))
            self._turn.shown_bytes = max(self._turn.shown_bytes, len(json.dumps(told)))

        self._turn.messages = max(self._turn.messages, len(request.history))
        if self._counting:
            self._turn.shown_calls += function_calls(make)

    def turns(self, count: int, *, counting: bool = True) -> list[Turn]:
        """Have so many turns; return what each has cost, without the work of it where that is not to be counted."""
        taken: list[Turn] = []
        self._counting = counting
        for _ in range(count):
            self._turn = Turn()
            self._call.says("Tell me the next thing.")
            taken.append(self._turn)
        return taken


def test_a_turn_costs_the_same_from_the_first_to_the_five_hundredth() -> None:
    call = LongCall(LONG)
    taken = call.turns(50, counting=False)  # until then what a model is shown becomes longer
    early = call.turns(50)
    blocks = [_blocks()]
    for _ in range(3):
        taken += call.turns(100, counting=False)
        blocks.append(_blocks())
    taken += call.turns(50, counting=False)
    late = call.turns(50)
    every = [*taken, *early, *late]
    assert len(every) == TURNS
    assert {tuple(turn.effects) for turn in every} == {tuple(early[0].effects)}
    assert max(turn.messages for turn in every) <= LONG.limits.max_history_messages
    assert _most(late, "shown_bytes") <= _most(early, "shown_bytes"), "what a model is shown grows with the call"
    assert _most(late, "shown_calls") <= _most(early, "shown_calls")
    assert _most(late, "function_calls") <= _most(early, "function_calls"), "the work of a turn grows with the call"
    first, *_, last = [after - before for before, after in pairwise(blocks)]
    # Tables become longer at a stroke, which is a tenth more or less; what grows with the call would be twice as much.
    assert last <= first * 1.5, "what a turn leaves behind in memory grows with the call"


def test_five_hundred_tools_in_other_phases_change_nothing_in_a_swap() -> None:
    elsewhere = Phase(name="elsewhere", prompt="long/elsewhere.md", tools=_many_tools(500))
    crowded = LONG.model_copy(update={"phases": (*LONG.phases, elsewhere)})
    alone, beside_them = (LongCall(flow).turns(12)[2:] for flow in (LONG, crowded))
    assert [turn.lines for turn in beside_them] == [turn.lines for turn in alone]
    assert [turn.function_calls for turn in beside_them] == [turn.function_calls for turn in alone]
    assert [turn.shown_bytes for turn in beside_them] == [turn.shown_bytes for turn in alone]
    assert [turn.shown_calls for turn in beside_them] == [turn.shown_calls for turn in alone]


def _many_tools(count: int) -> tuple[Tool, ...]:
    def one(number: int) -> Tool:
        async def unused(what: str) -> dict[str, object]:
            """Do something that is of no use here."""
            raise AssertionError

        unused.__name__ = f"unused_{number}"
        return tool(unused)

    return tuple(one(number) for number in range(count))


def _most(turns: Sequence[Turn], what: str) -> int:
    return max(getattr(turn, what) for turn in turns)


def _blocks() -> int:
    gc.collect()
    return sys.getallocatedblocks()
