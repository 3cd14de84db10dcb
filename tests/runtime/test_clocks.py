"""The clock of a server and the clock of a test."""

from __future__ import annotations

import asyncio

from voiceagent.ports import Clock
from voiceagent.runtime.clock import SystemClock
from voiceagent.testing.manual_clock import ManualClock


def test_the_system_clock_never_rings_before_its_time() -> None:
    async def ring() -> list[tuple[int, int]]:
        clock: Clock = SystemClock()
        rung: list[tuple[int, int]] = []
        done = asyncio.Event()
        begun_ms = clock.now_ms()
        for after_ms in range(1, 21):
            at_ms = begun_ms + after_ms
            clock.call_at(at_ms, lambda at_ms=at_ms: rung.append((at_ms, clock.now_ms())))
        clock.call_at(begun_ms + 21, done.set)
        await done.wait()
        return rung

    rung = asyncio.run(ring())
    assert len(rung) == 20
    assert all(now_ms >= at_ms for at_ms, now_ms in rung)


def test_an_instant_that_has_passed_rings_at_once_and_a_cancelled_one_never() -> None:
    async def ring() -> list[str]:
        clock = SystemClock()
        rung: list[str] = []
        done = asyncio.Event()
        cancel = clock.call_at(clock.now_ms() - 5, lambda: rung.append("cancelled"))
        cancel()
        clock.call_at(clock.now_ms() - 5, lambda: rung.append("late"))
        clock.call_at(clock.now_ms() + 2, done.set)
        await done.wait()
        return rung

    assert asyncio.run(ring()) == ["late"]


def test_a_manual_clock_rings_in_the_order_of_the_instants() -> None:
    clock = ManualClock(1_000)
    rung: list[tuple[str, int]] = []

    def first() -> None:
        rung.append(("first", clock.now_ms()))
        clock.call_at(1_150, lambda: rung.append(("set meanwhile", clock.now_ms())))

    clock.call_at(1_200, lambda: rung.append(("later", clock.now_ms())))
    clock.call_at(1_100, first)
    clock.call_at(1_200, lambda: rung.append(("later still", clock.now_ms())))
    clock.call_at(1_201, lambda: rung.append(("too late", clock.now_ms())))
    clock.call_at(1_120, lambda: rung.append(("cancelled", clock.now_ms())))()
    clock.advance(200)
    assert rung == [("first", 1_100), ("set meanwhile", 1_150), ("later", 1_200), ("later still", 1_200)]
    assert clock.next_ms == 1_201
    assert clock.unix_ms() - ManualClock(0).unix_ms() == 200


def test_a_manual_clock_wakes_who_sleeps() -> None:
    async def sleep() -> None:
        clock: Clock = ManualClock()
        assert isinstance(clock, ManualClock)
        sleeper = asyncio.create_task(clock.sleep(50))
        await clock.until_waiting()
        clock.advance(49)
        assert clock.next_ms == 50
        clock.advance(1)
        await sleeper
        assert clock.next_ms is None

    asyncio.run(sleep())


def test_a_sleeper_who_is_cancelled_leaves_no_alarm() -> None:
    async def sleep() -> None:
        clock = ManualClock()
        sleeper = asyncio.create_task(clock.sleep(50))
        await clock.until_waiting()
        sleeper.cancel()
        await asyncio.wait([sleeper])
        assert clock.next_ms is None

    asyncio.run(sleep())
