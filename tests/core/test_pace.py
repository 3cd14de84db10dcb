"""The caller's pace: whoever pauses longer than others is waited for longer, and nobody else."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.endpointing import COMPLETE_SLOT_MS, INCOMPLETE_MS, Patience
from voiceagent.core.pace import Pace

OPEN = Patience(700, "nothing in the words decides it")
IN_A_NUMBER = Patience(INCOMPLETE_MS, "digits are missing")


def test_before_anybody_has_paused_everybody_is_waited_for_alike() -> None:
    assert Pace().fitted(OPEN) is OPEN


def test_who_has_paused_in_a_sentence_is_given_a_little_more_than_that_next_time() -> None:
    pace = Pace()
    pace.turn_over([(OPEN, 650), (OPEN, 200)])
    assert pace.fitted(OPEN) == Patience(850, "nothing in the words decides it; this caller makes longer pauses")


def test_who_was_cut_off_is_waited_for_longer() -> None:
    pace = Pace()
    pace.turn_over([])
    pace.cut_off(900)
    assert pace.fitted(OPEN).ms == 1_100


def test_a_pause_in_the_middle_of_a_number_says_nothing_about_the_caller() -> None:
    pace = Pace()
    pace.turn_over([(IN_A_NUMBER, 1_000)])
    assert pace.fitted(OPEN) is OPEN


def test_a_complete_answer_needs_no_more_patience_from_anybody() -> None:
    pace = Pace()
    pace.turn_over([(OPEN, 690)])
    complete = Patience(COMPLETE_SLOT_MS, "the answer is complete")
    assert pace.fitted(complete) is complete


def test_six_brisk_turns_make_a_pause_forgotten() -> None:
    pace = Pace()
    pace.turn_over([(OPEN, 690)])
    for _ in range(5):
        pace.turn_over([])
    assert pace.fitted(OPEN).ms == 890
    pace.turn_over([])
    assert pace.fitted(OPEN) is OPEN


@given(st.lists(st.integers(0, 60_000), max_size=12), st.integers(COMPLETE_SLOT_MS, INCOMPLETE_MS))
def test_nobody_is_ever_waited_for_less_or_out_of_all_proportion(pauses: list[int], base_ms: int) -> None:
    pace = Pace()
    for pause_ms in pauses:
        pace.turn_over([(OPEN, pause_ms)])
    assert base_ms <= pace.fitted(Patience(base_ms, "any")).ms <= round(1.6 * base_ms)
