"""Sealing: in a sensitive phase no digit is left in what the caller said, and none gets lost."""

from __future__ import annotations

import re
from collections import Counter

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from voiceagent.core.sealing import (
    Handle,
    Sealing,
    SealingState,
    handle_text,
    handles_in,
    with_each_handle_once,
)
from voiceagent.language import language_for
from voiceagent.spec.expects import Digits
from voiceagent.tools.vault import Vault

ENGLISH = language_for("en-US")
NUMBER = Digits(name="number", length=6)
CODE = Digits(name="code", length=4, sealed=True)


class Caller:
    """Says things in a sensitive phase, and sees what is left of them."""

    def __init__(self, *expected: Digits) -> None:
        self.state = SealingState(expected or (NUMBER, CODE), serial=1)
        self.vault = Vault()

    def says(self, text: str) -> str:
        left = self.vault.seal(text, ENGLISH, self.state.sealing())
        for handle in handles_in(left):
            self.state.collected(handle.handle, handle.count)
        return left


# --- the shape of a secret -------------------------------------------------------------------------------------------


def test_a_handle_shows_its_slot_and_how_many_digits_there_are() -> None:
    assert handle_text("pin#1", 4) == "⟨pin#1: 4 digits⟩"
    assert handle_text("pin#1", 1) == "⟨pin#1: 1 digit⟩"
    assert handles_in("it is ⟨pin#1: 4 digits⟩ and ⟨a_b#12: 1 digit⟩") == (
        Handle("pin#1", "pin", 4),
        Handle("a_b#12", "a_b", 1),
    )


@pytest.mark.parametrize("text", ["", "pin#1", "⟨pin: 4 digits⟩", "⟨pin#1: four digits⟩", "<pin#1: 4 digits>"])
def test_other_words_are_no_handles(text: str) -> None:
    assert handles_in(text) == ()


def test_a_handle_that_grew_stands_where_it_was_mentioned_last() -> None:
    text = "it is ⟨n#1: 4 digits⟩ wait ⟨n#1: 6 digits⟩ and ⟨c#1: 4 digits⟩"
    assert with_each_handle_once(text) == "it is wait ⟨n#1: 6 digits⟩ and ⟨c#1: 4 digits⟩"


# --- no digit survives -----------------------------------------------------------------------------------------------

_spoken = st.sampled_from(
    ["zero", "oh", "one", "two", "seven", "nine", "ten", "nineteen", "twenty", "forty", "double", "triple", "hundred"]
)
_other = st.sampled_from(["my", "code", "is", "uh", "sorry", "no", "to", "for", "and", ",", ".", "-"])
_figures = st.text("0123456789", min_size=1, max_size=9)
_utterances = st.lists(st.one_of(_spoken, _figures, _other), max_size=14).map(" ".join)
_slots = st.lists(
    st.tuples(st.sampled_from(["number", "code", "date"]), st.none() | st.integers(1, 9)),
    max_size=3,
    unique_by=lambda slot: slot[0],
).map(lambda slots: tuple(Digits(name=name, length=length) for name, length in slots))


@given(_utterances, _slots)
@example("ten for double to oh", ())
def test_no_digit_of_any_number_survives(text: str, slots: tuple[Digits, ...]) -> None:
    caller = Caller(*slots)
    left = caller.says(text)
    without_handles = re.sub(r"⟨[^⟩]*⟩", ";", left)
    assert ENGLISH.digits(without_handles) == ""
    assert not re.search(r"\d", without_handles)


@given(_utterances, _slots)
@example("ten for to oh double", ())  # what stands beside a number may be one of its own once that is taken out
def test_every_digit_is_kept_in_order_of_the_handles(text: str, slots: tuple[Digits, ...]) -> None:
    caller = Caller(*slots)
    spoken = "".join(span.digits for span in ENGLISH.digit_spans(text))
    handles = {handle.handle: handle.count for handle in handles_in(caller.says(text))}
    kept = {handle: caller.vault.resolve(handle) for handle in handles}
    assert {handle: len(digits) for handle, digits in kept.items()} == handles
    assert not Counter(spoken) - Counter("".join(kept.values()))


