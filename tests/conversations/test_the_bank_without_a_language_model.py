"""Calls to the bank in which the guided model speaks, from hello to goodbye, with every way round."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from decimal import Decimal
from pathlib import Path

import pytest
from pydantic import JsonValue

from voiceagent.core import effects as fx
from voiceagent.errors import ToolFailed
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import After, Faults, ScriptedCall

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
MODELS = GuidedModels()

BALANCE = "Hi, I'd like to check the balance on my account please."
NUMBER = "My account number is four five one nine, two two seven."
PIN = "The pin is one two three four."
TRANSFER = "I want to transfer two hundred and fifty dollars to my savings account."

Arguments = Mapping[str, JsonValue]


def accounts(_: Arguments) -> JsonValue:
    return {
        "accounts": [
            {"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"},
            {"account_id": "C-1-savings", "kind": "savings", "balance": "800.00", "currency": "USD"},
        ]
    }


def transactions(arguments: Arguments) -> JsonValue:
    merchant = f"{arguments['account']} shop"
    entry = {"date": "2025-11-20", "merchant": merchant, "amount": "-12.00", "currency": "USD"}
    return {"account": arguments["account"], "transactions": [entry, entry, entry]}


def charges(arguments: Arguments) -> After:
    entry = {"date": "2025-11-20", "merchant": "Metro", "amount": "-49.99", "currency": "USD"}
    found = [entry] if arguments["amount"] == "49.99" else []
    return After(300, {"amount": arguments["amount"], "found": found})


def booked(arguments: Arguments) -> After:
    if Decimal(str(arguments["amount"])) > 1_000:
        return After(200, ToolFailed("there is not enough money in the other account"))
    return After(200, {"transfer_id": "X-1", "amount": arguments["amount"], "currency": "USD"})


@pytest.fixture
def place() -> Iterator[Callable[..., ScriptedCall]]:
    """Return a function that places a call and lets the caller say these lines; every call is replayed at the end."""
    placed: list[ScriptedCall] = []

    def place(*lines: str) -> ScriptedCall:
        attempts = iter((2, 1, 0))

        def verify(arguments: Arguments) -> JsonValue:
            if arguments == {"account_number": "4519227", "pin": "1234"}:
                return {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5}
            return {"verified": False, "customer_id": None, "name": None, "attempts_left": next(attempts)}

        call = ScriptedCall(
            BANK,
            model=MODELS.open(BANK, locale="en-US", time_zone="UTC"),
            tools={
                "verify_caller": verify,
                "get_accounts": accounts,
                "recent_transactions": transactions,
                "find_charge": charges,
                "transfer": booked,
                "block_card": {"card": "debit", "last_four": "3081", "blocked": True},
            },
        ).start()
        placed.append(call)
        for line in lines:
            call.says(line)
        return call

    yield place
    for call in placed:
        call.assert_replays()


Place = Callable[..., ScriptedCall]


def asked_for(call: ScriptedCall, tool: str) -> list[dict[str, JsonValue]]:
    """Return the arguments of every run of a tool that was no prefetch."""
    return [dict(effect.arguments) for effect in call.record.effects(fx.StartTool) if effect.tool == tool]


def transferred(call: ScriptedCall) -> list[tuple[JsonValue, JsonValue]]:
    return [(run["amount"], run["to_account"]) for run in asked_for(call, "transfer")]


def test_what_the_caller_said_before_a_reply_that_failed_is_answered(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN)
    call.world.faults = Faults(model_fails=(len(call.record.effects(fx.AskModel)) + 1,))
    call.says(TRANSFER)
    assert call.flow.phrases.apology in call.heard
    assert "$250" in call.heard[-1] or "250 dollars" in call.heard[-1]


# --- getting in ------------------------------------------------------------------------------------------------------


def test_what_was_asked_for_first_is_answered_after_the_pin_without_asking_again(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN)
    assert call.record.phases == ["greeting", "authentication", "account_inquiry"]
    assert "1,234 dollars and 50 cents" in call.heard[-1]
    assert call.ran("get_accounts") == 1, "the prefetch answers"


def test_a_transfer_asked_for_first_is_read_back_after_the_pin(place: Place) -> None:
    call = place(TRANSFER, NUMBER, PIN)
    assert call.phase == "transfer_money"
    assert call.heard[-1] == "That is 250 dollars from your checking account to your savings account. Shall I do that?"
    assert transferred(call.says("Yes, that's correct.")) == [("250", "savings")]


def test_what_is_wanted_may_be_said_while_the_number_is_asked_for(place: Place) -> None:
    call = place("I have a question about my account", "I want to know my balance", NUMBER, PIN)
    assert "1,234 dollars" in call.heard[-1]


def test_a_number_that_is_too_short_is_asked_for_again(place: Place) -> None:
    call = place(BALANCE, "four five one")
    assert call.heard[-1] == "Please tell me the seven digits of your account number."
    assert call.says(NUMBER).says(PIN).phase == "account_inquiry"


def test_the_rest_of_a_number_may_come_after_the_question(place: Place) -> None:
    call = place(BALANCE, "four five one nine", "two two seven")
    assert call.heard[-1] == "Thank you. And your four digit PIN?"
    assert call.says(PIN).phase == "account_inquiry"


@pytest.mark.parametrize(
    "words",
    [
        "four five one nine, no sorry, four five one nine two two seven, and the pin is one two three four",
        "pin one two three four account four five one nine two two seven",
        "four five one nine two two seven one two three four",
        "It's 4519227 and my PIN's 1234.",
    ],
)
def test_number_and_pin_may_come_in_one_breath_in_either_order(place: Place, words: str) -> None:
    assert place(BALANCE, words).phase == "account_inquiry"


@pytest.mark.parametrize(
    "words", ["One moment please.", "One second, let me find it.", "Hang on.", "Um, just a minute."]
)
def test_a_moment_is_no_digit(place: Place, words: str) -> None:
    call = place(BALANCE, words)
    assert call.heard[-1] == "Of course, take your time."
    assert call.says(NUMBER).says(PIN).phase == "account_inquiry"


@pytest.mark.parametrize("words", ["I don't know my account number.", "I forgot my PIN.", "I don't have it with me."])
def test_who_cannot_be_identified_is_put_through(place: Place, words: str) -> None:
    assert place(BALANCE, words).phase == "human"


@pytest.mark.parametrize(
    "words",
    [
        "I have a question about my account",
        "I need help with my bank account",
        "I want to talk about my account",
        "There's something wrong with my account",
        "I need help with my card",
    ],
)
def test_who_has_not_said_what_they_want_is_asked(place: Place, words: str) -> None:
    call = place(words, NUMBER, PIN)
    assert (call.phase, call.ended) == ("account_inquiry", False)
    assert call.heard[-1] == "Thank you, Daniel Harris. What can I do for you?"


def test_number_and_pin_may_be_pressed(place: Place) -> None:
    call = place(BALANCE).presses("4519227").presses("1234")
    assert call.phase == "account_inquiry"


def test_after_a_wrong_pin_number_and_pin_are_asked_for_anew(place: Place) -> None:
    call = place(BALANCE, NUMBER, "nine nine nine nine")
    assert call.heard[-1].startswith("I am sorry, that does not match.")
    assert call.says(NUMBER).says(PIN).phase == "account_inquiry"
    first, second = asked_for(call, "verify_caller")
    assert first["account_number"] != second["account_number"], "no handle is used twice"


def test_three_wrong_pins_lead_to_a_colleague(place: Place) -> None:
    call = place(BALANCE, *(NUMBER, "nine nine nine nine") * 3)
    assert call.phase == "human"


@pytest.mark.parametrize("before", [(), (BALANCE,), (BALANCE, NUMBER, PIN), (BALANCE, NUMBER, PIN, TRANSFER)])
def test_a_person_can_be_asked_for_at_any_time(place: Place, before: tuple[str, ...]) -> None:
    assert place(*before, "I would like to speak to a real person please.").phase == "human"


@pytest.mark.parametrize("before", [(), (BALANCE,), (BALANCE, NUMBER, PIN)])
def test_the_caller_can_say_goodbye_at_any_time(place: Place, before: tuple[str, ...]) -> None:
    call = place(*before, "Okay, thank you very much. Goodbye.")
    assert call.phase == "goodbye"
    assert call.ended


@pytest.mark.parametrize(
    "words",
    [
        "Hi, my account number is four five one nine two two seven and my pin is one two three four, my balance?",
        "My PIN is 1234, what is my balance",
        "Balance please. Account four five one nine two two seven, one two three four.",
        "It's pin one two three five, sorry, one two three four, I'd like my balance",
        "My account number is 4519227, PIN 1234, and I want to know my balance",
    ],
)
def test_a_pin_that_nobody_asked_for_stands_nowhere(place: Place, words: str) -> None:
    call = place(words)
    assert call.phase == "authentication"
    assert "1234" not in call.record.timeline()
    assert "one two three four" not in call.record.timeline()


def test_an_amount_is_no_secret(place: Place) -> None:
    call = place("Transfer twelve hundred dollars to my savings account.", NUMBER, PIN)
    assert call.heard[-1].startswith("That is 1,200 dollars from")


# --- questions -------------------------------------------------------------------------------------------------------


def test_each_question_leads_to_its_own_tool(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "Can you tell me about the last three transactions?")
    assert call.heard[-1].count("12 dollars at checking shop") == 3
    call.says("There is a charge of forty nine dollars and ninety nine cents that I don't recognize.")
    assert asked_for(call, "find_charge")[0]["amount"] == "49.99"
    assert "49 dollars and 99 cents at Metro" in call.heard[-1]


def test_what_is_missing_is_asked_for_and_the_next_words_are_the_answer(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "There is a charge I don't recognize")
    assert call.heard[-1] == "How much was the charge?"
    call.says("forty nine dollars and ninety nine cents")
    assert asked_for(call, "find_charge")[0]["amount"] == "49.99"


def test_instead_of_an_answer_the_caller_may_ask_for_something_else(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "There is a charge I don't recognize", "Read me my latest purchases")
    assert asked_for(call, "find_charge") == []
    assert "checking shop" in call.heard[-1]


def test_an_answer_can_be_corrected_with_a_word(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "What were my last transactions?", "Sorry, I meant savings")
    assert "savings shop" in call.heard[-1]


def test_the_last_sentence_is_said_again_on_request(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN)
    balance = call.heard[-1]
    assert call.says("Could you repeat that please?").heard[-1] == balance


def test_what_nobody_can_do_here_starts_nothing(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN)
    runs = len(call.tool_runs)
    call.says("I want to order a pizza")
    assert len(call.tool_runs) == runs
    assert call.heard[-1] == "I can tell you balances and transactions, move money, or block your card."


def test_a_caller_who_needs_a_moment_is_given_it(place: Place) -> None:
    assert place("Hold on, hold on a second.").heard[-1] == "Of course, take your time."


@pytest.mark.parametrize(
    "words",
    [
        "No.", "No thanks.", "Nope.", "Thank you.", "Thanks a lot.", "No, that's okay.", "No that's it.", "I'm good.",
        "Okay, thank you so much.", "Not right now.", "No, you've been very kind.", "That solves it.",
        "Nothing, thanks.",
    ],
)  # fmt: skip
def test_who_needs_nothing_else_is_let_go(place: Place, words: str) -> None:
    assert place(BALANCE, NUMBER, PIN, words).phase == "goodbye"


def test_who_needs_something_else_is_asked_what(place: Place) -> None:
    assert place(BALANCE, NUMBER, PIN, "Yes.").heard[-1] == "What can I do for you?"


def test_a_no_to_the_question_for_an_amount_ends_nothing(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "There is a charge I don't recognize", "No.")
    assert call.heard[-1] == "In dollars and cents, please: how much was the charge?"


def test_what_was_not_heard_is_said_again(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN)
    balance = call.heard[-1]
    assert call.says("What?").heard[-1] == balance


# --- what cannot be undone -------------------------------------------------------------------------------------------


def test_a_transfer_is_made_after_a_clear_yes_and_once(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER)
    assert transferred(call) == []
    call.says("Yes, that's correct.")
    assert transferred(call) == [("250", "savings")]
    assert call.phase == "wrap_up"
    assert call.heard[-1] == "Done: 250 dollars to your savings account. Is there anything else?"


def test_amount_and_account_can_be_told_one_by_one(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "I'd like to make a transfer", "two hundred", "to savings", "yes")
    assert transferred(call) == [("200", "savings")]


def test_what_was_read_back_can_be_corrected(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER, "Sorry, I meant the checking account, not savings.")
    assert call.heard[-1] == "That is 250 dollars from your savings account to your checking account. Shall I do that?"
    assert transferred(call.says("Yes")) == [("250", "checking")]


@pytest.mark.parametrize(
    "words",
    [
        "Yes, to savings.", "Yes, the savings account.", "Yes, do it tomorrow.", "Do it later.", "Yes, later.",
        "Okay, let me think.", "Right, and how much is left after that", "Yes I heard you.", "Okay so from checking",
        "Sure, if I still have that much", "Yes, in an hour.", "Yes, half of it.",
    ],
)  # fmt: skip
def test_a_yes_that_changes_or_postpones_does_not_do_it(place: Place, words: str) -> None:
    assert transferred(place(BALANCE, NUMBER, PIN, "Transfer fifty dollars to checking", words)) == []


@pytest.mark.parametrize(
    ("words", "source", "goal"),
    [
        ("fifty dollars to checking from savings", "savings", "checking"),
        ("move fifty dollars from savings", "savings", "checking"),
        ("take fifty dollars out of my savings", "savings", "checking"),
        ("fifty dollars from checking over to savings please", "checking", "savings"),
        ("put fifty dollars into checking please, from my savings account", "savings", "checking"),
        ("fifty bucks, not to savings, to checking", "savings", "checking"),
        ("fifty dollars off my checking account", "checking", "savings"),
    ],
)
def test_money_goes_the_way_it_was_told_and_both_accounts_are_read_back(
    place: Place, words: str, source: str, goal: str
) -> None:
    call = place(BALANCE, NUMBER, PIN, "I'd like to make a transfer", words)
    assert call.heard[-1] == f"That is 50 dollars from your {source} account to your {goal} account. Shall I do that?"
    assert transferred(call.says("Yes, please.")) == [("50", goal)]


def test_no_amount_is_guessed(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "Transfer twenty to thirty dollars to savings")
    assert call.heard[-1] == "How much would you like to transfer?"
    assert call.says("A dollar fifty.").heard[-1].startswith("That is 1 dollar and 50 cents from")


def test_a_second_no_leaves_the_transfer(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER, "No.", "No.")
    assert (call.phase, transferred(call)) == ("wrap_up", [])


def test_a_no_with_another_amount_is_read_back_anew(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER, "No, fifteen.")
    assert call.heard[-1].startswith("That is 15 dollars from your checking account")


@pytest.mark.parametrize(
    "words",
    [
        "My card was not stolen.", "Is my card blocked?", "is my card blocked", "Has my card been blocked?",
        "Did you block my card", "Nobody stole my card.", "I never lost my card.", "Why is my card blocked",
        "Don't block my card.", "What happens if I lose my card?",
    ],
)  # fmt: skip
def test_what_is_denied_or_only_asked_blocks_no_card(place: Place, words: str) -> None:
    assert "Is that right?" not in place(BALANCE, NUMBER, PIN, words).heard[-1]


@pytest.mark.parametrize(
    "words", ["Can you block my card?", "I can't find my card.", "Is it possible to block my card?", "My card is gone."]
)
def test_a_card_that_is_to_be_blocked_is_read_back(place: Place, words: str) -> None:
    assert place(BALANCE, NUMBER, PIN, words).heard[-1].endswith("Is that right?")


def test_after_a_no_the_amount_can_be_changed(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER, "No.")
    assert call.heard[-1].startswith("All right, nothing has been transferred.")
    assert transferred(call.says("Make it three hundred dollars").says("Yes")) == [("300", "savings")]


@pytest.mark.parametrize("words", ["No.", "No, don't transfer it.", "No, wait. Stop.", "No, don't do that."])
def test_no_refusal_leads_to_another_read_back(place: Place, words: str) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER)
    asked = call.heard[-1]
    call.says(words)
    assert asked not in call.heard[call.heard.index(asked) + 1 :]
    assert transferred(call) == []


def test_a_read_back_that_was_not_heard_is_read_back_again_and_then_takes_the_yes(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER)
    asked = call.heard[-1]
    assert call.says("Could you repeat that please?").heard[-1] == asked
    assert transferred(call.says("Yes")) == [("250", "savings")]


def test_why_a_transfer_failed_is_told_and_another_amount_can_be_tried(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, "I want to transfer two thousand dollars to my savings account.", "Yes")
    assert "there is not enough money in the other account" in call.heard[-1]
    call.says("Then one hundred dollars").says("Yes")
    assert transferred(call) == [("2000", "savings"), ("100", "savings")]


def test_a_transfer_can_be_called_off_and_nothing_of_it_comes_back(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER, "No.", "forget it")
    assert call.phase == "wrap_up"
    call.says("I'd like to make a transfer")
    assert call.heard[-1] == "How much would you like to transfer?"
    call.says("fifty dollars")
    assert call.heard[-1] == "To checking or to savings?"


def test_one_transfer_after_another_in_one_call(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER, "Yes", "Yes, I want to transfer twenty dollars to checking", "Yes")
    assert transferred(call) == [("250", "savings"), ("20", "checking")]


def test_after_a_transfer_another_question_is_answered_at_once(place: Place) -> None:
    call = place(BALANCE, NUMBER, PIN, TRANSFER, "Yes", "yes please, what is my balance")
    assert call.phase == "account_inquiry"
    assert "1,234 dollars" in call.heard[-1]
    assert call.ran("get_accounts") == 2, "the transfer made the first answer stale"


def test_a_card_is_blocked_as_what_the_caller_said_it_was(place: Place) -> None:
    call = place("Somebody stole my card", NUMBER, PIN)
    assert call.heard[-1] == "I will block your debit card for good, as stolen. Is that right?"
    assert [run["reason"] for run in asked_for(call.says("Yes"), "block_card")] == ["stolen"]
    assert call.heard[-1] == "Your debit card is blocked. Anything else?"
