"""Text for the voice: what is said, and in which pieces."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voiceagent.language import language_for

ENGLISH = language_for("en")


@pytest.mark.parametrize(
    ("written", "spoken"),
    [
        ("account ending in 4519", "account ending in 4 5 1 9"),
        ("card number: 4111 1111 1111 1111", "card number: 4 1 1 1, 1 1 1 1, 1 1 1 1, 1 1 1 1"),
        ("Call 555-0198 now.", "Call 5 5 5, 0 1 9 8 now."),
        ("(555) 010-0198", "5 5 5, 0 1 0, 0 1 9 8"),
        ("zip 02139", "zip 0 2 1 3 9"),
        ("order #4519", "order number 4 5 1 9"),
        ("order 20 items", "order 20 items"),
        ("You have $1,234.50.", "You have 1,234 dollars and 50 cents."),
        ("It costs $0.99, or -$5.", "It costs 99 cents, or minus 5 dollars."),
        ("$1.5 million", "1.5 million dollars"),
        ("€2,000.00 or 50 USD", "2,000 euros or 50 dollars"),
        ("on 2026-11-24", "on November 24th, 2026"),
        ("on 11/03/2026", "on November 3rd, 2026"),
        ("jo.smith@bank.com", "jo dot smith at bank dot com"),
        ("See https://www.example.com/help?x=1.", "See example dot com slash help."),
        ("3-5 days, 3.5%", "3 to 5 days, 3.5 percent"),
        ("e.g. Mr. Smith, etc.", "for example Mister Smith, et cetera."),
        ("**Hello** _there_ 😀", "Hello there"),
        ("# Title\n- one\n- two", "Title. one. two"),
        ("| a | b |\n|---|---|\n| 1 | 2 |", "a, b. 1, 2"),
        ("[our page](https://x.org/y)", "our page"),
        ("<speak>Hi <break time='1s'/>you &amp; me</speak>", "Hi you and me"),
        ("&lt;break/&gt;Hi", "Hi"),
        ("Wait — what", "Wait, what"),
        ("in 2026 at 10:30 a.m.", "in 2026 at 10:30 a.m."),
        ("", ""),
        ("😀", ""),
    ],
)
def test_text_becomes_words(written: str, spoken: str):
    assert ENGLISH.speakable(written) == spoken


@given(st.text())
@example("$" + "9" * 200 + ".99")
@example("9999-99-99 99/99/9999")
def test_no_text_breaks_the_voice_and_no_markup_survives(text: str):
    assert not re.search(r"[<>*_`~|{}\[\]\\#^]", ENGLISH.speakable(text))


PROSE = """
    the letter has a total of 20 dollars and 5 cents on November 24th, 2026. Please say it again;
    we open at 10:30, don't worry! Is that right? well-known 4 5 1 9, 3.5 percent
"""
prose = st.lists(st.sampled_from(PROSE.split()), max_size=30).map(" ".join)


@given(prose)
def test_plain_prose_comes_back_as_it_was(text: str):
    assert ENGLISH.speakable(text) == text


markup = st.lists(
    st.sampled_from(
        ["$1,234.50", "555-0198", "**bold**", "code 4519", "2026-11-24", "a@b.org", "-", "\n", "# x",
         "etc.", "3-5", "&", "<b>", "account", "dollars", "50%", "1-2-3-4", "0198", "😀", "1234567",
         "www.x.org/y", "|", "EUR 20", "$2 million", "pin is", "https://a.b?c", "+1 555 0100 200"]
    ),
    max_size=8,
).map(" ".join)  # fmt: skip


@given(markup)
def test_what_was_made_speakable_stays_as_it_is(text: str):
    once = ENGLISH.speakable(text)
    assert ENGLISH.speakable(once) == once


def test_templates_have_words_for_values():
    assert ENGLISH.spoken_amount(Decimal("1234.50"), "USD") == "1,234 dollars and 50 cents"
    assert ENGLISH.spoken_amount(Decimal("-1.01"), "GBP") == "minus 1 pound and 1 penny"
    assert ENGLISH.spoken_amount(Decimal("0.005"), "EUR") == "1 cent"
    assert ENGLISH.spoken_amount(Decimal(0), "EUR") == "0 euros"
    assert ENGLISH.spoken_amount(Decimal(1500), "JPY") == "1,500 yen"
    assert ENGLISH.spoken_amount(Decimal(20), "SEK") == "20 SEK"
    assert ENGLISH.spoken_digits("4519-227") == "4 5 1 9, 2 2 7"
    assert ENGLISH.spoken_date(date(2026, 11, 1)) == "November 1st, 2026"
    assert ENGLISH.spoken_date(date(2026, 11, 12)) == "November 12th, 2026"
    assert [ENGLISH.spoken_list("abc"[:n]) for n in range(4)] == ["", "a", "a and b", "a, b, and c"]


@given(st.decimals(min_value=0, max_value=10**9, places=2))
def test_a_written_amount_is_read_as_a_template_says_it(amount: Decimal):
    assert ENGLISH.speakable(f"${amount:,}") == ENGLISH.spoken_amount(amount, "USD")


# --- clauses ------------------------------------------------------------------


def split(*deltas: str) -> list[str]:
    splitter = ENGLISH.clause_splitter()
    return [clause for delta in deltas for clause in splitter.feed(delta)] + splitter.flush()


def test_the_first_clause_is_released_before_its_sentence_ends():
    splitter = ENGLISH.clause_splitter()
    assert splitter.feed("Let me check that,") == []
    assert splitter.feed(" one") == ["Let me check that,"]
    assert splitter.feed(" moment. ") == ["one moment."]


def test_a_short_sentence_is_released_at_once():
    assert split("Sure. ", "What next?") == ["Sure.", "What next?"]


def test_a_very_short_clause_waits_for_the_rest():
    assert split("Sure, I can do that for you.") == ["Sure, I can do that for you."]


@pytest.mark.parametrize(
    "sentence",
    [
        "You have $1,234.50 left.", "It is 3.5 percent.", "I spoke to Mr. Smith.",
        "Pick a colour (e.g. blue).", "I was born on March 14, 1987.", "Ask J. Smith.",
        "We open at 10:30.", "1. Say your name.", "It was paid on October 29th, 2026.",
    ],
)  # fmt: skip
def test_numbers_and_abbreviations_are_not_cut(sentence: str):
    assert split(*sentence) == [sentence]


def test_lines_are_clauses():
    assert split("One\nTwo\n\n", "Three") == ["One", "Two", "Three"]


def test_later_clauses_are_cut_only_when_they_are_long():
    long = "and then I looked at all the other payments of that month one by one, which took time."
    assert split("It is done. ", "Now, as you know, it is late. ", long) == [
        "It is done.", "Now, as you know, it is late.", long[:70].strip(), long[70:].strip(),
    ]  # fmt: skip


@given(st.lists(st.text(st.sampled_from("ab1 .,;:!?—\n\"')$"), max_size=12)), st.text(max_size=20))
def test_the_splitter_loses_nothing(deltas: list[str], tail: str):
    joined = "".join(split(*deltas, tail))
    assert "".join(joined.split()) == "".join("".join([*deltas, tail]).split())


@given(st.text(st.sampled_from("abI1 .,;:!?—\n\"')"), max_size=60))
def test_the_size_of_the_deltas_does_not_matter(text: str):
    assert split(*text) == split(text)
