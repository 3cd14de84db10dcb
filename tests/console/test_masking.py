"""What is hidden of a caller from whoever has not asked to see it."""

from __future__ import annotations

import pytest

from tests.runtime.desk_calls import GREETING, desk
from voiceagent.console.masking import Mask

DESK = desk()


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("my account number is one two three four", "my account number is •••"),
        ("you have 2,540 dollars and 75 cents", "you have ••• dollars and ••• cents"),
        ("I am maria walker", "I am •••"),
        ("Thank you, Rose.", "Thank you, •••."),
        ("write to joe.smith@example.com", "write to •••.•••@example.•••"),
        ("it is ⟨pin#1: 4 digits⟩", "it is ⟨pin#1: 4 digits⟩"),
        ("it is ⟨4711⟩", "it is ⟨•••⟩"),
        ("can you help me with my balance please", "can you help me with my balance please"),
    ],
)
def test_numbers_and_names_are_dots_and_everyday_words_are_not(said: str, shown: str) -> None:
    assert Mask.of(DESK, "en-US").text(said) == shown


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("Mark.", "•••."),
        ("mark", "•••"),
        ("Will Young.", "•••."),
        ("will young", "•••"),
        ("Bill", "•••"),
        ("Mark Young is my name", "••• is my name"),
        ("my name is june", "my name is •••"),
        ("Yes. Will.", "Yes. •••."),
        ("I will pay my bill", "I will pay my bill"),
        ("May I help you", "••• I help you"),
        ("Hello", "Hello"),
        ("My balance", "My balance"),
    ],
)
def test_what_may_be_a_callers_name_is_hidden_though_everybody_and_the_agent_says_it(said: str, shown: str) -> None:
    mask = Mask.of(DESK, "en-US")
    mask.own_words |= {"will", "mark", "bill"}
    assert mask.text(said, of_caller=True) == shown


def test_an_agent_may_begin_with_a_word_that_is_a_name_as_well() -> None:
    mask = Mask.of(DESK, "en-US")
    mask.own_words |= {"will"}
    assert mask.text("Will you wait?") == "Will you wait?"
    assert mask.text("Thank you, Will.") == "Thank you, •••."


def test_what_the_agent_says_word_for_word_is_shown() -> None:
    assert Mask.of(DESK, "en-US").text(GREETING) == GREETING


def test_what_a_tool_has_told_is_hidden_though_everybody_says_it() -> None:
    mask = Mask.of(DESK, "en-US")
    assert mask.text("you live in the old street") == "you live in the old street"
    mask.learn({"name": "Mark", "address": ["Old Street"]})
    assert mask.text("you live in the old street, mark") == "you live in the •••, •••"


def test_of_an_agent_that_is_not_at_hand_and_a_language_that_is_not_nothing_is_shown() -> None:
    assert Mask.of(None, "tlh").text("jIyajbe please, one") == "•••, •••"


def test_where_a_secret_was_asked_for_numbers_alone_are_hidden() -> None:
    assert Mask.of(DESK, "en-US").numbers("Maria, it is four seven") == "Maria, it is •••"


def test_a_call_that_goes_on_in_another_language_is_hidden_in_both() -> None:
    mask = Mask.of(DESK, "en-US")
    said = "Mi cuenta, soy maría, cuatro siete, please"
    assert mask.text(said) == "•••, •••, •••, please"
    mask.speak("es-MX")
    assert mask.text(said) == "Mi cuenta, soy •••, •••, please"
