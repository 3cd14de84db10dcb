"""The same run with other things late: races come to light, become small, and can be seen again."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from voiceagent.testing.arrivals import Arrivals, ArrivalsFailed, explore
from voiceagent.testing.virtual_loop import run_virtual


async def arrivals(count: int = 30) -> list[int]:
    """Return the order in which things that are due a millisecond after each other arrive."""
    order: list[int] = []

    async def arrive(number: int) -> None:
        await asyncio.sleep(number / 1_000)
        order.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(count):
            tasks.create_task(arrive(number))
    return order


async def pay_after_noise() -> None:
    """A race among much else that is going on: the answer has to come before the question is withdrawn."""
    answered = withdrawn = False

    async def answer() -> None:
        nonlocal answered
        await asyncio.sleep(1.005)
        assert not withdrawn, "the answer found nobody"
        answered = True

    async def withdraw() -> None:
        nonlocal withdrawn
        await asyncio.sleep(1.012)
        withdrawn = True

    await asyncio.gather(arrivals(40), answer(), arrivals(40), withdraw(), arrivals(40))
    assert answered


def of(main: Any) -> Any:
    def run(schedule: Arrivals) -> object:
        coroutine: Coroutine[Any, Any, object] = main()
        return run_virtual(coroutine, schedule=schedule)

    return run


def test_without_a_seed_everything_is_on_time() -> None:
    assert run_virtual(arrivals(), schedule=Arrivals()) == list(range(30))


def test_a_seed_is_an_order_and_always_the_same_one() -> None:
    orders = [tuple(run_virtual(arrivals(), schedule=Arrivals(seed))) for seed in (1, 2, 3, 1, 2, 3)]
    assert orders[:3] == orders[3:]
    assert len({*orders, tuple(range(30))}) == 4


def test_what_is_further_apart_than_the_window_keeps_its_order() -> None:
    async def far_apart() -> list[int]:
        order: list[int] = []
        for name in (2, 1, 3):
            asyncio.get_running_loop().call_later(name * 0.021, order.append, name)
        await asyncio.sleep(1)
        return order

    async def in_order() -> None:
        assert await far_apart() == [1, 2, 3]

    explore(of(in_order), schedules=50)


def test_nothing_comes_before_it_is_due_or_later_than_the_window() -> None:
    async def punctual() -> list[float]:
        loop, late = asyncio.get_running_loop(), list[float]()
        for number in range(100):
            due = number / 100
            loop.call_at(due, lambda due=due: late.append(loop.time() - due))
        await asyncio.sleep(2)
        return late

    late = run_virtual(punctual(), schedule=Arrivals(7, window_ms=5))
    assert len(late) == 100
    assert min(late) >= -1e-9
    assert 0.001 < max(late) <= 0.005 + 1e-6


def test_the_order_of_what_is_called_soon_is_asyncios_promise_and_stays() -> None:
    async def soon() -> list[int]:
        order: list[int] = []
        for number in range(50):
            asyncio.get_running_loop().call_soon(order.append, number)
        await asyncio.sleep(1)
        return order

    assert run_virtual(soon(), schedule=Arrivals(3)) == list(range(50))


def test_what_is_cancelled_while_it_is_late_does_not_come() -> None:
    async def called_off() -> list[int]:
        came: list[int] = []
        loop = asyncio.get_running_loop()
        timers = [loop.call_at(0.1, came.append, number) for number in range(60)]
        loop.call_at(0.1, lambda: [timer.cancel() for timer in timers])
        await asyncio.sleep(1)
        return came

    came = [len(run_virtual(called_off(), schedule=Arrivals(seed))) for seed in range(1, 20)]
    assert min(came) < 60


def test_what_holds_in_every_order_passes() -> None:
    async def sound() -> None:
        assert sorted(await arrivals()) == list(range(30))

    explore(of(sound), schedules=50)


def test_a_race_is_found_and_only_what_makes_it_is_left() -> None:
    with pytest.raises(ArrivalsFailed, match="the answer found nobody") as failed:
        explore(of(pay_after_noise))
    (late,) = failed.value.schedule.late
    assert late.due_ms == 1_005
    assert late.late_us >= 7_000
    assert "pay_after_noise.<locals>.answer" in str(failed.value)
    assert "schedule " in str(failed.value)


def test_what_was_printed_fails_again_when_it_is_run_again() -> None:
    with pytest.raises(ArrivalsFailed) as failed:
        explore(of(pay_after_noise))
    printed = str(failed.value).rpartition("run it again with ")[2]
    again = eval(printed, {"Arrivals": Arrivals})  # noqa: S307 - that is what a reader does with it
    with pytest.raises(AssertionError, match="the answer found nobody"):
        of(pay_after_noise)(again)


def test_what_fails_when_everything_is_on_time_is_told_to_be_no_race() -> None:
    async def wrong() -> None:
        await arrivals()
        raise AssertionError("two and two is five")

    with pytest.raises(ArrivalsFailed, match="it fails when everything is on time"):
        explore(of(wrong))
