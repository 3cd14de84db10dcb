"""Silence: a ladder of reprompts, and nothing once they have all been said."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.silence import SilenceLadder
from voiceagent.spec.phase import Reprompts

PHRASES = ("Are you there?", "I cannot hear you.")
LADDER = Reprompts(after_ms=6_000, hold_ms=20_000)


def test_silence_counts_from_when_nobody_speaks_or_works() -> None:
    ladder = SilenceLadder()
    assert ladder.deadline_ms(LADDER) is None
    ladder.quiet(1_000)
    ladder.quiet(3_000)
    assert ladder.deadline_ms(LADDER) == 7_000


def test_any_sound_begins_the_count_anew() -> None:
    ladder = SilenceLadder()
    ladder.quiet(1_000)
    ladder.broken()
    assert ladder.deadline_ms(LADDER) is None
    ladder.quiet(4_000)
    assert ladder.deadline_ms(LADDER) == 10_000


def test_each_reprompt_is_said_once_and_then_it_is_time_to_give_up() -> None:
    ladder = SilenceLadder()
    assert [ladder.step(PHRASES) for _ in range(4)] == ["Are you there?", "I cannot hear you.", None, None]


def test_after_a_reprompt_silence_is_counted_from_its_end() -> None:
    ladder = SilenceLadder()
    ladder.quiet(1_000)
    ladder.step(PHRASES)
    assert ladder.deadline_ms(LADDER) is None


def test_a_noise_does_not_begin_the_ladder_anew_but_an_answer_does() -> None:
    ladder = SilenceLadder()
    ladder.step(PHRASES)
    ladder.broken()
    assert ladder.step(PHRASES) == "I cannot hear you."
    ladder.answered()
    assert ladder.step(PHRASES) == "Are you there?"


def test_silence_and_not_being_understood_are_counted_apart() -> None:
    ladder = SilenceLadder()
    assert ladder.step(PHRASES) == PHRASES[0]
    assert ladder.not_understood(PHRASES) == PHRASES[0]
    assert ladder.not_understood(PHRASES) == PHRASES[1]
    assert ladder.not_understood(PHRASES) is None
    assert ladder.step(PHRASES) == PHRASES[1]


def test_without_reprompts_it_is_time_to_give_up_at_once() -> None:
    assert SilenceLadder().step(()) is None
    assert SilenceLadder().not_understood(()) is None


@given(st.lists(st.sampled_from(["quiet", "broken", "step", "not_understood"]), max_size=20))
def test_between_two_answers_no_reprompt_is_said_twice(steps: list[str]) -> None:
    ladder = SilenceLadder()
    said: list[str | None] = []
    for now_ms, step in enumerate(steps):
        match step:
            case "quiet":
                ladder.quiet(now_ms)
            case "broken":
                ladder.broken()
            case "step":
                said.append(ladder.step(("a", "b")))
            case _:
                said.append(ladder.not_understood(("c", "d")))
    phrases = [phrase for phrase in said if phrase is not None]
    assert len(phrases) == len(set(phrases))


def test_who_has_asked_for_a_moment_is_given_one_and_then_asked_like_everybody() -> None:
    ladder = SilenceLadder()
    ladder.asked_to_wait = True
    ladder.quiet(1_000)
    assert ladder.deadline_ms(LADDER) == 21_000
    ladder.step(PHRASES)
    ladder.quiet(30_000)
    assert ladder.deadline_ms(LADDER) == 36_000


def test_a_moment_that_was_asked_for_is_over_when_the_caller_speaks() -> None:
    ladder = SilenceLadder()
    ladder.asked_to_wait = True
    ladder.answered()
    ladder.quiet(1_000)
    assert ladder.deadline_ms(LADDER) == 7_000
