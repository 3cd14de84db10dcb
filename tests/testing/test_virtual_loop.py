"""On the virtual loop time jumps to what is due next, and the real world is out of reach."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceagent.testing.virtual_loop import (
    NothingToWaitFor,
    RealWorldTouched,
    TimeStandsStill,
    VirtualClock,
    VirtualLoop,
    run_virtual,
)

HERE = Path(__file__).name


def test_an_hour_is_over_at_once() -> None:
    async def sleeping() -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.sleep(3_600)
        return asyncio.get_running_loop().time() - began

    began = time.monotonic()
    assert run_virtual(sleeping()) == 3_600
    assert time.monotonic() - began < 10


def test_everybody_is_woken_at_the_instant_they_wait_for_and_in_that_order() -> None:
    async def waking() -> list[tuple[str, float]]:
        loop = asyncio.get_running_loop()
        woken: list[tuple[str, float]] = []

        async def wait(name: str, *naps: float) -> None:
            for nap in naps:
                await asyncio.sleep(nap)
                woken.append((name, loop.time()))

        await asyncio.gather(wait("slow", 0.3, 0.3), wait("quick", 0.1, 0.1, 0.1, 0.1))
        return woken

    names, times = zip(*run_virtual(waking()), strict=True)
    assert names == ("quick", "quick", "slow", "quick", "quick", "slow")
    assert times == pytest.approx((0.1, 0.2, 0.3, 0.3, 0.4, 0.6))


def test_what_has_no_time_to_wait_needs_none() -> None:
    async def working() -> float:
        for _ in range(1_000):
            await asyncio.sleep(0)
        return asyncio.get_running_loop().time()

    assert run_virtual(working()) == 0


def test_the_clock_rings_at_its_millisecond_and_not_when_it_was_cancelled() -> None:
    async def ringing() -> list[int]:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, VirtualLoop)
        clock = VirtualClock(loop, unix_ms=5_000)
        rung: list[int] = []
        for at_ms in (1, 333, 12_347, 12_348, 86_400_001):
            clock.call_at(at_ms, lambda: rung.append(clock.now_ms()))
        clock.call_at(400, lambda: rung.append(-1))()
        await clock.sleep(90_000_000)
        assert clock.unix_ms() == 90_005_000
        return rung

    assert run_virtual(ringing()) == [1, 333, 12_347, 12_348, 86_400_001]


def test_time_passes_as_far_as_it_is_let_and_what_is_due_then_has_happened() -> None:
    loop = VirtualLoop()
    rung: list[float] = []
    for at in (0.01, 0.02, 0.021):
        loop.call_at(at, lambda: rung.append(loop.time()))
    loop.pass_time(until_ms=20)
    assert rung == pytest.approx([0.01, 0.02])
    loop.pass_time(until_ms=50, enough=lambda: len(rung) == 3)
    assert loop.time() == pytest.approx(0.021)
    loop.pass_time(until_ms=50)
    assert loop.now_ms == 50
    loop.close()


REAL: dict[str, tuple[Callable[[], object], str]] = {
    "a sleep": (lambda: time.sleep(0.01), "time.sleep was called"),
    "a thread": (lambda: threading.Thread(target=print).start(), "a thread was to be started"),
    "a socket": (socket.socket, "a socket was to be opened"),
    "an address": (lambda: socket.getaddrinfo("127.0.0.1", 80), "an address was looked up"),
    "a process": (lambda: subprocess.run([sys.executable, "-V"], check=False), "a process was to be started"),
    "a file to wait for": (
        lambda: asyncio.get_running_loop().add_reader(0, print),
        "a socket or a file was to be waited for",
    ),
    "an executor": (
        lambda: asyncio.get_running_loop().run_in_executor(None, os.getcwd),
        "something was to run in a thread",
    ),
}


@pytest.mark.parametrize("what", REAL)
def test_the_real_world_is_refused_with_the_line_that_wanted_it(what: str) -> None:
    touch, said = REAL[what]

    async def touching() -> None:
        touch()

    with pytest.raises(RealWorldTouched, match=f"{said}, .*{re.escape(HERE)}:\\d+ in "):
        run_virtual(touching())


def test_what_was_refused_comes_out_even_where_it_was_swallowed() -> None:
    async def careless() -> str:
        try:
            await asyncio.to_thread(print)
        except Exception:  # noqa: BLE001 - as an adapter does
            await asyncio.sleep(1)
        return "as if nothing had been"

    with pytest.raises(RealWorldTouched, match=r"something was to run in a thread, .* in careless"):
        run_virtual(careless())


def test_another_thread_may_not_call_back() -> None:
    loop = VirtualLoop()

    def call_back() -> None:
        with pytest.raises(RealWorldTouched):
            loop.call_soon_threadsafe(print)

    thread = threading.Thread(target=call_back)
    thread.start()
    thread.join()
    with pytest.raises(RealWorldTouched, match="another thread called back"):
        loop.pass_time(until_ms=1)
    loop.close()


def test_outside_of_the_loop_the_real_world_is_as_it_was() -> None:
    run_virtual(asyncio.sleep(1))
    time.sleep(0)
    socket.socket().close()
    thread = threading.Thread(target=time.sleep, args=(0,))
    thread.start()
    thread.join()


def test_waiting_for_what_never_comes_is_told_with_who_waits_and_where() -> None:
    async def forgotten() -> None:
        await asyncio.Event().wait()

    async def waiting() -> None:
        await asyncio.gather(forgotten(), asyncio.sleep(7))

    with pytest.raises(NothingToWaitFor, match="at 7000 ms nothing is scheduled: 2 tasks are left") as told:
        run_virtual(waiting())
    assert "await asyncio.Event().wait()" in str(told.value)
    assert "in waiting" in str(told.value)


def test_who_never_waits_is_told_instead_of_running_for_ever() -> None:
    async def restless() -> None:
        await asyncio.sleep(0.25)
        while True:  # noqa: ASYNC110 - it is the mistake that is looked for
            await asyncio.sleep(0)

    with pytest.raises(TimeStandsStill, match=r"(?s)at 250 ms 100000 turns of the loop took no time.* in restless"):
        run_virtual(restless())
