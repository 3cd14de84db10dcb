"""A write of several requests: what the last one comes to says nothing about those before it."""

from __future__ import annotations

import asyncio
from typing import Literal

import pytest

from tests.tools.tool_runs import Call, failed, first_look
from voiceagent import Tool, ToolContext, tool
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import ToolCallId
from voiceagent.tools.service import ServiceUnreachable

NOWHERE = "http://no-such-host.invalid"
IN_THE_HOUSE = "http://127.0.0.1:9"
COMES_TO_NOTHING = [NOWHERE, IN_THE_HOUSE, "http://undeclared.example", "/../admin"]
"""Nobody is there; it is not let out; it is not declared; it leaves the service."""
EGRESS = ("GET,POST service", f"GET,POST {NOWHERE}", f"GET,POST {IN_THE_HOUSE}")


async def _taken(request: object) -> tuple[int, object]:
    return 200, {}


def _asks(*requests: tuple[str, str], effect: Literal["read", "write"] = "write", looks_up: bool = False) -> Tool:
    """A tool that makes these requests, one after the other."""

    async def made(ctx: ToolContext) -> object:
        return {"done": ctx.idempotency_key}

    @tool(effect=effect, egress=EGRESS, reconcile=made if looks_up else None)
    async def several(ctx: ToolContext) -> str:
        """Ask several times."""
        for method, where in requests:
            await ctx.http.request(method, where)
        return "all of it"

    return several


@pytest.mark.parametrize("then", COMES_TO_NOTHING)
def test_a_write_whose_last_request_came_to_nothing_may_have_been_done_by_the_first(serve, then: str) -> None:
    async def main() -> None:
        async with serve(_taken) as service:
            several = _asks(("POST", "/transfers"), ("GET", then))
            call = Call(several, service_url=service.url)
            failed(await call.run(several, key="call-1:1"), "unknown")
            await call.pool.close()

    asyncio.run(main())


def test_and_it_is_looked_up_and_told_as_done(serve) -> None:
    async def main() -> None:
        async with serve(_taken) as service:
            several = _asks(("POST", "/transfers"), ("GET", NOWHERE), looks_up=True)
            call = Call(several, service_url=service.url)
            running = asyncio.ensure_future(call.run(several, key="call-1:1"))
            await first_look(call, running)
            assert await running == ToolFinished(ToolCallId("t1"), {"done": "call-1:1"})
            await call.pool.close()

    asyncio.run(main())


@pytest.mark.parametrize("then", COMES_TO_NOTHING)
@pytest.mark.parametrize("before", [("GET", "/balance"), ("HEAD", "/balance")])
def test_a_write_that_has_only_read_has_done_nothing(serve, before: tuple[str, str], then: str) -> None:
    async def main() -> None:
        async with serve(_taken) as service:
            several = _asks(before, ("POST", then))
            call = Call(several, service_url=service.url)
            failed(await call.run(several, key="call-1:1"), "failed")
            await call.pool.close()

    asyncio.run(main())


def test_what_has_not_arrived_is_no_write(serve) -> None:
    async def main() -> None:
        async with serve(_taken) as service:

            @tool(effect="write", egress=EGRESS)
            async def several(ctx: ToolContext) -> None:
                """Ask two that are not there."""
                with pytest.raises(ServiceUnreachable):
                    await ctx.http.post(NOWHERE)
                await ctx.http.get(NOWHERE)

            call = Call(several, service_url=service.url)
            failed(await call.run(several, key="call-1:1"), "failed")
            await call.pool.close()

    asyncio.run(main())


def test_a_request_that_is_still_under_way_may_have_been_taken(serve) -> None:
    arrived = asyncio.Event()

    async def never(request: object) -> None:
        arrived.set()
        await asyncio.get_running_loop().create_future()

    @tool(effect="write", egress=EGRESS)
    async def side_by_side(ctx: ToolContext) -> None:
        """Do one thing and ask for another."""
        writing = asyncio.ensure_future(ctx.http.post("/transfers"))
        await arrived.wait()
        try:
            await ctx.http.get(NOWHERE)
        finally:
            writing.cancel()

    async def main() -> None:
        async with serve(never) as service:
            call = Call(side_by_side, service_url=service.url)
            failed(await call.run(side_by_side, key="call-1:1"), "unknown")
            await call.pool.close()

    asyncio.run(main())


def test_a_read_that_may_post_has_failed(serve) -> None:
    async def main() -> None:
        async with serve(_taken) as service:
            several = _asks(("POST", "/search"), ("GET", IN_THE_HOUSE), effect="read")
            call = Call(several, service_url=service.url)
            failed(await call.run(several), "failed")
            await call.pool.close()

    asyncio.run(main())
