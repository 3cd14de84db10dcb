"""Fault 5: a tool hangs, or its service answers 500, garbage or ten megabytes: the model is told, but no body."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.tools.conftest import http_library
from tests.tools.tool_runs import Call, failed, to_service
from voiceagent import ToolContext, tool
from voiceagent.core.events import ToolFailed as ToolCallFailed
from voiceagent.core.events import ToolFinished

__all__ = ["http_library"]

CANARY = "canary-7141"
TEN_MB = 10 * 1024 * 1024


@tool(retries=1, timeout_ms=5_000)
async def accounts(ctx: ToolContext) -> dict[str, object]:
    """Ask the service."""
    return (await ctx.http.get("/accounts")).json()


@asynccontextmanager
async def service(
    status: int, body: bytes, *, head: str = "", hangs: bool = False
) -> AsyncIterator[tuple[str, list[int]]]:
    """Serve one answer to everything; yields the address, and how much of each body could be sent."""
    sent: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await reader.readuntil(b"\r\n\r\n"):
                if hangs:
                    await reader.read()
                sent.append(0)
                writer.write(f"HTTP/1.1 {status} X\r\n{head}content-length: {len(body)}\r\n\r\n".encode())
                for begin in range(0, len(body), 65_536):
                    writer.write(body[begin : begin + 65_536])
                    await writer.drain()
                    sent[-1] = begin + 65_536
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", sent


def outcome_of(each: Any, status: int, body: bytes, *, key: str | None = None, **more: Any) -> tuple[Any, list[int]]:
    """Run a tool whose service answers like this; all pauses and time-outs are over at once."""

    async def main() -> tuple[Any, list[int]]:
        async with service(status, body, **more) as (url, sent):
            call = Call(accounts, to_service, service_url=url)
            running = asyncio.ensure_future(call.run(each, key=key) if key else call.run(each))
            async with asyncio.timeout(20):
                while not running.done():
                    await asyncio.sleep(0.02)
                    call.clock.advance(200)
            await call.pool.close()
            return await running, sent

    return asyncio.run(main())


@pytest.mark.parametrize(
    ("status", "body"),
    [(200, f"<html>{CANARY}".encode()), (500, f"Traceback {CANARY}".encode()), (200, b"\xff\xfe" + CANARY.encode())],
    ids=["garbage", "500", "no text"],
)
def test_garbage_fails_the_tool_and_none_of_it_reaches_the_model(status: int, body: bytes) -> None:
    outcome, sent = outcome_of(accounts, status, body)
    assert CANARY not in failed(outcome, "crashed")
    assert len(sent) == 2, "a read is tried again"


def test_ten_megabytes_are_not_read_to_their_end() -> None:
    body = json.dumps({CANARY: "x" * TEN_MB}).encode()
    outcome, sent = outcome_of(accounts, 200, body, head="content-type: application/json\r\n")
    reason = failed(outcome, "failed")
    assert "more than can be read" in reason
    assert CANARY not in reason
    assert max(sent) < TEN_MB


def test_a_write_whose_answer_is_too_long_may_have_been_done_and_is_not_repeated() -> None:
    outcome, sent = outcome_of(to_service, 200, b"x" * TEN_MB, key="call-1:t1")
    assert "not known" in failed(outcome, "unknown")
    assert len(sent) == 1


def test_a_result_that_fits_is_read() -> None:
    outcome, _ = outcome_of(accounts, 200, json.dumps({"accounts": ["x" * 30_000]}).encode())
    assert isinstance(outcome, ToolFinished)


def test_a_service_that_hangs_is_given_up_in_time() -> None:
    outcome, _ = outcome_of(accounts, 200, b"", hangs=True)
    assert isinstance(outcome, ToolCallFailed)
    assert outcome.kind == "timed_out"
