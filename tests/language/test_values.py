"""Amounts, numbers, dates, answers and letters out of what a caller said."""

from __future__ import annotations

from datetime import date, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.language import language_for
from voiceagent.language.english.spoken import spoken_amount, spoken_date
from voiceagent.language.english.times import spoken_time

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
        ("Two hundred. And fifty dollars.", "250"),
        ("twelve dollars fifty to savings", "12.50"),
        ("fifty dollars to account two", "50"),
        ("fifty dollars in five days", "50"),
        ("a charge of fifty dollars on November 3", "50"),
        ("twenty-five dollars", "25"),
        ("twelve dollars at Forever 21", "12"),
        ("at Studio 54 for sixty dollars", "60"),
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
        "at twenty or thirty dollars", "Two hundred. And then fifty dollars.", "seventeen times twenty three",
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
        ("October third. 1992.", (1992, 10, 3)),
        ("March fourteenth. Nineteen eighty seven.", (1987, 3, 14)),
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
        ("December first oh one", (2001, 12, 1)),
        ("December the first, oh one", (2001, 12, 1)),
        ("nineteen eighty seven March fourteenth", (1987, 3, 14)),
        ("twenty twenty three December fifth", (2023, 12, 5)),
        ("March third twenty twenty six", (2026, 3, 3)),
        ("um March, uh, fourteenth nineteen, um, eighty seven", (1987, 3, 14)),
        ("the fifteenth", (2026, 12, 15)),
        ("on the twenty fourth, please", (2026, 11, 24)),
        ("the thirtieth at nine", (2026, 11, 30)),
        ("the third of next month", (2026, 12, 3)),
        ("Friday the twenty fifth", (2026, 12, 25)),
        ("next Friday", (2026, 11, 27)),
        ("Friday next week", (2026, 12, 4)),
        ("a week from tomorrow", (2026, 12, 2)),
        ("two weeks from Friday", (2026, 12, 11)),
        ("March 14th at nine thirty", (2027, 3, 14)),
        ("half past nine on December fifth", (2026, 12, 5)),
        ("December 5th, 10:30", (2026, 12, 5)),
        ("a table for 2 people on December fifth", (2026, 12, 5)),
    ],
)
def test_a_date_is_understood(said: str, meant: tuple[int, int, int]):
    assert ENGLISH.date(said, TODAY) == date(*meant)


@pytest.mark.parametrize(
    "said",
    [
        "February thirtieth",
        "March 1987",
        "I may go",
        "",
        "99/99/9999",
        "March 3rd, March 4th",
        "December first one",
        "March 14 1987 5",
        "fourteen March five",
        "the first one",
        "May twenty twenty",
        "February thirtieth 1987",
    ],
)
def test_what_is_no_single_day_is_asked_again(said: str):
    assert ENGLISH.date(said, TODAY) is None


@given(st.dates(date(1900, 1, 1), date(2099, 12, 31)))
def test_a_date_that_was_read_back_is_understood(day: date):
    assert ENGLISH.date(spoken_date(day), TODAY) == day


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        ("half past nine", (9, 30)), ("quarter to ten", (9, 45)), ("a quarter past three", (15, 15)),
        ("noon", (12, 0)), ("at midnight", (0, 0)), ("nine thirty", (9, 30)), ("nine oh five", (9, 5)),
        ("nine o'clock", (9, 0)), ("9:30", (9, 30)), ("9:30 PM", (21, 30)), ("9 a.m.", (9, 0)), ("nine a m", (9, 0)),
        ("twenty to ten", (9, 40)), ("twenty five past nine", (9, 25)), ("ten after four", (16, 10)),
        ("quarter to one", (12, 45)), ("quarter to one in the morning", (0, 45)), ("quarter of ten", (9, 45)),
        ("fourteen thirty", (14, 30)), ("14:30", (14, 30)), ("oh nine hundred hours", (9, 0)),
        ("at nine in the evening", (21, 0)), ("nine", (9, 0)), ("um, nine please", (9, 0)), ("at three", (15, 0)),
        ("tomorrow morning at nine", (9, 0)), ("good morning, at three", (15, 0)), ("this evening at eight", (20, 0)),
        ("next Friday at half past two", (14, 30)), ("twelve thirty at night", (0, 30)), ("half nine", (9, 30)),
        ("not nine, ten thirty", (10, 30)), ("the fifteenth at noon", (12, 0)), ("10:30am", (10, 30)),
        ("two seats at nine thirty", (9, 30)), ("fifteen minutes past four", (16, 15)), ("one thirty", (13, 30)),
        ("December fifth twenty twenty six at ten", (10, 0)), ("December fifth at nine thirty", (9, 30)),
    ],
)  # fmt: skip
def test_a_time_of_day_is_understood(said: str, meant: tuple[int, int]):
    assert ENGLISH.time_of_day(said) == time(*meant)


@pytest.mark.parametrize(
    "said",
    [
        "", "between nine and ten", "from ten to five", "nine or ten", "at nine or ten", "nine fifteen or nine thirty",
        "nine dollars", "at nine people", "one moment please", "account four five one nine", "25:00", "nine sixty",
        "at nine, no, at ten", "two to five", "half a dollar",
        "March fourteenth twenty twenty six", "the fourteenth of March nineteen fifty",
    ],
)  # fmt: skip
def test_what_is_no_single_time_is_asked_again(said: str):
    assert ENGLISH.time_of_day(said) is None


@given(st.times().map(lambda moment: moment.replace(second=0, microsecond=0)))
def test_a_time_that_was_read_back_is_understood(moment: time):
    assert ENGLISH.time_of_day(spoken_time(moment)) == moment


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
        "okay do that then", "yes, right away please", "sounds good to me", "Yes. Send the money.", "yep, book it",
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
        "yes what was the amount", "yes after lunch", "no, go ahead", "right now",
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
        ("my name is spelled s m i t h", "SMITH"), ("S as in Sam, M as in Mary", "SM"), ("ess em i tee aitch", "SMITH"),
        ("h a double r i s", "HARRIS"), ("B for Bravo, O for Oscar, B", "BOB"), ("S, um, M, uh, I", "SMI"),
        ("capital S, small m", "SM"), ("O'Brien is O B R I E N", "OBRIEN"),
    ],
)  # fmt: skip
def test_letters_are_understood(said: str, meant: str):
    assert ENGLISH.letters(said) == meant


@given(st.text())
def test_no_text_breaks_the_understanding(text: str):
    ENGLISH.amount(text)
    ENGLISH.number(text)
    ENGLISH.date(text, TODAY)
    ENGLISH.time_of_day(text)
    ENGLISH.yes_no(text)
    ENGLISH.letters(text)


PILE = """
    march 3rd 14 1987 of the in 999 days ago next friday yesterday twenty second hundred may $ 5
    fifty dollars cents and point million k -1 9999999999999999999999 0/0/0 12/31/99 0001-01-01
    half quarter past to nine oh noon 10:30 am p.m. at night o'clock hours week weeks from friday
"""


@given(st.lists(st.sampled_from(PILE.split()), max_size=8).map(" ".join))
def test_no_pile_of_dates_and_amounts_breaks_it_either(text: str):
    ENGLISH.amount(text)
    ENGLISH.number(text)
    ENGLISH.date(text, TODAY)
    ENGLISH.time_of_day(text)
