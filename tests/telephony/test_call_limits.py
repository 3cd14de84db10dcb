"""Whether another call is taken: how busy the server is, and how often this caller has called."""

from __future__ import annotations

import asyncio

import pytest

from voiceagent.errors import OperatorError
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.limits import CALLS_WITHIN_MS, CallLimits, LoopLag
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.ticker import Ticker

SETTINGS = TelephonySettings(agents=frozenset({"bank"}), max_caller_calls_per_minute=3, max_calls_per_caller=2)
CALLER = "+15550100"


@pytest.fixture
def state(clock):
    return MemoryStore(clock)


@pytest.fixture
def limits(clock, state):
    return CallLimits(SETTINGS, state=state, clock=clock)


def test_a_caller_may_begin_so_many_calls_a_minute(limits, state, clock):
    async def scenario():
        for number in range(3):
            assert await limits.caller_is_over(f"CA{number}", CALLER) is None
            clock.advance(1_000)
            async with limits.going_on(f"CA{number}", CALLER):
                pass
        for _ in range(2):
            assert await limits.caller_is_over("CA3", CALLER) == "its caller has begun 3 calls within a minute"
        clock.advance(CALLS_WITHIN_MS - 3_001)
        assert await limits.caller_is_over("CA4", CALLER) is not None
        clock.advance(1)
        assert await limits.caller_is_over("CA4", CALLER) is None, "the first of them is a minute ago"

    asyncio.run(scenario())


def test_a_call_that_is_asked_about_again_is_one_call(limits):
    async def scenario():
        for _ in range(20):
            assert await limits.caller_is_over("CA0", CALLER) is None

    asyncio.run(scenario())


def test_word_of_a_live_call_that_comes_once_more_much_later_costs_it_nothing(limits, clock):
    async def scenario():
        assert await limits.caller_is_over("CA0", CALLER) is None
        async with limits.going_on("CA0", CALLER):
            await asyncio.sleep(0)
            clock.advance(CALLS_WITHIN_MS)
            for number in range(1, 4):
                assert await limits.caller_is_over(f"CA{number}", CALLER) is None
                async with limits.going_on(f"CA{number}", CALLER):
                    pass
            assert await limits.caller_is_over("CA0", CALLER) is None
            assert await limits.caller_is_over("CA4", CALLER) is not None
            async with limits.going_on("CA5", CALLER):
                await asyncio.sleep(0)
                clock.advance(CALLS_WITHIN_MS)
                await asyncio.sleep(0)
                assert await limits.caller_is_over("CA6", CALLER) == "its caller has 2 calls already"

    asyncio.run(scenario())


class _Interleaved(MemoryStore):
    """One that answers as one does that is elsewhere: others are served meanwhile."""

    async def noted(self, key):
        found = await super().noted(key)
        await asyncio.sleep(0)
        return found


def test_two_words_of_one_call_at_once_are_of_one_call(clock):
    async def scenario():
        limits = CallLimits(SETTINGS, state=_Interleaved(clock), clock=clock)
        for number in range(3):
            call = f"CA{number}"
            assert await asyncio.gather(*(limits.caller_is_over(call, CALLER) for _ in "12")) == [None, None]
            async with limits.going_on(call, CALLER):
                pass

    asyncio.run(scenario())


def test_a_caller_has_so_many_calls_at_a_time_and_one_of_them_may_connect_again(limits, clock):
    async def scenario():
        async with limits.going_on("CA0", CALLER), limits.going_on("CA1", CALLER), limits.going_on("CA1", CALLER):
            await asyncio.sleep(0)
            for _ in range(5):  # however long they last
                assert await limits.caller_is_over("CA1", CALLER) is None
                assert await limits.caller_is_over("CA2", CALLER) == "its caller has 2 calls already"
                assert await limits.caller_is_over("CA2", "+15550101") is None
                clock.advance(CALLS_WITHIN_MS)
                await asyncio.sleep(0)
        assert await limits.caller_is_over("CA3", CALLER) is None

    asyncio.run(scenario())


def test_two_that_are_answered_at_once_count_before_they_are_connected(limits):
    async def scenario():
        asked = await asyncio.gather(*(limits.caller_is_over(f"CA{number}", CALLER) for number in range(5)))
        assert asked == [None, None] + ["its caller has 2 calls already"] * 3

    asyncio.run(scenario())


def test_the_calls_of_a_worker_that_has_died_count_for_three_minutes(limits, clock):
    async def scenario():
        async def dies():
            async with limits.going_on("CA0", CALLER), limits.going_on("CA1", CALLER):
                await asyncio.Event().wait()

        dying = asyncio.create_task(dies())
        await asyncio.sleep(0.01)
        renewing = [task for task in asyncio.all_tasks() if task not in (dying, asyncio.current_task())]
        for task in renewing:
            task.cancel()
        clock.advance(179_999)
        assert await limits.caller_is_over("CA2", CALLER) == "its caller has 2 calls already"
        clock.advance(1)
        assert await limits.caller_is_over("CA2", CALLER) is None
        dying.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize("caller", [None, "", "anonymous", "+266696687", "+7378742833", "sip:somebody@example.com"])
def test_callers_without_a_number_are_not_taken_for_one(limits, caller):
    async def scenario():
        async with limits.going_on("CA0", caller), limits.going_on("CA1", caller):
            for number in range(10):
                assert await limits.caller_is_over(f"CA{number}", caller) is None

    asyncio.run(scenario())


def test_a_beat_that_is_late_all_the_time_is_overload_and_one_stall_is_none(caplog):
    lag = LoopLag(at_most_ms=50)
    for _ in range(100):
        lag.beat(4)
    lag.beat(5_000)
    for _ in range(20):
        lag.beat(60)
    assert not lag.overloaded
    for _ in range(10):
        lag.beat(60)
    assert lag.overloaded
    assert "overloaded, no new calls: the beat of the calls is 60 ms late" in caplog.text


def test_overload_is_over_when_the_beat_is_well_in_time_again_or_nobody_is_there():
    lag = LoopLag(at_most_ms=50)
    for late_ms, overloaded in ((60, True), (40, True), (20, False), (60, True)):
        for _ in range(50):
            lag.beat(late_ms)
        assert lag.overloaded is overloaded
    lag.nobody_there()
    assert not lag.overloaded


def test_the_beat_of_the_calls_says_how_late_it_is(clock):
    late = []
    ticker = Ticker(clock, late=late.append)
    ticker.join(lambda _: True, failed=lambda: None)
    clock.advance(40)
    clock.stall(500)
    clock.advance(40)
    assert late[:2] == [0, 0]
    assert late[2] == pytest.approx(480, abs=20)
    assert late[-1] <= 20


@pytest.mark.parametrize("name", ["max_calls", "max_calls_per_agent", "max_calls_per_caller"])
def test_a_limit_that_lets_nobody_in_is_the_operators_mistake(name):
    with pytest.raises(OperatorError, match=f"{name} is 0, but must be 1 or more"):
        TelephonySettings(agents=frozenset({"bank"}), **{name: 0})
