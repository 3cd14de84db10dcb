"""An event loop that is held up is noticed, and it is said by whom."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NoReturn

import pytest

from voiceagent import Flow, HangUpAfter, Phase, tool
from voiceagent.runtime import loop_watch
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


def test_what_lets_no_thread_look_meanwhile_is_named_all_the_same(ear: Ear) -> None:
    async def work() -> None:
        sum(range(60_000_000))  # one call of C's, which keeps Python's lock

    held_up, goes_on = watched(ear, work)
    assert f"{__file__}:" in held_up
    assert "goes on after" in goes_on


@pytest.mark.parametrize("every_s", [3_600.0, 0.0])
def test_who_holds_it_up_all_the_time_is_not_told_of_all_the_time(ear: Ear, every_s: float) -> None:
    async def main() -> tuple[int, int]:
        with LoopWatch((FLOW,), reported_every_s=every_s) as watch:
            for _ in range(3):
                seen = watch.seen
                while watch.seen == seen:
                    pass
                await asyncio.sleep(0.1)
        return watch.seen, sum("held up" in line for line in told)

    seen, reports = asyncio.run(main())
    assert seen >= 3, "more where this machine has held it up as well"
    assert reports == (1 if every_s else seen)


def test_a_report_says_how_often_it_was_left_out(ear: Ear) -> None:
    watch = LoopWatch((FLOW,), reported_every_s=0.0)
    watch._unreported = 7
    watch._report(watch._where(None))
    assert "(7 times more since the last report): nobody knows where" in told[-1]


def test_the_loop_is_woken_by_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        loop, enough = asyncio.get_running_loop(), asyncio.Event()
        call_later = loop.call_later
        notes: list[asyncio.TimerHandle] = []

        def noted(delay: float, note: Callable[..., object], *args: Any) -> asyncio.TimerHandle:
            notes.append(call_later(delay, note, *args))
            if len(notes) == 5:
                enough.set()
            return notes[-1]

        def woken(*_: object, **__: object) -> NoReturn:
            raise AssertionError("the loop's thread is woken by another")

        monkeypatch.setattr(loop, "call_later", noted)
        monkeypatch.setattr(loop, "call_soon_threadsafe", woken)
        with LoopWatch((FLOW,)):
            await enough.wait()
        monkeypatch.undo()
        assert notes[-1].cancelled(), "nothing is noted for a watch that is over"

    asyncio.run(main())


# --- on a virtual clock ----------------------------------------------------------------------------------------------

_BEGAN_S = 1_000.0


class Loop:
    """A loop that notes the time when it should, unless it is held up or the whole process stands still."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.watch = LoopWatch((FLOW,))
        self.looks = 0
        self._now_s = _BEGAN_S
        self._noting_s = _BEGAN_S
        self._held_up = self._stopped = (0.0, 0.0)
        self._had_s = self._computes_s = 0.0
        """Processor time that the loop's thread has had, and that it takes for what holds it up."""
        self._ends_s = _BEGAN_S
        monkeypatch.setattr(loop_watch, "time", self)
        monkeypatch.setattr(self.watch, "_stop", self)

    def is_held_up(self, *, at_ms: float, for_ms: float) -> None:
        self._held_up = _from_to(at_ms, for_ms)

    def is_held_up_by_what_lets_no_thread_look(self, *, at_ms: float, for_ms: float, follows_ms: float) -> None:
        self._stopped = _from_to(at_ms, for_ms)
        self._held_up = _from_to(at_ms, for_ms + follows_ms)
        self._computes_s = for_ms / 1_000

    def is_stopped_with_all_threads(self, *, at_ms: float, for_ms: float, follows_ms: float) -> None:
        """The watch goes on at once, the loop so much later: who wakes a process wakes its threads in any order."""
        self._stopped = _from_to(at_ms, for_ms)
        self._held_up = _from_to(at_ms, for_ms + follows_ms)

    def runs(self, *, for_ms: float) -> int:
        """Run so long, and return how often the watch has seen it held up."""
        self._ends_s = self._now_s + for_ms / 1_000
        self._note_until(self._now_s)
        self.watch._watch(threading.get_ident())
        return self.watch.seen

    def monotonic(self) -> float:
        return self._now_s

    def thread_time(self) -> float:
        return self._had_s

    def wait(self, timeout: float) -> bool:
        """Let the watch sleep for so long; whether the watch is over."""
        self.looks += 1
        # Nobody is woken to the instant.
        self._now_s = _after(self._stopped, self._now_s + timeout + 0.0001)
        self._note_until(self._now_s)
        return self._now_s >= self._ends_s

    def _note_until(self, until_s: float) -> None:
        while (noted_s := _after(self._held_up, self._noting_s)) <= until_s:
            self._had_s += 0.001
            if noted_s != self._noting_s:
                self._had_s += self._computes_s
            self.watch._noted = (noted_s, self._had_s)
            self._noting_s = noted_s + 0.0505


def _from_to(at_ms: float, for_ms: float) -> tuple[float, float]:
    return _BEGAN_S + at_ms / 1_000, _BEGAN_S + (at_ms + for_ms) / 1_000


def _after(span: tuple[float, float], at_s: float) -> float:
    begins_s, ends_s = span
    return ends_s if begins_s <= at_s < ends_s else at_s


def test_a_loop_that_goes_on_is_left_alone_and_looked_at_ten_times_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = Loop(monkeypatch)
    assert loop.runs(for_ms=60_000) == 0
    assert loop.looks <= 10 * 60


@pytest.mark.usefixtures("ear")
@pytest.mark.parametrize("at_ms", range(1_000, 1_102, 3))
@pytest.mark.parametrize(("for_ms", "seen"), [(HELD_UP_MS - 1, 0), (HELD_UP_MS + 52, 1), (3_000, 1)])
def test_whenever_it_begins_it_is_noticed_in_time(
    monkeypatch: pytest.MonkeyPatch, at_ms: int, for_ms: int, seen: int
) -> None:
    loop = Loop(monkeypatch)
    loop.is_held_up(at_ms=at_ms, for_ms=for_ms)
    assert loop.runs(for_ms=5_000) == seen
    assert sum("goes on after" in line for line in told) == seen


@pytest.mark.usefixtures("ear")
@pytest.mark.parametrize("at_ms", range(1_000, 1_102, 3))
@pytest.mark.parametrize(("for_ms", "follows_ms"), [(110, 5), (130, 5), (150, 5), (170, 5), (3_000, 90)])
def test_a_process_that_stood_still_is_not_its_loop_held_up(
    monkeypatch: pytest.MonkeyPatch, at_ms: int, for_ms: int, follows_ms: int
) -> None:
    loop = Loop(monkeypatch)
    loop.is_stopped_with_all_threads(at_ms=at_ms, for_ms=for_ms, follows_ms=follows_ms)
    assert loop.runs(for_ms=5_000) == 0


@pytest.mark.usefixtures("ear")
@pytest.mark.parametrize("at_ms", range(1_000, 1_102, 3))
@pytest.mark.parametrize(("for_ms", "follows_ms"), [(200, 5), (3_000, 90)])
def test_what_keeps_the_lock_of_all_threads_is_the_loop_held_up(
    monkeypatch: pytest.MonkeyPatch, at_ms: int, for_ms: int, follows_ms: int
) -> None:
    loop = Loop(monkeypatch)
    loop.is_held_up_by_what_lets_no_thread_look(at_ms=at_ms, for_ms=for_ms, follows_ms=follows_ms)
    assert loop.runs(for_ms=5_000) == 1
    assert sum("goes on after" in line for line in told) == 1
