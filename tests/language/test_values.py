"""Amounts, numbers, dates, answers and letters out of what a caller said."""

from __future__ import annotations

from datetime import date, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.language import language_for
from voiceagent.language.english.spoken import spoken_amount, spoken_date

ENGLISH = language_for("en")
TODAY = date(2026, 11, 24)  # a Tuesday


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("I want to transfer two hundred and fifty dollars to my savings account.", "250"),
        ("a charge of forty nine dollars and ninety nine cents that I don't recognize", "49.99"),
        ("$250", "250"),
        ("$1,234.50.", "1234.50"),
        ("250.50", "250.50"),
        ("a hundred bucks", "100"),
        ("twelve fifty dollars", "12.50"),
        ("twelve dollars fifty", "12.50"),
        ("fifty cents", "0.50"),
        ("forty five hundred dollars", "4500"),
        ("five grand", "5000"),
        ("$5k", "5000"),
        ("one point five million dollars", "1500000"),
        ("two five zero dollars", "250"),
        ("not fifty, sixty dollars", "60"),
        ("that one, fifty dollars please", "50"),
        ("two hundred", "200"),
        ("a dollar fifty", "1.50"),
        ("a buck fifty", "1.50"),
        ("another dollar", "1"),
        ("five k", "5000"),
        ("two point five k", "2500"),
        ("five oh dollars", "50"),
        ("one oh five dollars", "105"),
        ("point five dollars", "0.5"),
        ("point two five dollars", "0.25"),
        ("hundred and five", "105"),
        ("two hundred, um, and fifty dollars", "250"),
        ("uh, fifty, uh, dollars", "50"),
        ("twelve dollars fifty to savings", "12.50"),
        ("fifty dollars to account two", "50"),
        ("fifty dollars in five days", "50"),
        ("a charge of fifty dollars on November 3", "50"),
        ("twenty-five dollars", "25"),
    ],
)
def test_an_amount_is_understood(said: str, meant: str):
    assert ENGLISH.amount(said) == Decimal(meant)


@pytest.mark.parametrize(
    "said",
    [
        "twelve fifty", "a couple hundred dollars", "minus fifty dollars", "-$5", "hello", "",
        "fifty dollars, no, sixty dollars", "half a million", "1.2345 dollars",
        "twenty to thirty dollars", "five or six dollars", "between fifty and sixty dollars",
        "fifty dollars or sixty", "two fifty dollars", "one twenty dollars", "three fifty nine dollars", "five oh",
        "a hundred dollars and fifty", "six dollars five", "twenty, thirty dollars", "ten to twenty",
    ],
)  # fmt: skip
def test_an_unclear_amount_is_asked_again(said: str):
    assert ENGLISH.amount(said) is None


@given(st.decimals(min_value="0.01", max_value=99_999_999, places=2))
def test_an_amount_that_was_read_back_is_understood(amount: Decimal):
    assert ENGLISH.amount(spoken_amount(amount, "USD")) == amount


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("the last three transactions", 3), ("twenty five", 25), ("3.5", Decimal("3.5")),
        ("three point one four one", Decimal("3.141")), ("that one", None), ("two or three", None),
        ("four five one nine", None), ("none", None),
    ],
)  # fmt: skip
def test_a_number_is_understood(said: str, meant: Decimal | None):
    assert ENGLISH.number(said) == meant


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("My date of birth is March fourteenth, nineteen eighty seven.", (1987, 3, 14)),
        ("March fourteen nineteen eighty seven", (1987, 3, 14)),
        ("the fourteenth of March nineteen eighty seven", (1987, 3, 14)),
        ("March 14th, 1987", (1987, 3, 14)),
        ("14 March 1987", (1987, 3, 14)),
        ("3/14/1987", (1987, 3, 14)),
        ("3/14/87", (1987, 3, 14)),
        ("14/3/1987", (1987, 3, 14)),
        ("1987-03-14", (1987, 3, 14)),
        ("oh three one four one nine eight seven", (1987, 3, 14)),
        ("December twenty-first two thousand and twelve", (2012, 12, 21)),
        ("March fourth twenty oh five", (2005, 3, 4)),
        ("May second nineteen ninety", (1990, 5, 2)),
        ("yesterday", (2026, 11, 23)),
        ("tomorrow please", (2026, 11, 25)),
        ("the day after tomorrow", (2026, 11, 26)),
        ("next Tuesday", (2026, 12, 1)),
        ("on Friday", (2026, 11, 27)),
        ("last Friday", (2026, 11, 20)),
        ("in two weeks", (2026, 12, 8)),
        ("three days ago", (2026, 11, 21)),
        ("November 3rd", (2026, 11, 3)),
        ("January 2nd", (2027, 1, 2)),
    ],
)
def test_a_date_is_understood(said: str, meant: tuple[int, int, int]):
    assert ENGLISH.date(said, TODAY) == date(*meant)


