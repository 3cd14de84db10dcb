"""An event loop that is held up is noticed, and it is said by whom."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator

import pytest

from voiceagent import Flow, HangUpAfter, Phase, tool
from voiceagent.runtime.loop_watch import HELD_UP_MS, LoopWatch

told: list[str] = []
"""What the watch has said so far in this test."""


class Ear(logging.Handler):
    """Hears what the watch says, on the watch's own thread, and lets whoever waits for it go on."""

    def __init__(self) -> None:
        super().__init__()
        self.waiting: Callable[[], object] = lambda: None

    def emit(self, record: logging.LogRecord) -> None:
        told.append(record.getMessage())
        self.waiting()


@pytest.fixture
def ear() -> Iterator[Ear]:
    told.clear()
    ear, log = Ear(), logging.getLogger("voiceagent.runtime.loop_watch")
    log.addHandler(ear)
    yield ear
    log.removeHandler(ear)


def compute_until_told() -> None:
    while not told:
        pass


@tool
async def brood() -> str:
    """Compute until somebody complains."""
    compute_until_told()
    return "done"


FLOW = Flow(
    name="desk",
    initial="talk",
    phases=(Phase(name="talk", tools=(brood,)), Phase(name="end", ends=HangUpAfter())),
)


def watched(ear: Ear, work: Callable[[], Awaitable[object]]) -> list[str]:
    """Do something on a loop that is watched, and wait until the watch has said that it goes on."""

    async def main() -> None:
        loop, twice = asyncio.get_running_loop(), asyncio.Event()
        ear.waiting = lambda: len(told) == 2 and loop.call_soon_threadsafe(twice.set)
        with LoopWatch((FLOW,)):
            await work()
            await twice.wait()

    asyncio.run(main())
    return told


def test_a_tool_that_never_awaits_is_named(ear: Ear) -> None:
    held_up, goes_on = watched(ear, brood.run)
    assert f"held up for more than {HELD_UP_MS} ms" in held_up
    assert f"tool brood at {__file__}:" in held_up
    innermost, outer, *_ = held_up.partition(", in ")[2].split(" < ")
    assert innermost.endswith("(compute_until_told)")
    assert outer.endswith("(brood)")
    assert "\n" not in held_up
    assert "goes on after" in goes_on


def test_whatever_else_holds_it_up_is_named_by_its_place(ear: Ear) -> None:
    async def work() -> None:
        compute_until_told()

    held_up, _ = watched(ear, work)
    assert "tool" not in held_up
    assert f"{__file__}:" in held_up


@pytest.mark.parametrize(("every_s", "reports"), [(3_600.0, 1), (0.0, 3)])
def test_who_holds_it_up_all_the_time_is_not_told_of_all_the_time(ear: Ear, every_s: float, reports: int) -> None:
    async def main() -> list[str]:
        with LoopWatch((FLOW,), reported_every_s=every_s) as watch:
            for number in range(3):
                seen = watch.seen
                while watch.seen == seen:
                    pass
                assert watch.seen == number + 1
                await asyncio.sleep(0.1)
        return [line for line in told if "held up" in line]

    assert len(asyncio.run(main())) == reports


def test_a_report_says_how_often_it_was_left_out(ear: Ear) -> None:
    watch = LoopWatch((FLOW,), reported_every_s=0.0)
    watch._unreported = 7
    watch._report(None)
    assert "(7 times more since the last report): nobody knows where" in told[-1]


@pytest.mark.usefixtures("ear")
def test_a_loop_that_goes_on_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> int:
        loop, enough = asyncio.get_running_loop(), asyncio.Event()
        knocks: list[int] = []
        hand_over = loop.call_soon_threadsafe

        def knock(open_the_door: Callable[[], object]) -> asyncio.Handle:
            knocks.append(len(knocks))
            if len(knocks) == 3:
                hand_over(enough.set)
            return hand_over(open_the_door)

        monkeypatch.setattr(loop, "call_soon_threadsafe", knock)
        with LoopWatch((FLOW,)):
            await enough.wait()
        return len(knocks)

    assert asyncio.run(main()) == 3, "the watch has had two answers before it knocked again"
    assert told == []
