"""Digits out of transcripts, however they were said or written."""

from __future__ import annotations

import re
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.language import language_for
from voiceagent.language.english.digits import digit_spans, digits
from voiceagent.language.english.pronouns import PRONOUN_ONE
from voiceagent.language.spelling import spoken_digits

WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen",
    "eighteen", "nineteen",
)  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
NUMBER_WORDS = {*WORDS, *TEENS, *TENS, "hundred", "thousand", "million"}
SURROUNDINGS = (
    "my", "pin", "is", "for", "to", "oh", "A", "um", "dash", "and", "a", "double", "the", "card",
    "won", "ate", "too", "please", "-", ",", ".", "#",
)  # fmt: skip

ids = st.text("0123456789", min_size=1, max_size=16)


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("four five one nine", "4519"),
        ("My account number is four five one nine, two two seven.", "4519227"),
        ("4519-227", "4519227"),
        ("1-2-3-4", "1234"),
        ("A306", "8306"),
        ("it's A306.", "8306"),
        ("5O5, O198", "5050198"),
        ("five five five, oh one nine eight, seven six four two", "55501987642"),
        ("oh five", "05"),
        ("double oh seven", "007"),
        ("double four triple two", "44222"),
        ("five and three zeros", "5000"),
        ("forty five nineteen", "4519"),
        ("two twenty seven", "227"),
        ("twenty oh five", "2005"),
        ("nineteen eighty seven", "1987"),
        ("one hundred", "100"),
        ("two hundred and fifty", "250"),
        ("four thousand five hundred nineteen", "4519"),
        ("one eight hundred five five five", "1800555"),
        ("four five um one dash nine", "4519"),
        ("for five one nine", "4519"),
        ("the pin is for five one nine", "4519"),
        ("four to five one", "4251"),
        ("won ate three four", "1834"),
        ("Four, size, one, two.", "4512"),
        ("size four shoes", "4"),
        ("the last three transactions", "3"),
        ("four five one nine, no sorry, four five one nine two two seven", "4519227"),
        ("four five one, I mean four five two", "452"),
        ("my pin is one two three five, sorry, my pin is one two three four", "1234"),
        ("four five, wait, nine", "459"),
        ("four five actually four six", "46"),
        ("pin one two three four, no that's my old pin, it's five six seven eight", "5678"),
        ("pin one two three four, sorry, account four five one nine", "12344519"),
        ("one two, um, three uh four", "1234"),
        ("four uh, five... um... one nine", "4519"),
        ("one oh oh one", "1001"),
        ("zero oh zero", "000"),
        ("triple four", "444"),
        ("hundred and five", "105"),
        ("twenty-one forty-three", "2143"),
        ("no one", ""),
        ("one moment please", ""),
        ("one last question", ""),
    ],
)
def test_digits_are_understood(said: str, meant: str):
    assert digits(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("this is for her and that is for you too", ""),
        ("one moment, it's four five", "45"),
        ("that one please", ""),
        ("Oh, four five one nine", "4519"),
        ("it's for two people", "2"),
        ("transfer to four five one nine", "4519"),
        ("from four five one nine to two two seven", "4519227"),
        ("five one nine for", "519"),
        ("Plan A, 306", "306"),
    ],
)
def test_words_that_only_sound_like_digits_are_none(said: str, meant: str):
    assert digits(said) == meant


def by_word(number: str) -> str:
    return " ".join(WORDS[int(digit)] for digit in number)


def with_oh(number: str) -> str:
    return by_word(number).replace("zero", "oh")


def in_pairs(number: str) -> str:
    pairs = [number[at : at + 2] for at in range(0, len(number), 2)]
    return ", ".join(map(pair, pairs))


def pair(two: str) -> str:
    if len(two) == 1 or two[0] == "0":
        return by_word(two)
    if two[0] == "1":
        return TEENS[int(two[1])]
    return TENS[int(two[0]) - 2] + (f" {WORDS[int(two[1])]}" if two[1] != "0" else "")


def with_doubles(number: str) -> str:
    return re.sub(r"(\d)\1", lambda two: f" double {WORDS[int(two[1])]} ", number).strip()


def hyphenated(number: str) -> str:
    return "-".join(number)


@pytest.mark.parametrize("style", [spoken_digits, by_word, with_oh, in_pairs, with_doubles, hyphenated, str])
@given(number=ids)
def test_every_identifier_survives_being_spoken(style, number: str):
    if style is with_oh and number == "0":
        return  # a lone "oh" is a sigh
    assert digits(style(number)) == number


@given(number=ids)
def test_a_sentence_around_it_changes_nothing(number: str):
    assert digits(f"Yes, my account number is {by_word(number)}, thank you.") == number


numbers = st.one_of(st.sampled_from(sorted(NUMBER_WORDS)), ids)


@given(st.lists(st.one_of(numbers, st.sampled_from(SURROUNDINGS)), max_size=20), st.data())
def test_every_numeral_and_number_word_lies_in_a_span(pieces: list[str], data: st.DataObject):
    text = "".join(piece + data.draw(st.sampled_from((" ", ", ", "-", ". "))) for piece in pieces)
    spans = digit_spans(text)
    idioms = [found.span() for found in PRONOUN_ONE.finditer(text)]
    for match in re.finditer(r"\d|[a-z]+", text):
        if match[0] == "one" and any(start <= match.start() < end for start, end in idioms):
            continue
        if match[0].isdigit() or match[0] in NUMBER_WORDS:
            assert any(start <= match.start() < match.end() <= end for start, end, _ in spans)


@given(st.text())
def test_spans_are_in_order_and_apart_for_any_text(text: str):
    spans = digit_spans(text)
    assert all(0 <= span.start < span.end <= len(text) for span in spans)
    assert all(one.end < other.start + 1 for one, other in pairwise(spans))
    assert all(re.fullmatch("[0-9]+", span.digits) for span in spans)
    for match in re.finditer(r"\d", text):
        assert any(span.start <= match.start() < span.end for span in spans)


def test_a_pin_can_be_cut_out_of_a_transcript():
    text = "The pin is one two three four, thanks."
    (span,) = digit_spans(text)
    assert text[: span.start] + "#" + text[span.end :] == "The pin is #, thanks."
    assert span.digits == "1234"


@pytest.mark.parametrize("said", ["9" * 5000 + " hundred", "hundred " * 3000, "million " * 3000])
def test_absurd_numbers_are_still_digits(said: str):
    assert digits(said).isdigit()


def test_the_language_hands_out_the_same_functions():
    assert language_for("en-US").digits("double four") == "44"
