"""What little words do to a name, and what is denied or only asked."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.language import Relation, language_for

ENGLISH = language_for("en")


@pytest.mark.parametrize(
    ("before", "meant"),
    [
        ("fifty dollars to checking from", Relation.SOURCE),
        ("take fifty out of my", Relation.SOURCE),
        ("fifty off my own", Relation.SOURCE),
        ("move it from the other", Relation.SOURCE),
        ("fifty dollars over to", Relation.GOAL),
        ("put it into the", Relation.GOAL),
        ("put fifty in my", Relation.GOAL),
        ("sorry, not", Relation.REFUSED),
        ("not to the", Relation.REFUSED),
        ("into checking instead of", Relation.REFUSED),
        ("the balance of my", Relation.NONE),
        ("", Relation.NONE),
    ],
)
def test_the_words_before_a_name_say_how_it_is_meant(before: str, meant: Relation) -> None:
    assert ENGLISH.relation(before) is meant


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ("my card was not stolen", ("stolen",)),
        ("It isn't really lost.", ("lost",)),
        ("I haven't lost my card", ("lost",)),
        ("nobody stole it", ("stole",)),
        ("don't block my card", ("block",)),
        ("I don't want you to freeze it", ("freeze",)),
        ("my card was stolen", ()),
        ("knot", ()),
    ],
)
def test_what_is_denied_is_named(said: str, words: tuple[str, ...]) -> None:
    assert ENGLISH.denied(said) == words


@pytest.mark.parametrize(
    "said",
    [
        "Is my card blocked?", "has my card been blocked", "was it stolen", "did you block my card",
        "have you blocked it",
        "can you tell me if my card is blocked", "I'd like to know whether the card is frozen",
        "what if I lost my card",
        "what happens if my card is stolen", "so, um, is the card blocked", "when was my card blocked",
        "why is my card blocked",
    ],
)  # fmt: skip
def test_a_question_whether_it_is_so_is_no_demand(said: str) -> None:
    assert ENGLISH.asks_whether(said)


@pytest.mark.parametrize(
    "said",
    [
        "can you block my card", "could you please freeze it", "is it possible to block my card", "I lost my card",
        "is there a way to block my card", "do you think you could block it", "I was wondering if you could block it",
        "please block my card", "are you able to freeze it", "",
    ],
)  # fmt: skip
def test_a_polite_demand_is_one(said: str) -> None:
    assert not ENGLISH.asks_whether(said)


@given(st.text())
def test_no_text_breaks_it(text: str) -> None:
    ENGLISH.relation(text)
    ENGLISH.denied(text)
    ENGLISH.asks_whether(text)
