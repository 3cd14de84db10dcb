"""Fault 17: a hundred reads of the same thing at once are one request; a failure is not kept; whoever had asked first
and is given up hands over to the next."""

from __future__ import annotations

from collections.abc import Mapping

import pytest
from pydantic import JsonValue

from voiceagent import Facts, Flow, Limits, Phase, Prefetch, Prompt, Say, ToolFailed, Transition, tool
from voiceagent.ports import ReplyDone, ToolRequest
from voiceagent.testing import After, RuntimeCall
from voiceagent.testing.scripted_model import ModelRule, RuledModel, ask_for, say

AT_ONCE = 100
BALANCE: JsonValue = {"balance": "12.00"}
STAMPEDE = (*(ToolRequest(f"s{number}", "balance", "{}") for number in range(AT_ONCE)), ReplyDone())
MODEL = [
    ModelRule(tuple(ask_for("identify")), phase="who", caller_says="me"),
    ModelRule(STAMPEDE, caller_says="balance"),
    ModelRule(tuple(say("That is what there is.")), after_tool="balance"),
]


class Known(Facts):
    """Who calls."""

    customer: str | None = None


@tool(sets=("customer",), grants=("identity",))
async def identify() -> dict[str, str]:
    """Find out who calls."""
    raise AssertionError("the script answers")


@tool(requires=("identity",), timeout_ms=4_000, fresh_ms=600_000)
async def balance() -> dict[str, str]:
    """What is left."""
    raise AssertionError("the script answers")


class Account:
    """What answers: each run as the script says, the last answer again and again."""

    def __init__(self, *answers: After) -> None:
        self.answers = answers
        self.asked = 0

    def __call__(self, _: Mapping[str, JsonValue]) -> After:
        self.asked += 1
        return self.answers[min(self.asked, len(self.answers)) - 1]


def identified(account: Account, *, fetched_ahead: bool, deadline_ms: int = 4_000) -> RuntimeCall:
    """Place a call to the desk by somebody who is known."""
    ahead = (Prefetch(tool=balance, deadline_ms=deadline_ms),) if fetched_ahead else ()
    flow = Flow(
        name="desk",
        initial="who",
        facts=Known,
        phases=(
            Phase(
                name="who",
                prompt="desk/who.md",
                on_enter=Say(text="Hello."),
                tools=(identify,),
                transitions=(Transition(on=identify, to="account", prefetch=ahead),),
            ),
            Phase(name="account", prompt="desk/who.md", on_enter=Say(text="I know you."), tools=(balance,)),
        ),
        prompts={"desk/who.md": Prompt("Be kind.")},
        limits=Limits(max_history_messages=1_000),
    )
    call = RuntimeCall(flow, model=RuledModel(MODEL), tools={"identify": {"customer": "C-1"}, "balance": account})
    return call.start().says("It is me", then_wait=False).until_heard("I know you.")


def answers(call: RuntimeCall) -> list[str]:
    """Return what the model was told of each of its requests."""
    return [
        message.text
        for message in call.conversation.transcript.messages()
        if message.role == "tool_result" and message.tool == "balance"
    ]


RIGHT = '{"balance":"12.00"}'


@pytest.mark.parametrize("fetched_ahead", [False, True], ids=["asked by the model", "joining what is fetched ahead"])
def test_a_hundred_reads_at_once_are_one_request(fetched_ahead: bool) -> None:
    account = Account(After(3_500, BALANCE))
    with identified(account, fetched_ahead=fetched_ahead) as call:
        call.says("My balance, please")
        assert account.asked == 1
        assert answers(call) == [RIGHT] * AT_ONCE


def test_a_failure_is_told_to_all_who_wait_and_is_not_kept() -> None:
    account = Account(After(1_000, ToolFailed("the bank does not answer")), After(1_000, BALANCE))
    with identified(account, fetched_ahead=False) as call:
        call.says("My balance, please")
        assert account.asked == 1
        assert answers(call) == ['"the bank does not answer"'] * AT_ONCE
        call.says("My balance once more")
        assert account.asked == 2
        assert answers(call)[AT_ONCE:] == [RIGHT] * AT_ONCE


@pytest.mark.parametrize(
    "first", [After(3_500, ToolFailed("the bank does not answer")), After(3_900, BALANCE)], ids=["fails", "given up"]
)
def test_a_fetch_that_comes_to_nothing_hands_over_to_one_of_those_who_wait(first: After) -> None:
    account = Account(first, After(1_000, BALANCE))
    with identified(account, fetched_ahead=True, deadline_ms=3_700) as call:
        call.says("My balance, please")
        assert account.asked == 2
        assert answers(call) == [RIGHT] * AT_ONCE


def test_what_was_answered_is_not_asked_for_again() -> None:
    account = Account(After(1_000, BALANCE))
    with identified(account, fetched_ahead=False) as call:
        call.says("My balance, please").says("And my balance again")
        assert account.asked == 1
        assert answers(call) == [RIGHT] * 2 * AT_ONCE


def test_whoever_waits_is_let_go_of_with_the_one_who_asked() -> None:
    account = Account(After(3_500, BALANCE))
    with identified(account, fetched_ahead=False) as call:
        call.says("My balance, please", then_wait=False).until_tool("balance").run_ms(500)
        call.hangs_up()
        assert account.asked == 1
        assert answers(call) == []
