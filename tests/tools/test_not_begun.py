"""A write that was never begun has done nothing, and nobody is told that it may have."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping

import pytest

from tests.tools.tool_runs import Call, failed
from voiceagent import Tool, ToolContext, tool
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import ToolCallId
from voiceagent.tools.threads import ToolThreads


class Waiting:
    """The only thread of all tools, and the broker of credentials: both may keep a tool waiting."""

    def __init__(self) -> None:
        self.waits = asyncio.Event()
        self.go_on = asyncio.Event()
        self.did: list[str] = []

    async def token(self, **_: object) -> Mapping[str, str]:
        self.waits.set()
        await self.go_on.wait()
        return {}

    def tools(self) -> tuple[Tool, Tool]:
        @tool(effect="irreversible", confirm="Really?", timeout_ms=3_000)
        def in_thread() -> str:
            """Pay, in a thread."""
            self.did.append("paid")
            return "paid"

        @tool(effect="irreversible", confirm="Really?", timeout_ms=3_000, scopes="pay")
        async def with_credential(ctx: ToolContext) -> str:
            """Pay, with a credential."""
            self.did.append("paid")
            return "paid"

        return in_thread, with_credential


async def _kept_waiting(which: int) -> tuple[Waiting, Call, asyncio.Future[object]]:
    """A write waits to be begun."""
    waiting = Waiting()
    tools = waiting.tools()
    call = Call(*tools, broker=waiting)
    threads = call.executor.threads = ToolThreads(most=1)
    occupied = asyncio.Event()

    def hold() -> object:
        until = asyncio.run_coroutine_threadsafe(waiting.go_on.wait(), loop)
        loop.call_soon_threadsafe(occupied.set)
        return until.result(20)

    loop = asyncio.get_running_loop()
    holding = asyncio.ensure_future(threads.run(lambda: hold, name="hold"))
    holding.add_done_callback(lambda done: done.exception())
    await occupied.wait()
    running = asyncio.ensure_future(call.run(tools[which]))
    await call.clock.until_waiting(1)
    for _ in range(5):
        await asyncio.sleep(0)
    return waiting, call, running


@pytest.mark.parametrize("which", [0, 1])
def test_a_write_out_of_time_before_it_was_begun_has_done_nothing(which: int) -> None:
    async def main() -> None:
        waiting, call, running = await _kept_waiting(which)
        call.clock.advance(3_000)
        assert "nothing has been done" in failed(await running, "timed_out")
        waiting.go_on.set()
        for _ in range(5):
            await asyncio.sleep(0)
        assert waiting.did == []

    asyncio.run(main())


@pytest.mark.parametrize("which", [0, 1])
def test_a_write_whose_phase_is_left_while_it_waits_is_not_begun(which: int) -> None:
    async def main() -> None:
        waiting, call, running = await _kept_waiting(which)
        call.becomes(swapping=True)
        waiting.go_on.set()
        failed(await running, "refused")
        assert waiting.did == []

    asyncio.run(main())


@pytest.mark.parametrize("which", [0, 1])
def test_a_write_that_had_to_wait_is_done_all_the_same(which: int) -> None:
    async def main() -> None:
        waiting, _, running = await _kept_waiting(which)
        waiting.go_on.set()
        assert await running == ToolFinished(ToolCallId("t1"), "paid")

    asyncio.run(main())


def test_a_credential_that_comes_after_all_though_nobody_waits_any_more_begins_nothing() -> None:
    """A broker that does not let itself be stopped: the caller was told that nothing has been done."""
    done: list[str] = []
    asked, go_on = asyncio.Event(), asyncio.Event()

    class Stubborn:
        async def token(self, **_: object) -> Mapping[str, str]:
            asked.set()
            while not go_on.is_set():
                try:
                    await go_on.wait()
                except asyncio.CancelledError:
                    go_on.set()
            return {}

    @tool(effect="write", timeout_ms=3_000, scopes="pay")
    async def pay(ctx: ToolContext) -> None:
        """Pay."""
        done.append("paid")

    async def main() -> None:
        call = Call(pay, broker=Stubborn())
        running = asyncio.ensure_future(call.run(pay))
        await asked.wait()
        call.clock.advance(3_000)
        assert "nothing has been done" in failed(await running, "timed_out")
        assert done == []

    asyncio.run(main())