@pytest.mark.parametrize(
    "said", ["February thirtieth", "March 1987", "I may go", "", "99/99/9999", "March 3rd, March 4th"]
)
def test_what_is_no_single_day_is_asked_again(said: str):
    assert ENGLISH.date(said, TODAY) is None


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_a_date_that_was_read_back_is_understood(day: date):
    assert ENGLISH.date(spoken_date(day), TODAY) == day


@given(st.integers(1, 400))
def test_today_is_the_argument_and_not_the_clock(days: int):
    today = TODAY - timedelta(days=days)
    assert ENGLISH.date("tomorrow", today) == today + timedelta(days=1)


@pytest.mark.parametrize(
    "said",
    [
        "yes", "Yes, that's correct.", "yeah sure", "that's right", "no problem go ahead", "mm-hm",
        "okay", "of course", "I think so", "why not", "yes please, do it", "uh-huh", "sounds good",
        "Yes, go ahead and transfer it.", "one hundred percent", "um yes", "that's me",
        "yes please go ahead and block the card", "yeah that's what I want", "yes, I would like to do that",
        "yes um please", "that's right, thank you very much", "yes, that would be lovely", "yes you can do that",
        "okay do that then", "Yes. Send the money.", "yep, book it",
    ],
)  # fmt: skip
def test_consent_is_heard(said: str):
    assert ENGLISH.yes_no(said) is True


@pytest.mark.parametrize(
    "said",
    [
        "no", "No, wait. Stop.", "no wait", "nope", "not really", "I don't think so", "no thanks",
        "that's not right", "don't do that", "don't go ahead", "absolutely not", "never mind",
        "no, I said fifty", "cancel that", "I'd rather not",
        "No, that's okay.", "no that's it", "No, it's fine", "no I'm good thanks", "uh, no",
    ],
)  # fmt: skip
def test_refusal_is_heard(said: str):
    assert ENGLISH.yes_no(said) is False


@pytest.mark.parametrize(
    "said",
    [
        "yes but change the amount", "yes, but only fifty", "yes make it sixty", "yes wait",
        "yeah no", "maybe", "I'm not sure", "I don't know", "is that right?", "right?", "",
        "the right account", "I am Daniel Harris", "correct the amount please", "there's no money",
        "I want to check my balance", "yes to sixty dollars", "four five one nine", "I have no idea",
        "okay, can I ask something first", "Good morning",
        "Yes, to savings.", "Yes, the savings account.", "Yes, do it tomorrow.", "Do it later.", "Yes, later.",
        "Okay, let me think.", "Right, and how much is left after that", "Sure, if I still have that much",
        "Yes I heard you.", "okay so from savings", "do it on Friday", "go ahead with the other card",
        "yes all of it", "yes both", "yes half of it", "yes the first one", "yes in an hour", "yes is that all",
        "yes what was the amount", "yes after lunch", "no, go ahead",
    ],
)  # fmt: skip
def test_anything_else_is_neither(said: str):
    assert ENGLISH.yes_no(said) is None


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("B as in Bravo", "B"), ("d for delta", "D"), ("bravo delta x-ray", "BDX"),
        ("S M I T H", "SMITH"), ("S-M-I-T-H", "SMITH"), ("it's B as in Bravo, and D", "BD"),
        ("d as in bravo", "B"), ("double t", "TT"), ("double u", "W"), ("A as in apple, I", "AI"),
        ("I have a dog", ""), ("", ""),
    ],
)  # fmt: skip
def test_letters_are_understood(said: str, meant: str):
    assert ENGLISH.letters(said) == meant


@given(st.text())
def test_no_text_breaks_the_understanding(text: str):
    ENGLISH.amount(text)
    ENGLISH.number(text)
    ENGLISH.date(text, TODAY)
    ENGLISH.yes_no(text)
    ENGLISH.letters(text)


PILE = """
    march 3rd 14 1987 of the in 999 days ago next friday yesterday twenty second hundred may $ 5
    fifty dollars cents and point million k -1 9999999999999999999999 0/0/0 12/31/99 0001-01-01
"""


@given(st.lists(st.sampled_from(PILE.split()), max_size=8).map(" ".join))
def test_no_pile_of_dates_and_amounts_breaks_it_either(text: str):
    ENGLISH.amount(text)
    ENGLISH.number(text)
    ENGLISH.date(text, TODAY)
