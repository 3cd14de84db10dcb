"""Schedules: what nearly coincides may come in another order, the same one for the same seed, and no other."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core import events as ev
from voiceagent.core.ids import ReplyId, ToolCallId
from voiceagent.testing.schedule import Pending, Schedule, Swap, shrink

SEEDS = range(1, 40)


def result(number: int) -> ev.ToolFinished:
    return ev.ToolFinished(ToolCallId(f"t{number}"), None)


def clause(text: str) -> ev.ReplyText:
    return ev.ReplyText(ReplyId("r1"), text)


def order(schedule: Schedule, *coming: tuple[int, ev.Event], deadline_ms: int | None = None) -> list[ev.Event]:
    """Return what happens in which order, a deadline that is met once included."""
    pending = Pending(schedule)
    for at_ms, event in coming:
        pending.add(at_ms, event)
    happened: list[ev.Event] = []
    while (taken := pending.next(deadline_ms, 10_000)) is not None:
        happened.append(taken[1])
        if isinstance(taken[1], ev.TimePassed):
            deadline_ms = None
    return happened


def test_without_a_schedule_everything_comes_in_its_time() -> None:
    coming = [(20, result(2)), (10, result(1)), (30, clause("three"))]
    assert order(Schedule(), *coming) == [result(1), result(2), clause("three")]


def test_at_one_instant_an_event_comes_before_the_deadline() -> None:
    assert order(Schedule(), (10, result(1)), deadline_ms=10) == [result(1), ev.TimePassed()]
    assert order(Schedule(), (10, result(1)), deadline_ms=9) == [ev.TimePassed(), result(1)]


def test_two_that_nearly_coincide_come_in_either_order() -> None:
    orders = {tuple(map(repr, order(Schedule(seed), (10, result(1)), (40, result(2))))) for seed in SEEDS}
    assert len(orders) == 2


def test_a_deadline_may_be_overtaken_too() -> None:
    first = {type(order(Schedule(seed), (40, result(1)), deadline_ms=10)[0]) for seed in SEEDS}
    assert first == {ev.TimePassed, ev.ToolFinished}


@pytest.mark.parametrize("seed", SEEDS)
def test_what_is_far_apart_keeps_its_order(seed: int) -> None:
    assert order(Schedule(seed), (10, result(1)), (200, result(2))) == [result(1), result(2)]


@pytest.mark.parametrize("seed", SEEDS)
def test_what_comes_from_one_source_keeps_its_order(seed: int) -> None:
    happened = order(Schedule(seed), (10, clause("one")), (11, result(1)), (12, clause("two")), (13, clause("three")))
    assert [event for event in happened if isinstance(event, ev.ReplyText)] == [
        clause("one"),
        clause("two"),
        clause("three"),
    ]


def test_the_same_seed_gives_the_same_order() -> None:
    coming = [(at_ms, result(at_ms)) for at_ms in range(50)]
    assert order(Schedule(7), *coming) == order(Schedule(7), *coming)
    assert order(Schedule(7), *coming) != order(Schedule(8), *coming)


@given(seed=st.integers(1, 1_000), at_ms=st.lists(st.integers(0, 500), min_size=1, max_size=20))
def test_nothing_is_lost_nothing_is_doubled_and_nothing_is_later_than_the_window(seed: int, at_ms: list[int]) -> None:
    schedule = Schedule(seed)
    pending = Pending(schedule)
    for number, at in enumerate(at_ms):
        pending.add(at, result(number))
    now_ms, seen = 0, []
    while (taken := pending.next(None, 1_000)) is not None:
        now_ms = max(now_ms, taken[0])
        assert now_ms <= taken[0] + schedule.window_ms
        seen.append(taken[1])
    assert sorted(map(repr, seen)) == sorted(repr(result(number)) for number in range(len(at_ms)))


def test_the_swaps_that_were_made_bring_about_the_same_order_again() -> None:
    coming = [(at_ms, result(at_ms)) for at_ms in range(50)]
    drawn = Schedule(3)
    happened = order(drawn, *coming)
    assert drawn.taken
    assert order(Schedule(3, only=drawn.taken), *coming) == happened
    assert order(Schedule(3, only=()), *coming) == order(Schedule(), *coming)


def test_what_was_called_off_comes_all_the_same_under_some_schedules() -> None:
    assert {Schedule(seed).lets_through("ToolFinished t1") for seed in SEEDS} == {True, False}


def test_what_does_not_happen_any_more_is_dropped() -> None:
    pending = Pending(Schedule())
    pending.add(10, result(1))
    pending.add(20, result(1))
    pending.add(20, result(2))
    pending.drop("tool t1", 10)
    assert [pending.next(None, 100), pending.next(None, 100), pending.next(None, 100)] == [
        (10, result(1)),
        (20, result(2)),
        None,
    ]


def test_what_is_withheld_does_not_happen_by_itself() -> None:
    pending = Pending(Schedule())
    for at_ms, event in ((20, result(2)), (10, result(1)), (15, clause("one"))):
        pending.add(at_ms, event)
    assert pending.withhold(ev.ToolFinished) == [result(1), result(2)]
    assert pending.next(None, 100) == (15, clause("one"))
    assert pending.next(None, 100) is None


# --- shrinking -------------------------------------------------------------------------------------------------------


SWAPS = [Swap(f"early {number}", f"late {number}", 1) for number in range(17)]


@given(needed=st.sets(st.sampled_from(SWAPS), min_size=1, max_size=4))
def test_only_the_swaps_that_are_needed_are_left(needed: set[Swap]) -> None:
    def fails(swaps: Sequence[Swap]) -> bool:
        return needed <= set(swaps)

    assert set(shrink(SWAPS, fails)) == needed


def test_a_failure_that_needs_no_swap_is_told_as_such() -> None:
    assert shrink(SWAPS, lambda _: True) == ()


def test_a_swap_says_what_overtook_what() -> None:
    assert str(Swap("ToolFinished t2", "TimePassed", 1)) == "ToolFinished t2 before TimePassed"
    assert str(Swap("ToolFinished t2", "TimePassed", 3)).endswith("(time 3 that they met)")
    assert str(Swap("ReplyText r1", "", 1)) == "ReplyText r1 came although it had just been called off"
