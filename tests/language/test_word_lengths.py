"""How long words take to say: numbers as they are spoken, markup not at all, pauses where a voice makes them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.language import language_for, spoken_as, word_ends

ENGLISH = language_for("en")


@pytest.mark.parametrize(
    ("written", "spoken", "pairs"),
    [
        ("You owe us", "You owe us", [["You"], ["owe"], ["us"]]),
        ("owe $5 now", "owe 5 dollars now", [["owe"], ["5", "dollars"], ["now"]]),
        ("it is **bold** here", "it is bold here", [["it"], ["is"], ["bold"], ["here"]]),
        ("code 4519.", "code 4 5 1 9.", [["code"], ["4", "5", "1", "9."]]),
        ("a - b", "a b", [["a"], [], ["b"]]),
    ],
)
def test_spoken_words_belong_to_the_written_ones_they_stand_for(
    written: str, spoken: str, pairs: list[list[str]]
) -> None:
    assert spoken_as(written.split(" "), spoken.split()) == pairs


_texts = st.text(st.sampled_from("ab 1$,.-*²ß "), max_size=40) | st.text(max_size=30)


@given(_texts)
def test_every_word_has_a_length_and_no_text_is_too_odd(text: str) -> None:
    lengths = ENGLISH.word_lengths(text)
    assert len(lengths) == len(text.split(" "))
    assert all(said_ms >= 0 and pause_ms >= 0 for said_ms, pause_ms in lengths)


@given(
    st.lists(st.sampled_from(["a", "b1", "$5", "-", ""]), max_size=12), st.lists(st.sampled_from("abc15"), max_size=12)
)
def test_no_spoken_word_is_lost_and_their_order_is_kept(written: list[str], spoken: list[str]) -> None:
    if written:
        assert [word for words in spoken_as(written, spoken) for word in words] == spoken


@given(_texts, st.integers(0, 60_000))
def test_words_end_in_order_and_within_the_whole(text: str, whole_ms: int) -> None:
    ends = word_ends(ENGLISH.word_lengths(text), whole_ms)
    assert ends == sorted(ends)
    assert all(0 <= end_ms <= whole_ms for end_ms in ends)


def test_a_number_takes_as_long_as_its_words() -> None:
    def takes_ms(text: str) -> int:
        return sum(said_ms for said_ms, _ in ENGLISH.word_lengths(text))

    assert takes_ms("1,999") > 3 * takes_ms("nine")
    assert takes_ms("$1,250.50") > 1_800
    assert abs(takes_ms("1998") - takes_ms("nineteen ninety-eight")) < 400
    assert takes_ms("**nine**") == takes_ms("nine")
