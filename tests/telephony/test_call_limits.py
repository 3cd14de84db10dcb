"""Whether another call is taken: how busy the server is, and how often this caller has called."""

from __future__ import annotations

import pytest

from voiceagent.errors import OperatorError
from voiceagent.telephony.limits import CALLS_WITHIN_MS, CallLimits, CallsInMemory, LoopLag
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.ticker import Ticker

SETTINGS = TelephonySettings(agents=frozenset({"bank"}), max_caller_calls_per_minute=3, max_calls_per_caller=2)
CALLER = "+15550100"


@pytest.fixture
def limits(clock):
    return CallLimits(SETTINGS, counts=CallsInMemory(clock))


def test_a_caller_may_begin_so_many_calls_a_minute(limits, clock):
    for number in range(3):
        assert limits.caller_is_over(f"CA{number}", CALLER) is None
        clock.advance(1_000)
    assert limits.caller_is_over("CA3", CALLER) == "its caller has begun 3 calls within a minute"
    clock.advance(CALLS_WITHIN_MS - 3_001)
    assert limits.caller_is_over("CA4", CALLER) is not None
    clock.advance(1)
    assert limits.caller_is_over("CA4", CALLER) is None, "the first of them is a minute ago"
    assert limits.caller_is_over("CA5", CALLER) is not None


def test_a_call_that_is_asked_about_again_is_one_call(limits):
    for _ in range(20):
        assert limits.caller_is_over("CA0", CALLER) is None


def test_a_caller_has_so_many_calls_at_a_time_and_one_of_them_may_connect_again(limits, clock):
    with limits.going_on("CA0", CALLER), limits.going_on("CA1", CALLER), limits.going_on("CA1", CALLER):
        assert limits.caller_is_over("CA1", CALLER) is None
        assert limits.caller_is_over("CA2", CALLER) == "its caller has 2 calls already"
        assert limits.caller_is_over("CA2", "+15550101") is None
    clock.advance(CALLS_WITHIN_MS)
    assert limits.caller_is_over("CA3", CALLER) is None


@pytest.mark.parametrize("caller", [None, "", "anonymous", "+266696687", "+7378742833", "sip:somebody@example.com"])
def test_callers_without_a_number_are_not_taken_for_one(limits, caller):
    with limits.going_on("CA0", caller), limits.going_on("CA1", caller):
        assert [limits.caller_is_over(f"CA{number}", caller) for number in range(10)] == [None] * 10


def test_who_has_called_is_forgotten_where_too_many_have(clock):
    counts = CallsInMemory(clock, most_callers=2)
    once = {"most": 1, "within_ms": CALLS_WITHIN_MS}
    assert [counts.may_begin(caller, "CA0", **once) for caller in ("a", "b", "a", "c")] == [True] * 4
    assert not counts.may_begin("a", "CA1", **once)
    assert counts.may_begin("b", "CA1", **once), "who called last is remembered longest"


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
