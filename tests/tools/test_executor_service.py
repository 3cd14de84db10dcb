"""Tools and the service they ask."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import JsonValue

from tests.tools.tool_runs import Call, failed, to_service
from voiceagent import (
    ToolContext,
    ToolFailed,
    tool,
)
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import ToolCallId
from voiceagent.tools.credentials import EnvironmentCredential


@tool(scopes="accounts:read", retries=1)
async def from_service(ctx: ToolContext) -> JsonValue:
    """Ask the service."""
    return (await ctx.http.get("/accounts")).json()


def test_a_tool_asks_its_service_with_the_credential_of_its_scopes(serve) -> None:
    async def answer(request):
        return 200, {"authorization": request.headers["authorization"]}

    async def main() -> None:
        async with serve(answer) as service:
            call = Call(
                from_service, service_url=service.url, broker=EnvironmentCredential("BANK_KEY", {"BANK_KEY": "t"})
            )
            outcome = await call.run(from_service)
            assert outcome == ToolFinished(ToolCallId("t1"), {"authorization": "Bearer t"})
            await call.pool.close()

    asyncio.run(main())


def test_a_read_whose_service_hung_up_is_tried_again_and_a_write_is_unknown(serve) -> None:
    async def answer(request):
        return None

    async def main() -> None:
        async with serve(answer) as service:
            call = Call(from_service, to_service, service_url=service.url)
            reading = asyncio.ensure_future(call.run(from_service))
            await call.clock.until_waiting(2)
            call.clock.advance(200)
            assert "cannot be reached" in failed(await reading, "failed")
            assert len(service.seen) == 2
            assert "not known" in failed(await call.run(to_service, key="call-1:t1"), "unknown")
            assert len(service.seen) == 3
            assert service.seen[2].headers["idempotency-key"] == "call-1:t1"
        assert "cannot be reached" in failed(await call.run(to_service, key="call-1:t1"), "failed")
        await call.pool.close()

    asyncio.run(main())


def test_a_request_under_way_ends_with_the_run(serve) -> None:
    async def main() -> None:
        arrived = asyncio.Event()

        async def never(request):
            arrived.set()
            await asyncio.get_running_loop().create_future()

        async with serve(never) as service:
            call = Call(from_service, service_url=service.url)
            running = asyncio.ensure_future(call.run(from_service))
            await arrived.wait()
            call.clock.advance(10_000)
            failed(await running, "timed_out")
            await call.pool.close()

    asyncio.run(main())


KEY = "k-4242-canary"


@tool(effect="write", scopes="transfers:write")
async def repeats(ctx: ToolContext, how: str) -> JsonValue:
    """Tell the service, and say what it has answered, whatever that is."""
    answer = await ctx.http.post("/")
    if how == "fails":
        raise ToolFailed(f"the service says {answer.text}")
    return {"answer": [answer.json(), answer.text], answer.text: 7}


@pytest.mark.parametrize("how", ["returns", "fails"])
def test_e2_a_credential_that_a_service_repeats_is_in_neither_the_result_nor_the_failure(serve, how) -> None:
    async def answer(request):
        return 500, {"you sent": request.headers["x-key"], "and": f"<{request.headers['x-key']}>"}

    class Broker:
        async def token(self, **_: object) -> dict[str, str]:
            return {"X-Key": f"Token {KEY}"}

    async def main() -> None:
        async with serve(answer) as service:
            call = Call(repeats, service_url=service.url, broker=Broker())
            outcome = await call.run(repeats, {"how": how}, key="call-1:t1")
            assert service.seen
            assert KEY not in str(outcome)
            assert str(outcome).count("⟨credential⟩") >= 2
            await call.pool.close()

    asyncio.run(main())
