"""Plain functions as tools: they run in threads, so that one that blocks holds up nobody else."""

from __future__ import annotations

import asyncio
import threading
import time
from contextvars import ContextVar

import pytest

from tests.tools.tool_runs import Call, failed
from voiceagent import ToolContext, tool
from voiceagent.core.events import ToolFinished
from voiceagent.tools.threads import ToolThreads


def test_a_plain_function_runs_beside_the_event_loop_with_its_arguments_and_its_context() -> None:
    ran_in: list[str] = []

    @tool
    def look(title: str, ctx: ToolContext) -> str:
        """Look."""
        ran_in.append(threading.current_thread().name)
        return f"{title} for {ctx.call}"

    async def main() -> None:
        outcome = await Call(look).run(look, {"title": "Emma"})
        assert isinstance(outcome, ToolFinished)
        assert outcome.result == "Emma for call-1"

    asyncio.run(main())
    assert ran_in == ["call call-1: tool look"]


def test_it_runs_in_the_context_of_its_call() -> None:
    whose = ContextVar("whose", default="nobody's")

    async def main() -> None:
        whose.set("call-1's")
        assert await ToolThreads().run(lambda: whose.get, name="work") == "call-1's"

    asyncio.run(main())


@pytest.mark.parametrize("problem", [RuntimeError("a secret"), StopIteration(), SystemExit(3), KeyboardInterrupt()])
def test_one_that_crashes_is_told_like_any_other(problem: BaseException) -> None:
    @tool
    def look() -> str:
        """Look."""
        raise problem

    async def main() -> None:
        assert "secret" not in failed(await Call(look).run(look), "crashed")

    asyncio.run(main())


@pytest.mark.parametrize("effect", ["read", "write"])
def test_one_that_does_not_end_is_left_behind_when_its_time_is_up_and_that_is_said(
    effect: str, caplog: pytest.LogCaptureFixture
) -> None:
    go_on, begun = threading.Event(), threading.Event()

    @tool(effect=effect, timeout_ms=2_000)  # pyright: ignore[reportArgumentType] - one of those there are
    def hang() -> str:
        """Hang."""
        begun.set()
        go_on.wait(20)
        return "at last"

    async def main() -> None:
        call = Call(hang)
        running = asyncio.ensure_future(call.run(hang))
        assert await asyncio.to_thread(begun.wait, 10)
        call.clock.advance(2_000)
        failed(await running, "timed_out" if effect == "read" else "unknown")
        assert call.executor.threads.left_running == 1
        assert "goes on in its thread" in caplog.text
        go_on.set()
        while call.executor.threads.left_running:  # noqa: ASYNC110 - its end has no event
            await asyncio.sleep(0.001)

    asyncio.run(main())


def test_only_so_many_run_at_one_time_and_the_others_wait_their_turn() -> None:
    async def main() -> None:
        threads = ToolThreads(most=2)
        running, most = 0, 0
        lock = threading.Lock()

        def work() -> None:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
            time.sleep(0.01)
            with lock:
                running -= 1

        await asyncio.gather(*(threads.run(lambda: work, name="work") for _ in range(6)))
        assert most <= 2

    asyncio.run(main())
