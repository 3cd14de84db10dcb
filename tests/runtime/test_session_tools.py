"""Calls whose tools fail, and what nobody was prepared for."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.runtime.desk_calls import Never, SlowWrite, asks, desk, lines
from voiceagent import (
    Tool,
    ToolContext,
    tool,
)
from voiceagent.core import events as ev
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.testing import ask_for, say


@tool
async def explode() -> dict[str, object]:
    """Fail."""
    raise RuntimeError("the password is hunter2")


@tool(timeout_ms=3_000)
async def hang() -> dict[str, object]:
    """Never answer."""
    return await Never()()


@tool
async def flood() -> str:
    """Answer with ten megabytes."""
    return "x" * 10_000_000


@pytest.mark.parametrize(("failing", "kind"), [(explode, "crashed"), (hang, "timed_out"), (flood, "too_large")])
def test_a_tool_that_fails_is_reported_to_the_model(exchange: Any, failing: Tool, kind: str) -> None:
    async def scenario(line: Any) -> None:
        await asks(line)
        await line.waits(4_000)

    model = lines(ask_for(failing.name), say("That did not work."))
    (line,) = exchange.serve(scenario, desk(failing), lines=model, heard=["do it"])
    (failed,) = line.all(ev.ToolFailed)
    assert failed.kind == kind
    assert line.spoken[-1] == "That did not work."
    (seen,) = inspect_journal(line.journal).tools
    assert (seen.outcome, seen.reason) == (kind, failed.reason)
    written = (exchange.directory / "call-1.jsonl").read_bytes()
    assert b"hunter2" not in written
    assert len(written) < 100_000
    assert exchange.learned.tool_latency_ms == {}


class BrokenBroker:
    """Raises what no broker may raise, once something has happened."""

    def __init__(self, after: asyncio.Event) -> None:
        self._after = after

    async def token(self, **_: Any) -> Any:
        await self._after.wait()
        raise RuntimeError("boom")


@tool(scopes="all")
async def needs_credentials(ctx: ToolContext) -> str:
    """Look something up where not everybody is let in."""
    raise AssertionError(f"{ctx.call} was let in")


def test_what_nobody_was_prepared_for_ends_the_call_with_an_apology_and_leaves_a_write_alone(exchange: Any) -> None:
    write = SlowWrite()

    async def scenario(line: Any) -> None:
        await write.under_way(line)
        await line.until(ev.CallEnded)
        await line.waits(6_000)
        write.go_on.set()
        await line.over()

    flow = desk(write.tool, needs_credentials)
    model = lines([*ask_for("book")[:-1], *ask_for("needs_credentials")])
    (line,) = exchange.serve(scenario, flow, lines=model, heard=["do it"], broker=BrokenBroker(write.begun))
    assert line.ended == "internal error"
    assert line.leg.played["apology"] == len(flow.phrases.apology) * 65 * 8
    assert line.leg.hang_ups == ["drained", "at once"]
    assert [finished.result for finished in line.all(ev.ToolFinished)] == [{"booked_for": "somebody"}]