# --- the plan --------------------------------------------------------------------------------------------------------

_sealings = st.builds(
    Sealing,
    slots=st.lists(
        st.tuples(st.sampled_from(["a#1", "b#1", "c#1"]), st.integers(0, 8)),
        min_size=1,
        max_size=3,
        unique_by=lambda slot: slot[0],
    ).map(tuple),
    counts=st.just(()),
    any_order=st.booleans(),
)


@given(_sealings, st.lists(st.integers(1, 12), max_size=5))
def test_the_plan_divides_all_digits_and_counts_them(sealing: Sealing, lengths: list[int]) -> None:
    runs = sealing.plan(lengths)
    assert [sum(taken for _, taken, _ in run) for run in runs] == lengths
    held: dict[str, int] = {}
    for run in runs:
        for handle, taken, count in run:
            assert taken > 0
            held[handle] = held.get(handle, 0) + taken
            assert count == held[handle]


@given(_sealings, st.lists(st.integers(1, 12), max_size=5))
def test_a_run_is_divided_only_where_it_fills_several_handles_exactly(sealing: Sealing, lengths: list[int]) -> None:
    room = dict(sealing.slots)
    for run in sealing.plan(lengths):
        assert len(run) == 1 or all(count == room[handle] for handle, _, count in run)


@given(st.permutations([("a#1", 4), ("b#1", 7), ("c#1", 2)]), st.permutations([4, 7, 2]))
def test_runs_that_each_fit_one_slot_find_it_in_any_order(slots: list[tuple[str, int]], lengths: list[int]) -> None:
    runs = Sealing(slots=tuple(slots), counts=()).plan(lengths)
    assert {handle: taken for run in runs for handle, taken, _ in run} == dict(slots)


# --- who says what when ----------------------------------------------------------------------------------------------


def test_a_number_read_out_in_two_utterances_is_one_handle() -> None:
    caller = Caller()
    assert caller.says("one two three") == "⟨number#1: 3 digits⟩"
    assert caller.state.missing() == 3
    assert caller.says("four five six") == "⟨number#1: 6 digits⟩"
    assert caller.state.missing() == 0
    assert caller.vault.resolve("number#1") == "123456"


def test_both_numbers_in_one_utterance_fill_both_slots() -> None:
    caller = Caller()
    left = caller.says("my number is one two three four five six and the code is seven eight nine zero")
    assert left == "my number is ⟨number#1: 6 digits⟩ and the code is ⟨code#1: 4 digits⟩"
    assert caller.vault.resolve("code#1") == "7890"


def test_both_numbers_in_one_breath_are_divided_where_the_first_is_full() -> None:
    caller = Caller()
    assert caller.says("1234567890") == "⟨number#1: 6 digits⟩ ⟨code#1: 4 digits⟩"
    assert (caller.vault.resolve("number#1"), caller.vault.resolve("code#1")) == ("123456", "7890")


@pytest.mark.parametrize(
    "text",
    [
        "code seven eight nine zero, number one two three four five six",
        "the code is 7890 and the number is 123456",
        "the number's one two three, um, four five six and the code's seven eight nine zero",
        "number one two three four, no sorry, one two three four five six, and the code is seven eight nine zero",
        "code one one one one, I mean seven eight nine zero. And the number is one two three four five six.",
        "One moment. The number is one two three four five six, and one second, the code is seven eight nine zero.",
    ],
)
def test_each_number_goes_where_its_length_fits(text: str) -> None:
    caller = Caller()
    handles = {handle.slot: handle.handle for handle in handles_in(caller.says(text))}
    assert {slot: caller.vault.resolve(handle) for slot, handle in handles.items()} == {
        "number": "123456",
        "code": "7890",
    }


