"""Endpointing: how long a caller must be silent, by what they said and what they were asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.endpointing import by_sound, patience_after
from voiceagent.language import language_for
from voiceagent.spec.expects import Choice, Digits, Expects, FreeSpeech, SpokenAmount, SpokenDate, SpokenTime, YesNo

ENGLISH = language_for("en-US")
NUMBER = Digits(name="number", length=8)
KIND = Choice(name="kind", options={"checking": ("checking", "current account"), "savings": ("savings",)})


def patience_ms(text: str, *expects: Expects, digits_missing: int | None = None, reads_back: bool = False) -> int:
    """How long to wait after these words."""
    return patience_after(
        text, expects=expects, language=ENGLISH, digits_missing=digits_missing, reads_back=reads_back
    ).ms


def test_nobody_who_has_read_out_four_of_eight_digits_is_finished() -> None:
    assert patience_ms("four five one nine", NUMBER) == 1_100
    assert patience_ms("four five one nine two two seven eight", NUMBER) == 300


def test_digits_without_a_known_length_may_always_go_on() -> None:
    assert patience_ms("four five one nine", Digits()) == 1_100


def test_more_digits_than_were_asked_for_are_no_answer_yet() -> None:
    nine = patience_after("four five one nine two two seven eight nine", expects=[NUMBER], language=ENGLISH)
    assert (nine.ms, nine.reason) == (1_100, "these are more digits than were asked for")


def test_too_many_digits_for_one_answer_may_be_all_of_another() -> None:
    four = Digits(name="code", length=4)
    assert patience_ms("four five one nine two two seven eight", four, NUMBER) == 300
    assert patience_ms("14th of March 1987", four, SpokenDate()) == 400
    assert patience_ms("four five one nine two two seven eight nine", four, NUMBER) == 1_100


def test_sealed_digits_are_counted_by_their_handles() -> None:
    assert patience_ms("⟨number#1: 4 digits⟩", NUMBER, digits_missing=4) == 1_100
    assert patience_ms("⟨number#1: 8 digits⟩", NUMBER, digits_missing=0) == 300
    assert patience_ms("⟨number#1: 8 digits⟩", NUMBER) == 1_100


@pytest.mark.parametrize(
    ("expected", "complete"),
    [
        (YesNo(), "yes"),
        (YesNo(), "no thanks"),
        (NUMBER, "four five one nine two two seven eight"),
        (KIND, "the Checking one"),
        (KIND, "my current account"),
    ],
)
def test_nobody_who_has_given_a_clear_answer_needs_waiting_for(expected: Expects, complete: str) -> None:
    assert patience_ms(complete, expected) == 300


def test_an_amount_and_a_date_may_be_followed_by_a_word_that_changes_nothing() -> None:
    assert patience_ms("two hundred and fifty dollars", SpokenAmount()) == 400
    assert patience_ms("March fourteenth, nineteen eighty seven.", SpokenDate()) == 400


def test_the_year_of_a_date_may_lack_its_last_digit() -> None:
    sixty = patience_after("September 15, 1960.", expects=[SpokenDate()], language=ENGLISH)
    assert (sixty.ms, sixty.reason) == (500, "the date may go on with the last digit of its year")


@pytest.mark.parametrize("expected", [SpokenAmount(), NUMBER, SpokenDate(name="date")])
def test_a_sentence_without_the_number_that_was_asked_for_is_waited_for(expected: Expects) -> None:
    misheard = patience_after("My card is here.", expects=[expected], language=ENGLISH)
    assert (misheard.ms, misheard.reason) == (1_100, "it is no answer to what was asked")
    assert patience_ms("My card is here.", FreeSpeech()) == 680
    assert patience_ms("My card is here.", expected, FreeSpeech()) == 680
    assert patience_ms("I would.", expected) == 1_100
    assert patience_ms("What is it for?", expected) == 500


@pytest.mark.parametrize("answer", ["Yes.", "No, thanks.", "No, I don't.", "Yes, of course."])
@pytest.mark.parametrize("expected", [SpokenAmount(), NUMBER, SpokenDate(name="date")])
def test_a_plain_yes_or_no_may_answer_something_else_than_what_was_asked(expected: Expects, answer: str) -> None:
    assert patience_ms(answer, expected) == 500


@pytest.mark.parametrize("answer", ["Yes.", "Yes, please.", "No, thank you.", "That's correct."])
@pytest.mark.parametrize("expects", [[], [NUMBER], [SpokenAmount(), SpokenDate()], [FreeSpeech()]])
def test_a_plain_yes_or_no_is_all_of_the_answer_to_what_was_read_back(expects: list[Expects], answer: str) -> None:
    judged = patience_after(answer, expects=expects, language=ENGLISH, reads_back=True)
    assert (judged.ms, judged.free, judged.reason) == (400, False, "it answers what was read back")


def test_what_was_read_back_may_be_answered_in_any_words() -> None:
    assert patience_ms("Yes, but", NUMBER, reads_back=True) == 1_100
    assert patience_ms("It goes to checking.", NUMBER, reads_back=True) == 680
    assert patience_ms("yes", YesNo(), reads_back=True) == 300


def test_a_question_a_please_and_a_clear_yes_leave_the_floor_sooner_than_a_statement() -> None:
    assert patience_ms("What is my balance?") == 500
    assert patience_ms("My balance, please.") == 500
    assert patience_ms("Yes.") == 500
    assert patience_ms("My card was stolen.") == 680
    assert patience_ms("No, it was stolen on the train yesterday.") == 680


@pytest.mark.parametrize("expected", [YesNo(), SpokenAmount(), KIND, NUMBER])
def test_words_that_are_no_answer_are_judged_like_any_others(expected: Expects) -> None:
    for words in ("what did you say?", "I would like to", "hmm"):
        assert patience_ms(words, expected) == patience_ms(words)


def test_a_date_is_complete_with_its_year_and_may_go_on_without_it() -> None:
    assert patience_ms("March fourteenth, nineteen eighty seven.", SpokenDate()) == 400
    assert patience_ms("March fourteenth.", SpokenDate()) == 900
    assert patience_ms("March fourteenth of", SpokenDate()) == 1_100


@pytest.mark.parametrize("words", ["", "the thirty fifth of May", "tomorrow", "Next Friday."])
def test_words_that_are_no_day_of_a_year_are_judged_like_any_others(words: str) -> None:
    assert patience_ms(words, SpokenDate()) == patience_ms(words)


@pytest.mark.parametrize("half", ["Two hundred.", "a thousand", "3,000."])
def test_an_amount_that_more_words_can_be_part_of_is_waited_for(half: str) -> None:
    assert patience_ms(half, SpokenAmount()) == 900
    assert patience_ms(f"{half.rstrip('.')} dollars.", SpokenAmount()) == 400


def test_a_time_of_day_may_go_on_too() -> None:
    for words in ("nine", "half past nine", "half past nine in the evening", ""):
        assert patience_ms(words, SpokenTime()) == patience_ms(words)


def test_a_sentence_that_stops_in_the_middle_is_waited_for() -> None:
    assert patience_ms("I would like to") == 1_100
    assert patience_ms("What is my balance?") == 500


@pytest.mark.parametrize(
    ("expected", "words"),
    [
        (SpokenAmount(), "two hundred and"),
        (NUMBER, "four five one nine two two seven eight no wait"),
        (Choice(name="which", options={"no": ("no",), "save": ("save",)}), "I don't know"),
    ],
)
def test_an_answer_that_goes_on_is_not_cut(expected: Expects, words: str) -> None:
    assert patience_ms(words, expected) > 300


def test_sealed_digits_with_words_behind_them_are_not_cut() -> None:
    assert patience_ms("⟨number#1: 8 digits⟩ no wait", NUMBER, digits_missing=0) > 300


def test_of_several_expected_answers_the_first_that_fits_decides() -> None:
    assert patience_ms("yes", NUMBER, YesNo()) == 300
    assert patience_ms("one two three", NUMBER, YesNo()) == 1_100


def test_a_reason_is_given() -> None:
    assert patience_after("four", expects=[NUMBER], language=ENGLISH).reason == "digits are missing"


_anything: list[Expects] = [FreeSpeech(), NUMBER, Digits(), SpokenDate(), SpokenTime(), SpokenAmount(), YesNo(), KIND]


@given(st.text(max_size=40), st.lists(st.sampled_from(_anything), max_size=3), st.none() | st.integers(0, 9))
def test_patience_has_bounds_whatever_was_said(text: str, expects: list[Expects], missing: int | None) -> None:
    patience = patience_after(text, expects=expects, language=ENGLISH, digits_missing=missing)
    assert 300 <= patience.ms <= 1_100
    assert patience.reason


LOOKING = ["It's, uh…", "um", "My account number is", "Let me get my card.", "Okay, let's see.", "I need to find it"]


@pytest.mark.parametrize("words", LOOKING)
def test_who_looks_for_digits_that_were_asked_for_keeps_the_floor(words: str) -> None:
    held = patience_after(words, expects=[NUMBER], language=ENGLISH)
    assert (held.holds, held.reason) == (True, "the number is still to come")
    assert not patience_after(words, expects=[FreeSpeech()], language=ENGLISH).holds
    assert not patience_after(words, expects=[NUMBER], language=ENGLISH, digits_missing=0).holds


@pytest.mark.parametrize(
    "words",
    [
        "",
        "one moment please",  # a request, which somebody may answer
        "I don't know what that is.",
        "What is it for?",
        "Leave it as it is.",
        "Yes, it is.",
        "I don't have it with me.",
        "let me check my balance",
        "let me talk to a person",
        "it's four five, uh",
        "⟨number#1: 4 digits⟩ uh",
    ],
)
def test_nobody_keeps_the_floor_who_has_said_something_else_or_some_of_the_digits(words: str) -> None:
    assert not patience_after(words, expects=[NUMBER], language=ENGLISH).holds


def test_it_takes_words_and_sound_to_be_answered_sooner() -> None:
    said = patience_after("My card was stolen.", expects=[FreeSpeech()], language=ENGLISH)
    sooner = by_sound(said, 0.97)
    assert (said.ms, sooner.ms) == (680, 540)
    assert sooner.reason == "the sentence is complete; it sounds finished (0.97)"
    opened = patience_after("I would like a new card", expects=[FreeSpeech()], language=ENGLISH)
    assert by_sound(opened, 0.97) == opened
    asked = patience_after("What is my balance?", expects=[FreeSpeech()], language=ENGLISH)
    assert by_sound(asked, 0.97) == asked


def test_a_complete_sentence_that_sounds_as_if_it_went_on_is_waited_for() -> None:
    said = patience_after("My card was stolen.", expects=[FreeSpeech()], language=ENGLISH)
    later = by_sound(said, 0.04)
    assert (later.ms, later.reason) == (950, "the sentence is complete; it sounds unfinished (0.04)")
    assert by_sound(said, 0.7) == said


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("yes", YesNo()),
        ("four five one nine", NUMBER),
        ("four five one nine two two seven eight", NUMBER),
        ("March fourteenth", SpokenDate()),
        ("It's, uh", NUMBER),
    ],
)
@pytest.mark.parametrize("done", [0.0, 1.0])
def test_how_the_answer_to_a_question_sounds_does_not_count(words: str, expected: Expects, done: float) -> None:
    judged = patience_after(words, expects=[expected], language=ENGLISH)
    assert by_sound(judged, done) == judged


def test_a_sentence_that_breaks_off_is_waited_for_however_it_sounds() -> None:
    broken = patience_after("I would like to", expects=[], language=ENGLISH)
    assert by_sound(broken, 1.0) == broken
