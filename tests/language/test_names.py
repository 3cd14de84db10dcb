"""Names by their sound: a payee whose name a recognizer has never met, and words that are nobody's name."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.language import language_for
from voiceagent.language.english.common_words import is_common

ENGLISH = language_for("en-US")
PAYEES = ("John Smythe", "Katherine Meyer", "Sean O'Connor", "Verizon", "Bill")
EVERYDAY = ["bill", "mark", "will", "grant", "send", "pay", "money", "account's", "joining", "seen"]


@pytest.mark.parametrize(
    ("heard", "meant"),
    [
        ("jon smit", "John Smythe"),
        ("Send fifty dollars to Jon Smit, please.", "Send fifty dollars to John Smythe, please."),
        ("to Jon Smit's account", "to John Smythe's account"),
        ("transfer it to Cathryn Maier", "transfer it to Katherine Meyer"),
        ("shawn oconnor", "Sean O'Connor"),
        ("pay verizen and jon smyth", "pay Verizon and John Smythe"),
        ("⟨pin#1: 4 digits⟩ for jon smit", "⟨pin#1: 4 digits⟩ for John Smythe"),
    ],
)
def test_a_name_that_was_misheard_is_the_one_that_is_hinted_at(heard: str, meant: str) -> None:
    assert ENGLISH.with_names(heard, PAYEES) == meant


@pytest.mark.parametrize(
    "heard",
    [
        "my bill is due",  # an everyday word
        "I will mark it",
        "john smythe",  # as it is written, but for its capitals
        "smit",  # half a name
        "ask jon. Smit it",  # two sentences
        "Jane Smart",
        "Kate Moore",
        "",
    ],
)
def test_what_is_no_name_that_is_hinted_at_stays_as_it_was_heard(heard: str) -> None:
    assert ENGLISH.with_names(heard, PAYEES) == heard


def test_of_two_names_that_are_as_near_neither_is_taken() -> None:
    assert ENGLISH.with_names("pay jon smit", ("Jon Smid", "Jon Smyt")) == "pay jon smit"


@given(st.lists(st.sampled_from(EVERYDAY), max_size=8), st.lists(st.text(max_size=12), max_size=5))
def test_everyday_words_are_never_taken_for_a_name(words: list[str], names: list[str]) -> None:
    text = " ".join(word for word in words if is_common(word))
    assert ENGLISH.with_names(text, names) == text


_SOUNDS = st.text(alphabet="kgxaeiou", min_size=1, max_size=9)
_OTHERS = st.text(alphabet="mnlraeiou", min_size=1, max_size=9).filter(lambda word: set(word) & set("mnlr"))


@given(
    st.lists(_SOUNDS.filter(lambda word: set(word) & set("kgx")), max_size=6),
    st.lists(st.lists(_OTHERS, min_size=1, max_size=2).map(" ".join), max_size=6),
)
def test_text_with_no_name_near_it_is_unchanged(words: list[str], names: list[str]) -> None:
    text = " ".join(words)
    assert ENGLISH.with_names(text, names) == text


@given(st.text(max_size=60), st.lists(st.text(max_size=20), max_size=5))
def test_any_text_is_understood_once_and_for_all(text: str, names: list[str]) -> None:
    once = ENGLISH.with_names(text, names)
    assert ENGLISH.with_names(text, ()) == text
    assert once == text or any(name in once for name in names)
