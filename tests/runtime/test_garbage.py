"""The collector leaves alone what lasts, and what refers to itself in a circle goes when nobody is on the line."""

from __future__ import annotations

import gc
import weakref

import pytest

from voiceagent.runtime.garbage import Garbage
from voiceagent.testing.manual_clock import ManualClock

TEN_MINUTES_MS, AN_HOUR_MS = 600_000, 3_600_000


class Thing:
    """Something that refers to itself."""

    def __init__(self) -> None:
        self.myself: Thing | None = self


def circle() -> weakref.ref[Thing]:
    return weakref.ref(Thing())


def lasting_circle() -> weakref.ref[Thing]:
    """Return what is left of a circle that was still wanted when it was looked at, and is not any more."""
    thing = Thing()
    gc.collect(1)
    return weakref.ref(thing)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


def test_what_has_lasted_is_not_looked_through_again(clock: ManualClock) -> None:
    with Garbage(clock):
        lasting = [[number] for number in range(10_000)]
        gc.collect(1)
        looked_through = len(gc.get_objects())
    assert looked_through < len(lasting) / 10
    assert len(gc.get_objects()) > len(lasting), "and everything is again, afterwards"


def test_what_has_lasted_goes_with_the_last_that_refers_to_it(clock: ManualClock) -> None:
    with Garbage(clock):
        lasting = Thing()
        lasting.myself = None
        gone = weakref.ref(lasting)
        gc.collect(1)
        del lasting
        assert gone() is None


def test_a_circle_that_has_lasted_goes_when_the_last_call_is_over(clock: ManualClock) -> None:
    with Garbage(clock) as garbage:
        gone = lasting_circle()
        gc.collect()
        assert gone() is not None, "it was set aside"
        clock.advance(TEN_MINUTES_MS)
        garbage.call_over(others=1)
        assert gone() is not None, "somebody has a call, who would hear it"
        garbage.call_over(others=0)
        assert gone() is None


def test_everything_is_looked_through_once_in_ten_minutes_at_most(clock: ManualClock) -> None:
    with Garbage(clock) as garbage:
        gone = lasting_circle()
        clock.advance(TEN_MINUTES_MS - 1)
        garbage.call_over(others=0)
        assert gone() is not None
        clock.advance(1)
        garbage.call_over(others=0)
        assert gone() is None


def test_where_there_is_always_a_call_a_circle_goes_within_the_hour(clock: ManualClock) -> None:
    with Garbage(clock) as garbage:
        gone = lasting_circle()
        clock.advance(AN_HOUR_MS)
        garbage.call_over(others=400)
        assert gone() is None


def test_a_young_circle_goes_as_ever(clock: ManualClock) -> None:
    with Garbage(clock):
        gone = circle()
        gc.collect(0)
        assert gone() is None
