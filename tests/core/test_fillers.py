"""Fillers: when something is said because the caller waits, and what."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.fillers import DueFiller, FillerPolicy
from voiceagent.spec.filler import Filler

FILLER = Filler(
    patience_ms=800,
    phrases=("One moment.", "Let me check."),
    again_ms=4_000,
    later=("Still looking.", "I am still here."),
    give_up_ms=20_000,
    apology="I am sorry.",
)


def waiting(since_ms: int = 10_000, *, expected_at_ms: int | None = None, **phrase_ms: int) -> FillerPolicy:
    """A policy that has seen a wait begin."""
    policy = FillerPolicy(phrase_ms={"One moment.": phrase_ms.get("first", 1_000)})
    policy.wait(since_ms, FILLER, expected_at_ms=expected_at_ms)
    return policy


def said(policy: FillerPolicy, until_ms: int) -> list[tuple[int, DueFiller]]:
    """Everything that is due until then, each phrase heard the moment it is said."""
    phrases: list[tuple[int, DueFiller]] = []
    while (due_ms := policy.deadline_ms) is not None and due_ms <= until_ms:
        due = policy.take(due_ms)
        if due is not None:  # None where the only phrase there is was said just now
            phrases.append((due_ms, due))
        policy.quiet_again(due_ms)
    return phrases


def test_a_slow_tool_is_covered_by_a_filler() -> None:
    policy = waiting()
    assert policy.deadline_ms == 10_800
    assert policy.take(10_799) is None
    assert policy.take(10_800) == DueFiller("One moment.", "first")


def test_nothing_is_due_while_nobody_waits() -> None:
    policy = FillerPolicy()
    assert not policy.waiting
    assert policy.deadline_ms is None
    assert policy.take(99_999) is None


def test_a_phrase_is_due_once() -> None:
    policy = waiting()
    assert policy.take(10_800) is not None
    assert policy.take(10_800) is None


def test_the_end_of_the_wait_ends_the_fillers() -> None:
    policy = waiting()
    policy.stop()
    assert policy.deadline_ms is None
    assert policy.take(60_000) is None


def test_a_new_wait_has_its_own_patience() -> None:
    policy = waiting()
    policy.stop()
    policy.wait(30_000, FILLER, expected_at_ms=None)
    assert policy.deadline_ms == 30_800


def test_being_told_again_that_the_caller_waits_does_not_begin_a_new_wait() -> None:
    policy = waiting()
    for now_ms in range(10_100, 10_800, 100):
        policy.wait(now_ms, FILLER, expected_at_ms=None)
    assert policy.deadline_ms == 10_800


def test_later_phrases_come_after_a_pause_and_are_others() -> None:
    assert said(waiting(), 19_000) == [
        (10_800, DueFiller("One moment.", "first")),
        (14_800, DueFiller("Still looking.", "later")),
        (18_800, DueFiller("I am still here.", "later")),
    ]


def test_the_pause_is_counted_from_the_end_of_the_phrase() -> None:
    policy = waiting()
    policy.take(10_800)
    policy.quiet_again(12_500)
    assert policy.deadline_ms == 16_500


def test_without_later_phrases_the_first_ones_go_on() -> None:
    policy = FillerPolicy()
    policy.wait(0, FILLER.model_copy(update={"later": ()}), expected_at_ms=None)
    assert [due.text for _, due in said(policy, 9_000)] == ["One moment.", "Let me check.", "One moment."]


def test_a_wait_that_is_too_long_is_apologised_for_once_and_goes_on_being_covered() -> None:
    phrases = said(waiting(), 99_000)
    tiers = [due.tier for _, due in phrases]
    assert (30_000, DueFiller("I am sorry.", "apology")) in phrases
    assert tiers.count("apology") == 1
    after = [(at_ms, due.tier) for at_ms, due in phrases if at_ms > 30_000]
    assert after[:2] == [(34_000, "later"), (38_000, "later")]


def test_the_phrases_go_round_over_the_whole_call() -> None:
    policy = waiting()
    heard: list[str] = []
    for wait in range(4):
        start_ms = 100_000 * (wait + 1)
        policy.stop()
        policy.wait(start_ms, FILLER, expected_at_ms=None)
        due = policy.take(start_ms + 800)
        assert due is not None
        heard.append(due.text)
    assert heard == ["One moment.", "Let me check.", "One moment.", "Let me check."]


# --- a result that is about to come ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("expected_at_ms", "due_ms"),
    [
        (None, 10_800),  # nobody knows
        (10_500, 10_800),  # should have been there before the phrase is due, and is not
        (10_801, 11_800),  # is about to come: a phrase would only delay it
        (11_799, 11_800),
        (11_800, 10_800),  # takes at least as long as the phrase lasts
        (60_000, 10_800),
    ],
)
def test_no_phrase_is_begun_just_before_the_result(expected_at_ms: int | None, due_ms: int) -> None:
    assert waiting(expected_at_ms=expected_at_ms).deadline_ms == due_ms


@given(st.integers(0, 100_000), st.none() | st.integers(0, 200_000), st.integers(1, 3_000))
def test_the_silence_is_bounded_by_patience_and_one_phrase(since_ms: int, expected: int | None, phrase_ms: int) -> None:
    policy = waiting(since_ms, expected_at_ms=expected, first=phrase_ms)
    assert policy.deadline_ms is not None
    assert since_ms + 800 <= policy.deadline_ms <= since_ms + 800 + phrase_ms


# --- the same phrase never twice in a row ----------------------------------------------------------------------------


def _filler(phrases: list[str], later: list[str]) -> Filler:
    return Filler(patience_ms=500, phrases=tuple(phrases), later=tuple(later), again_ms=1_000, give_up_ms=9_000)


_phrases = st.lists(st.sampled_from(["a", "b", "c", "d"]), min_size=2, max_size=4, unique=True)
_fillers = st.builds(_filler, _phrases, st.just(list[str]()) | _phrases)


@given(st.lists(st.tuples(_fillers, st.integers(0, 12_000)), min_size=1, max_size=8))
def test_no_phrase_is_heard_twice_in_a_row(waits: list[tuple[Filler, int]]) -> None:
    policy = FillerPolicy()
    heard: list[str] = []
    now_ms = 0
    for filler, lasting_ms in waits:
        policy.wait(now_ms, filler, expected_at_ms=None)
        heard += [due.text for _, due in said(policy, now_ms + lasting_ms) if due.tier != "apology"]
        policy.stop()
        now_ms += 20_000
    assert all(one != next_ for one, next_ in pairwise(heard))


@given(_fillers, st.integers(0, 5_000))
def test_time_goes_on_while_the_caller_waits(filler: Filler, since_ms: int) -> None:
    policy = FillerPolicy()
    policy.wait(since_ms, filler, expected_at_ms=None)
    instants = [at_ms for at_ms, _ in said(policy, since_ms + 200_000)]
    assert instants == sorted(set(instants))
    longest_ms = max(filler.patience_ms, filler.again_ms, filler.give_up_ms if not filler.later else 0)
    assert all(later - one <= longest_ms for one, later in pairwise(instants))