@pytest.mark.parametrize(
    "text",
    [
        "one two three four, no sorry, one two three four five six",
        "one two three four five five sorry one two three four five six",
        "it's one two, wait, no, it's one two three four five six",
        "nine nine, oops, let me start over, one two three four five six",
        "my number is one two three, sorry, my number is one two three four five six",
        "nine, no, eight, no, one two three four five six",
    ],
)
def test_what_comes_after_a_sorry_replaces_what_came_before(text: str) -> None:
    caller = Caller()
    (handle,) = handles_in(caller.says(text))
    assert caller.vault.resolve(handle.handle) == "123456"


def test_a_number_begun_anew_after_a_pause_replaces_the_first_try() -> None:
    caller = Caller()
    caller.says("one two three four")
    left = caller.says("no sorry, one two three four five six")
    assert left == "no sorry, ⟨number#2: 6 digits⟩"
    assert caller.vault.resolve("number#2") == "123456"
    caller.state.turn_over()
    assert caller.says("7890") == "⟨code#3: 4 digits⟩", "no number is used twice"


def test_the_rest_of_a_number_may_come_in_the_next_turn() -> None:
    caller = Caller()
    caller.says("one two three four")
    caller.state.turn_over()
    assert caller.says("five six") == "⟨number#1: 6 digits⟩"
    assert caller.vault.resolve("number#1") == "123456"
    caller.state.turn_over()
    assert caller.says("7890") == "⟨code#3: 4 digits⟩"


def test_a_number_begun_anew_in_the_next_turn_is_no_rest_of_the_first() -> None:
    caller = Caller()
    caller.says("one two three four")
    caller.state.turn_over()
    assert caller.says("one two three") == "⟨number#2: 3 digits⟩"
    assert caller.says("four five six") == "⟨number#2: 6 digits⟩"
    assert caller.vault.resolve("number#2") == "123456"


@pytest.mark.parametrize("text", ["One moment please.", "no one", "that one", "Just one second, um, one moment."])
def test_a_one_that_counts_nothing_is_no_secret(text: str) -> None:
    assert Caller().says(text) == text


def test_the_next_turn_fills_the_next_slot_under_a_new_number() -> None:
    caller = Caller()
    caller.says("123456")
    caller.state.turn_over()
    assert caller.says("7890") == "⟨code#2: 4 digits⟩"


def test_a_number_that_was_broken_off_is_asked_for_again() -> None:
    caller = Caller()
    caller.says("1234")
    caller.state.turn_over()
    assert caller.says("123456") == "⟨number#2: 6 digits⟩"


def test_the_slot_that_was_asked_for_comes_first() -> None:
    caller = Caller()
    caller.state.asks = "code"
    assert caller.says("7890") == "⟨code#1: 4 digits⟩"


def test_a_second_try_may_be_any_of_the_answers() -> None:
    caller = Caller()
    for text in ("123456", "7890"):
        caller.says(text)
        caller.state.turn_over()
    caller.state.start_over()
    assert caller.says("4321") == "⟨code#3: 4 digits⟩"


def test_digits_that_nobody_expects_are_sealed_all_the_same() -> None:
    caller = Caller(Digits(name="code", length=4))
    assert caller.says("1234") == "⟨code#1: 4 digits⟩"
    assert caller.says("99") == "⟨code#1: 6 digits⟩"
    nobody = SealingState((), serial=5)
    assert nobody.sealing().slots == (("digits#5", 0),)


def test_no_handle_is_used_for_two_turns() -> None:
    caller = Caller()
    for _ in range(5):
        caller.says("12")
        caller.state.turn_over()
    assert len(caller.state.handles) == 5


def test_how_much_is_missing_is_not_known_before_the_first_digit() -> None:
    caller = Caller()
    assert caller.state.missing() is None
    open_ended = Caller(Digits(name="any"))
    open_ended.says("12")
    assert open_ended.state.missing() is None
