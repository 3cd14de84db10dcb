"""A call whose connection breaks goes on where it stood once the carrier connects it again (fault 8)."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import After, RuntimeCall

BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
WISH = "Hi, I'd like to check the balance on my account please."
NUMBER = "My account number is four five one nine, two two seven."
PIN = "The pin is one two three four."
HISTORY = "Can you tell me about the last three transactions?"
TRANSFER = "I want to transfer two hundred and fifty dollars to my savings account."
YES = "Yes, that's correct."
CUT_OFF = BANK.phrases.resumed


def bank_call(*, transfer_takes_ms: int = 200, history_takes_ms: int = 200) -> RuntimeCall:
    """Place a call to the bank of a customer who knows their PIN."""
    accounts = [{"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"}]
    entry = {"date": "2025-11-20", "merchant": "Metro", "amount": "-12.00", "currency": "USD"}
    tools = {
        "verify_caller": {"verified": True, "customer_id": "C-1", "name": "Daniel Harris", "attempts_left": 5},
        "get_accounts": {"accounts": accounts},
        "recent_transactions": After(history_takes_ms, {"account": "checking", "transactions": [entry]}),
        "transfer": After(transfer_takes_ms, {"transfer_id": "X-1", "amount": "250", "currency": "USD"}),
    }
    return RuntimeCall(BANK, model=GuidedModels().open(BANK, locale="en-US", time_zone="UTC"), tools=tools)


def identified(call: RuntimeCall) -> RuntimeCall:
    return call.start().says(WISH).says(NUMBER).says(PIN)


def test_the_last_question_is_asked_again_in_the_same_phase_with_the_same_facts() -> None:
    with bank_call() as call:
        identified(call)
        facts, question = call.facts, call.heard[-1]
        call.loses_connection().run_ms(3_000).connects_again()
        assert call.heard[-2:] == [CUT_OFF, question]
        assert (call.phase, call.facts) == ("account_inquiry", facts)
        call.says(HISTORY)
        assert "Metro" in call.heard[-1]
        assert call.ran("verify_caller") == call.ran("get_accounts") == 1


def test_what_was_fetched_ahead_is_still_known() -> None:
    with bank_call(history_takes_ms=400) as call:
        identified(call).run_ms(2_000).loses_connection().run_ms(3_000).connects_again()
        runs = call.ran("recent_transactions")
        call.says(HISTORY)
        assert call.ran("recent_transactions") == runs
        assert [served.how for served in call.record.effects(fx.ServeFromCache)][-1] == "hit"


def test_a_sentence_that_broke_off_is_said_again_whole() -> None:
    with bank_call() as call:
        call.start(then_wait=False).until_speaking(700).loses_connection().run_ms(2_000).connects_again()
        assert call.heard[-2:] == [CUT_OFF, "Hello, this is Harbour Bank. How can I help you?"]


def test_secrets_die_with_the_connection_and_are_asked_for_again() -> None:
    with bank_call() as call:
        call.start().says(WISH).says(NUMBER).loses_connection().run_ms(3_000).connects_again()
        assert "account number" in call.heard[-1]
        call.says("four five one nine two two seven").says(PIN)
        assert call.phase == "account_inquiry"
        (run,) = [arguments for tool, arguments in call.tool_runs if tool == "verify_caller"]
        assert "#1" not in str(run["account_number"]), "the number of the first connection is gone"


def test_a_read_back_is_read_back_again_and_done_once() -> None:
    with bank_call() as call:
        identified(call).says(TRANSFER)
        read_back = call.heard[-1]
        call.loses_connection().run_ms(5_000).connects_again()
        assert call.heard[-1] == read_back
        assert call.ran("transfer") == 0
        call.says(YES)
        assert call.ran("transfer") == 1
        assert call.phase == "wrap_up"


def test_a_write_that_goes_on_without_a_connection_comes_to_its_end_and_is_told() -> None:
    with bank_call(transfer_takes_ms=1_500) as call:
        identified(call).says(TRANSFER).says(YES, then_wait=False).until_tool("transfer").run_ms(50)
        call.loses_connection().run_ms(2_000).connects_again()
        assert call.ran("transfer") == 1
        assert call.phase == "wrap_up"
        assert "Done: 250 dollars to your savings account." in call.heard[-1]


def test_what_the_caller_had_asked_is_answered() -> None:
    with bank_call() as call:
        identified(call).says(HISTORY, then_wait=False).until(fx.AskModel).run_ms(10)
        call.loses_connection().run_ms(2_000).connects_again()
        assert "Metro" in call.heard[-1]


@pytest.mark.parametrize("swap", BOTH)
def test_a_read_that_was_broken_off_is_run_again(swap: Swapping) -> None:
    call, _ = call_to(desk(), swap, tools_take_ms=3_000)
    with call:
        call.start().says("When are you open?", then_wait=False).until_tool("opening_hours").run_ms(1_000)
        call.loses_connection().run_ms(4_000).connects_again()
        assert call.ran("opening_hours") == 2
        assert call.really_heard.endswith("From nine to five.")


def test_it_may_break_again_before_anything_was_said() -> None:
    with bank_call() as call:
        identified(call)
        question = call.heard[-1]
        for _ in range(3):
            call.loses_connection().run_ms(1_000).connects_again(then_wait=False)
        call.until_quiet()
        assert call.heard[-1] == question
        call.says(HISTORY)
        assert "Metro" in call.heard[-1]


@pytest.mark.parametrize("swap", BOTH)
def test_another_session_of_a_speech_model_knows_what_was_said(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I have a visit")
        before = len(provider.sessions)
        call.loses_connection().run_ms(2_000).connects_again()
        assert call.phase == "visits"
        assert len(provider.sessions) > before
        told = [message.text for message in provider.sessions[-1].told]
        assert "I have a visit" in told
        call.says("When are you open?")
        assert "From nine to five." in call.really_heard


def test_a_caller_who_hangs_up_is_not_waited_for() -> None:
    with bank_call() as call:
        identified(call).hangs_up()
        assert call.ended
        assert not any(isinstance(event, ev.CallResumed) for _, event, _ in call.journal)
