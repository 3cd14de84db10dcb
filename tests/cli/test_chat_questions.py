"""What is answered to /phase, /facts, /tools and /why, in calls on the core alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import pytest

from voiceagent.cli.chatting.questions import Answer, LastTurn, about_facts, about_phase, about_tools, why
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.flow import Flow
from voiceagent.testing import ScriptedCall

BANK = Path(__file__).resolve().parents[2] / "phases" / "bank"
DANIEL = {"verified": True, "customer_id": "C-1001", "name": "Daniel Harris", "attempts_left": 3}
WRONG = {"verified": False, "attempts_left": 2}


@pytest.fixture(scope="module")
def bank() -> Flow:
    return load_flow(BANK)


def called(bank: Flow, *lines: str, verified: object = DANIEL) -> ScriptedCall:
    model = GuidedModels().open(bank, locale="en-US", time_zone="UTC")
    accounts = {"accounts": [{"account_id": "a", "kind": "checking", "balance": "12.50", "currency": "USD"}]}
    tools = {"verify_caller": verified, "get_accounts": accounts, "recent_transactions": {"transactions": []}}
    call = ScriptedCall(bank, model=model, tools=cast("Any", tools)).start()
    for line in lines:
        call.says(line)
    return call


def asked_why(call: ScriptedCall) -> Answer:
    last = LastTurn()
    for _, event, outgoing in call.journal:
        last.happened(event, outgoing)
    return why(call.conversation, last)


TO_THE_PIN = ("what is my balance", "four five one nine two two seven", "one two three four")


def test_a_phase_is_told_with_its_ways_out_and_its_prompt(bank: Flow):
    answer = about_phase(called(bank, *TO_THE_PIN[:2]).conversation)
    assert answer.about["phase"] == "authentication"
    assert answer.about["entry"] == 2
    assert answer.about["turns"] == 1
    assert "verify_caller → account_inquiry if verified" in [line.strip() for line in answer.lines]
    assert answer.about["prompt"] == bank.prompts["bank/authentication.md"].static


def test_the_late_part_of_a_prompt_is_told_filled_in_as_the_model_reads_it(bank: Flow):
    answer = about_phase(called(bank, *TO_THE_PIN).conversation)
    assert answer.about["phase"] == "account_inquiry"
    assert "Daniel Harris" in cast("str", answer.about["late_facts"])


def test_facts_about_whoever_has_proved_who_they_are_are_masked(bank: Flow):
    answer = about_facts(called(bank, *TO_THE_PIN).conversation)
    assert answer.about["facts"] == {
        "verified": True,
        "customer_id": "••• (6 letters)",
        "customer_name": "••• (13 letters)",
        "attempts_left": 3,
    }
    assert answer.about["grants"] == ["account_access"]
    assert "C-1001" not in "".join(answer.lines) + json.dumps(answer.about)


def test_a_tool_is_offered_with_its_arguments_and_without_those_that_are_bound(bank: Flow):
    answer = about_tools(called(bank, *TO_THE_PIN).conversation)
    lines = "\n".join(answer.lines)
    assert "get_accounts()" in lines
    assert "recent_transactions(account: checking | savings)" in lines


def test_a_tool_that_is_declared_and_not_offered_is_told_with_the_reason():
    call = called(load_flow(BANK), *TO_THE_PIN)
    call.conversation.state.grants.clear()
    lines = about_tools(call.conversation).lines
    assert "not offered: get_accounts: get_accounts is not permitted: the caller has no account_access" in lines


def test_a_transition_that_fired_is_told_with_what_tried_it_and_the_facts_of_its_guard(bank: Flow):
    answer = asked_why(called(bank, *TO_THE_PIN))
    text = "\n".join(answer.lines)
    assert "in authentication the model was offered: verify_caller, talk_to_human, finish" in text
    assert "it asked for: verify_caller, get_accounts" in text
    assert "transitions of authentication, tried by verify_caller:" in text
    assert "✓ verify_caller → account_inquiry if verified: taken (verified is true)" in text
    assert "keys 0 → human: not tried" in text


def test_a_transition_whose_guard_did_not_hold_is_told_with_the_facts_that_it_was_held_against(bank: Flow):
    answer = asked_why(called(bank, *TO_THE_PIN, verified=WRONG))
    text = "\n".join(answer.lines)
    assert (
        "✗ verify_caller → account_inquiry if verified: tried, but its guard does not hold (verified is false)" in text
    )
    assert "(verified is false; attempts_left is 2)" in text


def test_a_turn_in_which_nothing_tried_anything_says_so(bank: Flow):
    answer = asked_why(called(bank, "what is my balance", "hm, what"))
    (decision,) = cast("list[dict[str, Any]]", answer.about["decisions"])
    assert decision["tried_by"] == []
    assert {transition["verdict"] for transition in decision["transitions"]} == {
        "not tried",
        "not tried, and its guard does not hold",
    }
