"""An event loop that is held up is noticed, and it is said by whom."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import pytest

from voiceagent import Flow, HangUpAfter, Phase, tool
from voiceagent.runtime.loop_watch import HELD_UP_MS, LoopWatch


def _compute(ms: int) -> None:
    until_s = time.monotonic() + ms / 1_000
    while time.monotonic() < until_s:
        pass


@tool
async def brood() -> str:
    """Compute for a while."""
    _compute(HELD_UP_MS + 1_000)
    return "done"


FLOW = Flow(
    name="desk",
    initial="talk",
    phases=(Phase(name="talk", tools=(brood,)), Phase(name="end", ends=HangUpAfter())),
)


def _watched(work: Callable[[], asyncio.Future[object]], caplog: pytest.LogCaptureFixture) -> list[str]:
    async def main() -> None:
        with LoopWatch((FLOW,)):
            await work()
            await asyncio.sleep(0.3)

    asyncio.run(main())
    return [record.getMessage() for record in caplog.records]


def test_a_tool_that_never_awaits_is_named(caplog: pytest.LogCaptureFixture) -> None:
    held_up, goes_on = _watched(lambda: asyncio.ensure_future(brood.run()), caplog)
    assert f"held up for more than {HELD_UP_MS} ms" in held_up
    assert f"tool brood at {__file__}:" in held_up
    assert "(_compute)" in held_up
    assert "goes on after" in goes_on


def test_whatever_else_holds_it_up_is_named_by_its_place(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        _compute(HELD_UP_MS + 1_000)

    held_up, _ = _watched(lambda: asyncio.ensure_future(work()), caplog)
    assert "tool" not in held_up
    assert f"{__file__}:" in held_up


def test_a_loop_that_goes_on_is_left_alone(caplog: pytest.LogCaptureFixture) -> None:
    assert _watched(lambda: asyncio.ensure_future(asyncio.sleep(0.8)), caplog) == []
