"""Tools that crash, hang or do not let themselves be stopped, and which of them are tried again."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from typing import Literal

import pytest

from tests.tools.tool_runs import Call, failed, run, slow_tools
from voiceagent import (
    Tool,
    ToolContext,
    ToolFailed,
    tool,
)
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import ToolCallId
from voiceagent.tools.in_time import UNWIND_WITHIN_MS

# --- when it goes wrong -----------------------------------------------------------------------------------------------


@tool
async def crash(secret: str) -> None:
    """Break."""
    raise KeyError(secret)


def test_a_crash_is_told_in_neutral_words_and_logged_without_the_arguments(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        reason = failed(run(crash, {"secret": "hunter2"}), "crashed")
    assert "hunter2" not in reason
    assert "hunter2" not in caplog.text
    assert "tool crash crashed: KeyError at" in caplog.text
    assert __file__ in caplog.text


@tool
async def cancelled_inside() -> None:
    """Await something that somebody else gave up."""
    gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    gone.cancel()
    await gone


def test_a_cancellation_from_inside_a_tool_is_a_crash_not_a_silence() -> None:
    failed(run(cancelled_inside), "crashed")


@pytest.mark.parametrize("way_out", [SystemExit(3), BaseExceptionGroup("", [SystemExit()]), BaseException()])
def test_a_tool_that_wants_to_end_the_program_has_crashed(way_out: BaseException) -> None:
    @tool
    async def leave() -> None:
        """Leave."""
        raise way_out

    failed(run(leave), "crashed")


def test_whoever_runs_the_server_is_told_of_a_tool_that_fails(caplog: pytest.LogCaptureFixture) -> None:
    @tool
    async def look() -> None:
        """Look."""
        raise ToolFailed("nobody is called Bob")

    caplog.set_level("DEBUG")
    failed(run(look), "failed")
    told, for_debugging = [record for record in caplog.records if record.name.startswith("voiceagent")]
    assert (told.levelname, told.getMessage()) == ("WARNING", "call call-1: tool look: failed")
    assert for_debugging.levelname == "DEBUG"
    assert for_debugging.getMessage() == "call call-1: tool look: nobody is called Bob"


class _Stubborn:
    """Work that catches every cancellation."""

    def __init__(self) -> None:
        self.started = asyncio.Event()
        self.go_on = asyncio.Event()
        self.over = False

    async def work(self) -> None:
        self.started.set()
        try:
            while not self.go_on.is_set():
                with contextlib.suppress(asyncio.CancelledError):
                    await self.go_on.wait()
        finally:
            self.over = True


@pytest.mark.parametrize(("effect", "kind"), [("read", "timed_out"), ("write", "unknown")])
@pytest.mark.parametrize("gives_in", [True, False])
def test_a_tool_that_does_not_let_itself_be_stopped_is_out_of_time_all_the_same(
    effect: Literal["read", "write"], kind: str, gives_in: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        stubborn = _Stubborn()

        @tool(timeout_ms=5_000, effect=effect)
        async def look() -> None:
            """Look."""
            await stubborn.work()

        call = Call(look)
        running = asyncio.ensure_future(call.run(look))
        await stubborn.started.wait()
        call.clock.advance(5_000)
        for _ in range(5):
            await asyncio.sleep(0)
        call.clock.advance(UNWIND_WITHIN_MS)
        failed(await running, kind)
        assert call.executor.running.left_running == 1
        assert not stubborn.over
        if gives_in:
            stubborn.go_on.set()
            await asyncio.sleep(0)
        await call.executor.close()
        assert stubborn.over
        assert call.executor.running.left_running == 0
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(main())
    assert "tool look does not let itself be stopped" in caplog.text


@pytest.mark.parametrize(("which", "kind"), [(0, "timed_out"), (1, "unknown"), (2, "unknown")])
def test_a_read_out_of_time_has_failed_and_of_a_write_nobody_knows(which: int, kind: str) -> None:
    async def main() -> None:
        slow, *tools = slow_tools()
        call = Call(*tools)
        running = asyncio.ensure_future(call.run(tools[which]))
        await slow.started.wait()
        call.clock.advance(4_999)
        assert not slow.ended
        call.clock.advance(1)
        failed(await running, kind)
        assert slow.ended == ["cancelled"]
        assert call.clock.next_ms is None

    asyncio.run(main())


def test_a_cancelled_read_stops() -> None:
    async def main() -> None:
        slow, *tools = slow_tools()
        call = Call(*tools)
        running = asyncio.ensure_future(call.run(tools[0]))
        await slow.started.wait()
        running.cancel()
        await asyncio.wait([running])
        assert running.cancelled()
        assert slow.ended == ["cancelled"]
        assert call.clock.next_ms is None

    asyncio.run(main())


@pytest.mark.parametrize("which", [1, 2])
def test_a_cancelled_write_goes_on_to_its_end_and_says_what_came_of_it(which: int) -> None:
    async def main() -> None:
        slow, *tools = slow_tools()
        call = Call(*tools)
        running = asyncio.ensure_future(call.run(tools[which]))
        await slow.started.wait()
        for _ in range(3):
            running.cancel()
            await asyncio.sleep(0)
        slow.go_on.set()
        assert await running == ToolFinished(ToolCallId("t1"), "done")
        assert slow.ended == ["finished"]

    asyncio.run(main())


def test_of_a_write_that_crashes_nobody_knows_what_it_has_done() -> None:
    @tool(effect="write")
    async def pay() -> None:
        """Pay."""
        raise KeyError("receipt")

    assert "not known" in failed(run(pay), "unknown")


# --- retries ----------------------------------------------------------------------------------------------------------


def _flaky(failures: int, error: Callable[[], Exception], retries: int) -> tuple[list[int], Tool]:
    attempts: list[int] = []

    @tool(retries=retries)
    async def flaky(ctx: ToolContext) -> str:
        """Fail a few times."""
        attempts.append(ctx.now_ms)
        if len(attempts) <= failures:
            raise error()
        return "ok"

    return attempts, flaky


def test_a_read_is_tried_again_after_a_growing_pause() -> None:
    async def main() -> None:
        attempts, flaky = _flaky(2, lambda: KeyError("x"), retries=2)
        call = Call(flaky)
        running = asyncio.ensure_future(call.run(flaky))
        for pause_ms in (200, 400):
            await call.clock.until_waiting(2)  # its deadline and its pause
            call.clock.advance(pause_ms)
        assert await running == ToolFinished(ToolCallId("t1"), "ok")
        assert attempts == [1_000, 1_200, 1_600]

    asyncio.run(main())


def test_a_tool_that_said_no_is_not_asked_again() -> None:
    attempts, flaky = _flaky(1, lambda: ToolFailed("there is no such account"), retries=3)
    assert failed(run(flaky), "failed") == "there is no such account"
    assert len(attempts) == 1


def test_all_attempts_share_one_deadline() -> None:
    async def main() -> None:
        attempts, flaky = _flaky(99, lambda: KeyError("x"), retries=9)
        call = Call(flaky)
        running = asyncio.ensure_future(call.run(flaky))
        while not running.done():
            await call.clock.until_waiting(2)
            call.clock.advance((call.clock.next_ms or 0) - call.clock.now_ms())
            if call.clock.now_ms() == 11_000:
                break
        failed(await running, "timed_out")
        assert 6 <= len(attempts) <= 8

    asyncio.run(main())
