"""Secrets: kept in one place, seen nowhere else."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.sealing import Sealing, handles_in
from voiceagent.errors import ToolFailed
from voiceagent.language import language_for
from voiceagent.tools.vault import Vault

_ENGLISH = language_for("en-US")


def _sealing(*slots: tuple[str, int], counts: tuple[tuple[str, int], ...] = ()) -> Sealing:
    return Sealing(slots=slots, counts=counts)


def test_spoken_digits_leave_a_handle_behind() -> None:
    vault = Vault()
    sealed = vault.seal("my pin is four five one nine, thanks", _ENGLISH, _sealing(("pin#1", 4)))
    assert sealed == "my pin is ⟨pin#1: 4 digits⟩, thanks"
    assert vault.resolve(sealed) == "4519"


def test_one_sentence_can_fill_two_slots() -> None:
    vault = Vault()
    words = "account one two three four five six seven and the pin is 4519"
    sealed = vault.seal(words, _ENGLISH, _sealing(("account#1", 7), ("pin#1", 4)))
    assert sealed == "account ⟨account#1: 7 digits⟩ and the pin is ⟨pin#1: 4 digits⟩"
    assert (vault.resolve("account#1"), vault.resolve("pin#1")) == ("1234567", "4519")


def test_a_number_said_in_pieces_has_one_handle_with_the_count_of_all() -> None:
    vault = Vault()
    sealed = vault.seal("it is 45 and then 19", _ENGLISH, _sealing(("pin#1", 4)))
    assert [(handle.handle, handle.count) for handle in handles_in(sealed)] == [("pin#1", 4)]
    assert vault.resolve("pin#1") == "4519"


def test_a_number_goes_on_where_the_last_utterance_left_it() -> None:
    vault = Vault()
    vault.seal("four five", _ENGLISH, _sealing(("pin#1", 4)))
    sealed = vault.seal("one nine", _ENGLISH, _sealing(("pin#1", 2), counts=(("pin#1", 2),)))
    assert sealed == "⟨pin#1: 4 digits⟩"
    assert vault.resolve(sealed) == "4519"


@given(
    st.lists(st.sampled_from(["four", "5", "one", "nineteen", "and", "my pin", "oh", "0451", "please"]), max_size=12)
)
def test_no_digit_is_left_in_sealed_words(words: list[str]) -> None:
    vault = Vault()
    sealed = vault.seal(" ".join(words), _ENGLISH, _sealing(("pin#1", 4), ("more#1", 0)))
    for handle in handles_in(sealed):
        sealed = sealed.replace(f"⟨{handle.handle}: {handle.count} digit{'' if handle.count == 1 else 's'}⟩", "")
        assert len(vault.resolve(handle.handle)) == handle.count
    assert not any(character.isdigit() for character in sealed)
    assert not _ENGLISH.digit_spans(sealed)


@pytest.mark.parametrize("text", ["⟨pin#1: 4 digits⟩", "pin#1", "the pin is <pin#1: 4 digits>", "pin#1, pin#1"])
def test_a_model_may_write_a_handle_as_it_likes(text: str) -> None:
    vault = Vault()
    vault.append("pin#1", "4519")
    assert vault.resolve(text) == "4519"


@pytest.mark.parametrize("text", ["4519", "", "pin#1 account#1"])
def test_what_is_not_one_handle_is_refused(text: str) -> None:
    vault = Vault()
    vault.append("pin#1", "4519")
    vault.append("account#1", "1234567")
    with pytest.raises(ToolFailed, match="passed by its handle"):
        vault.resolve(text)


def test_a_forgotten_secret_is_asked_for_again() -> None:
    vault = Vault()
    vault.append("pin#1", "4519")
    vault.forget(["pin#1", "pin#2"])
    with pytest.raises(ToolFailed, match="ask the caller for it again"):
        vault.resolve("pin#1")


def test_a_secret_in_a_result_is_replaced_wherever_it_stands() -> None:
    vault = Vault()
    vault.append("pin#1", "4519")
    result = {"echo": "PIN 4519.", "pin": 4519, "4519": [{"deep": "x4519y"}], "ok": True, "ratio": 0.5}
    assert vault.scrubbed(result) == {
        "echo": "PIN ⟨pin#1: 4 digits⟩.",
        "pin": "⟨pin#1: 4 digits⟩",
        "⟨pin#1: 4 digits⟩": [{"deep": "x⟨pin#1: 4 digits⟩y"}],
        "ok": True,
        "ratio": 0.5,
    }


def test_another_number_that_only_contains_the_digits_stays() -> None:
    vault = Vault()
    vault.append("pin#1", "4519")
    vault.append("key#1", "12")
    text = "4519.20 dollars, 14519, 45190, 12.4519 and 12 more"
    assert vault.scrub(text) == text


def test_a_vault_shows_and_gives_away_nothing() -> None:
    vault = Vault()
    vault.append("pin#1", "4519")
    assert repr(vault) == "Vault(pin#1)"
    with pytest.raises(TypeError):
        pickle.dumps(vault)
    vault.forget_all()
    assert repr(vault) == "Vault()"


def test_a_number_that_is_begun_anew_replaces_what_its_handle_held() -> None:
    vault = Vault()
    sealing = Sealing(slots=(("pin#0", 4),), counts=(), unasked=True)
    for text in ("my pin is 1234", "my pin is 9876"):
        assert vault.seal(text, _ENGLISH, sealing) == "my pin is ⟨pin#0: 4 digits⟩"
    assert vault.resolve("pin#0") == "9876"
