"""The caller's turn: many utterances, many pauses, one end."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.caller_turn import CallerTurn
from voiceagent.core.endpointing import Patience
from voiceagent.core.ids import UtteranceId

ONE, TWO = UtteranceId("c1"), UtteranceId("c2")


def turn() -> CallerTurn:
    return CallerTurn(recognizer_timeout_ms=4_000, longest_ms=45_000)


def patience(text: str, done: float | None) -> Patience:
    """A number is waited for longer than anything else."""
    return Patience(1_100 if text.endswith("five") else 500, "a test")


def test_nothing_is_due_before_anybody_speaks() -> None:
    silent = turn()
    assert (silent.open, silent.speaking, silent.text, silent.deadline_ms(patience)) == (False, False, "", None)
    assert (silent.spoken_ms, silent.ended_ms) == (0, 0)


def test_while_the_voice_is_on_the_turn_cannot_end() -> None:
    speaking = turn()
    speaking.started(ONE, 1_000, over_speech=False)
    assert speaking.open
    assert speaking.speaking
    assert speaking.deadline_ms(patience) is None


def test_patience_counts_from_the_last_sound_and_depends_on_the_words() -> None:
    paused = turn()
    paused.started(ONE, 1_000, over_speech=False)
    assert paused.paused(ONE, 2_000)
    assert paused.deadline_ms(patience) == 6_000
    assert paused.transcribed(ONE, " four five ")
    assert paused.deadline_ms(patience) == 3_100
    assert paused.text == "four five"


def test_a_second_utterance_goes_on_with_the_same_turn() -> None:
    going_on = turn()
    going_on.started(ONE, 1_000, over_speech=False)
    going_on.paused(ONE, 2_000)
    going_on.transcribed(ONE, "four five")
    going_on.started(TWO, 2_600, over_speech=False)
    assert going_on.deadline_ms(patience) is None
    going_on.paused(TWO, 3_600)
    going_on.transcribed(TWO, "six")
    assert going_on.text == "four five six"
    assert going_on.deadline_ms(patience) == 4_100
    assert going_on.spoken_ms == 2_000


def test_words_may_come_in_another_order_than_they_were_said() -> None:
    mixed = turn()
    for utterance, at_ms in ((ONE, 1_000), (TWO, 2_000)):
        mixed.started(utterance, at_ms, over_speech=False)
        mixed.paused(utterance, at_ms + 500)
    mixed.transcribed(TWO, "world")
    assert mixed.deadline_ms(patience) == 6_500
    mixed.transcribed(ONE, "hello")
    assert mixed.text == "hello world"


def test_what_is_late_double_or_unknown_is_not_taken() -> None:
    once = turn()
    once.started(ONE, 1_000, over_speech=False)
    once.started(ONE, 5_000, over_speech=True)
    assert not once.paused(TWO, 2_000)
    assert once.paused(ONE, 2_000)
    assert not once.paused(ONE, 3_000)
    assert not once.transcribed(TWO, "who?")
    assert once.transcribed(ONE, "hello")
    assert not once.transcribed(ONE, "goodbye")
    assert (once.text, once.ended_ms, once.over_speech) == ("hello", 2_000, False)


def test_a_pause_that_is_told_to_lie_before_the_beginning_has_no_length() -> None:
    odd = turn()
    odd.started(ONE, 1_000, over_speech=False)
    odd.paused(ONE, 400)
    assert (odd.spoken_ms, odd.ended_ms) == (0, 1_000)


def test_a_turn_is_over_speech_only_if_all_of_it_was() -> None:
    both = turn()
    both.started(ONE, 1_000, over_speech=True)
    assert both.over_speech
    both.started(TWO, 2_000, over_speech=False)
    assert not both.over_speech


def test_a_turn_that_was_taken_is_empty_and_its_words_come_too_late() -> None:
    taken = turn()
    taken.started(ONE, 1_000, over_speech=False)
    taken.paused(ONE, 2_000)
    (utterance,) = taken.take()
    assert utterance.text is None
    assert not taken.open
    assert not taken.transcribed(ONE, "hello")


_steps = st.lists(
    st.tuples(
        st.sampled_from(["started", "paused", "transcribed"]),
        st.sampled_from([ONE, TWO, UtteranceId("c3")]),
        st.integers(0, 10_000),
    ),
    max_size=12,
)


@given(_steps)
def test_a_turn_that_is_open_ends_once_the_voice_is_off(steps: list[tuple[str, UtteranceId, int]]) -> None:
    any_turn = turn()
    for what, utterance, at_ms in steps:
        match what:
            case "started":
                any_turn.started(utterance, at_ms, over_speech=False)
            case "paused":
                any_turn.paused(utterance, at_ms)
            case _:
                any_turn.transcribed(utterance, "five")
    deadline_ms = any_turn.deadline_ms(patience)
    assert (deadline_ms is not None) == (any_turn.open and not any_turn.speaking)
    assert deadline_ms is None or any_turn.ended_ms + 500 <= deadline_ms <= any_turn.ended_ms + 4_000
    assert any_turn.spoken_ms >= 0


@pytest.mark.parametrize(("ended_ms", "below_db"), [(4_400, 16), (4_500, 16), (4_501, None)])
def test_a_faint_voice_that_goes_on_without_the_agent_is_none_behind_it(ended_ms: int, below_db: int | None) -> None:
    behind = turn()
    behind.started(ONE, 1_000, over_speech=True)
    behind.found_faint(ONE, 16)
    behind.agent_is_silent(4_500)
    behind.agent_is_silent(9_000)
    behind.paused(ONE, ended_ms)
    assert behind.below_db == below_db


def test_a_faint_voice_that_was_over_before_the_agent_fell_silent_was_behind_it() -> None:
    behind = turn()
    behind.started(ONE, 1_000, over_speech=True)
    behind.found_faint(ONE, 16)
    behind.paused(ONE, 3_000)
    behind.agent_is_silent(2_000)
    assert behind.below_db == 16


def test_only_a_voice_that_is_on_is_on_since_some_time() -> None:
    on = turn()
    on.started(ONE, 1_000, over_speech=True)
    assert (on.on_since_ms(ONE), on.on_since_ms(TWO)) == (1_000, None)
    on.paused(ONE, 2_000)
    assert on.on_since_ms(ONE) is None
