"""C2: a tool is asked for, the phase changes, and then it would be run: what counts is the phase of that moment."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.runtime.desk_calls import asks
from voiceagent import Facts, Flow, HangUpAfter, HostSignals, Phase, Prompt, Say, Tool, ToolContext, Transition, tool
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId
from voiceagent.testing import ask_for, say

RUNS: list[str] = []


@tool
async def look() -> str:
    """Look something up."""
    RUNS.append("look")
    return "seen"


@tool(effect="write", scopes="desk:write")
async def book(ctx: ToolContext) -> str:
    """Book something."""
    RUNS.append("book")
    return "booked"


@tool(effect="irreversible", confirm="Shall I do it?")
async def burn() -> str:
    """Burn something."""
    RUNS.append("burn")
    return "burnt"


def desk_with_two_counters(of: Tool) -> Flow:
    return Flow(
        name="desk",
        initial="first",
        facts=Facts,
        prompts={"desk/first.md": Prompt("Be kind.")},
        phases=(
            Phase(
                name="first",
                prompt="desk/first.md",
                on_enter=Say(text="Hello."),
                tools=(of,),
                transitions=(Transition(on=HostSignals(name="closing"), to="second"),),
            ),
            Phase(name="second", on_enter=Say(text="This counter is closed."), ends=HangUpAfter()),
        ),
    )


@pytest.mark.parametrize("of", [look, book, burn])
def test_c2_a_tool_whose_phase_ends_between_its_start_and_its_run_is_not_run(exchange: Any, of: Tool) -> None:
    RUNS.clear()
    heard = ["do it", "yes"] if of is burn else ["do it"]

    async def scenario(line: Any) -> None:
        await asks(line)
        for _ in heard[1:]:
            await line.says()
        await line.waits(3_000)

    def watching(call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[fx.Outgoing, ...]) -> None:
        del now_ms, call, event
        if any(isinstance(out.effect, fx.StartTool) for out in outgoing):
            placed[0].leg.tell(ev.HostEvent("closing"))

    placed: list[Any] = []
    exchange.observers.append(watching)
    (line,) = exchange.serve(
        scenario,
        desk_with_two_counters(of),
        lines=lambda request: say("No.") if request.history[-1].role == "tool_result" else ask_for(of.name),
        heard=heard,
        first=placed.append,
    )
    assert [start.tool for start in line.all(fx.StartTool)] == [of.name]
    assert RUNS == []
    assert [failed.kind for failed in line.all(ev.ToolFailed)] in ([], ["refused"])
    if of is not look:
        assert [failed.kind for failed in line.all(ev.ToolFailed)] == ["refused"]


class SlowBroker:
    """Takes its time to mint a credential, in which the phase ends."""

    def __init__(self) -> None:
        self.line: Any = None

    async def token(self, **_: object) -> dict[str, str]:
        self.line.leg.tell(ev.HostEvent("closing"))
        for _ in range(20):
            await asyncio.sleep(0)
        return {}


def test_c2_nor_is_one_whose_phase_ends_while_its_credential_is_fetched(exchange: Any) -> None:
    RUNS.clear()
    broker = SlowBroker()

    async def scenario(line: Any) -> None:
        await asks(line)
        await line.until(ev.ToolFailed)

    (line,) = exchange.serve(
        scenario,
        desk_with_two_counters(book),
        lines=lambda _: ask_for("book"),
        heard=["do it"],
        broker=broker,
        first=lambda line: setattr(broker, "line", line),
    )
    assert RUNS == []
    assert [failed.kind for failed in line.all(ev.ToolFailed)] == ["refused"]
