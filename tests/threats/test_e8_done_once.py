"""E8: whatever gets lost on the way, the bank's books show a transfer once, and the caller is told what is so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from bank_api import BankApi
from pydantic import JsonValue

from tests.threats.the_bank import ANN, ANSWERS, BANK, bank_open, confirmed, tools_at, with_tool
from voiceagent import Facts, Flow, HangUpAfter, Phase, Prompt, Say, tool
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.events import ToolFailed, ToolFinished
from voiceagent.core.ids import Epoch, LegId
from voiceagent.errors import OutcomeUnknown
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import ReplyDone, ToolRequest
from voiceagent.testing import After, RuntimeCall, ScriptedCall, ScriptedModel, ask_for, say

ARGUMENTS: dict[str, JsonValue] = {"customer_id": ANN.customer_id, "amount": "25.00", "to_account": "savings"}
START = confirmed("transfer", ARGUMENTS)
LOST = fx.Reconcile(START.call, START.tool, ARGUMENTS, START.idempotency_key)
NOW = Epoch(4)


def moved(bank: BankApi, act: Callable[[Any], Any], *, flow: Flow = BANK) -> tuple[Any, int, int]:
    """Return what came of it, by how much the books have changed, and how often the bank was asked to transfer."""
    before = bank.balance_of(ANN.account_number, "savings")

    async def main() -> Any:
        async with tools_at(bank, flow, phase="transfer_money") as tools:
            return await act(tools)

    outcome = asyncio.run(main())
    posts = [request for request in bank.requests() if request.method == "POST" and "transfers" in request.path]
    assert all(post.has_idempotency_key for post in posts)
    return outcome, int(bank.balance_of(ANN.account_number, "savings") - before), len(posts)


async def _run(tools: Any) -> Any:
    return await tools.run(START, NOW)


def test_e8_a_transfer_whose_answer_was_an_error_was_made_once_and_is_known_to_be() -> None:
    with bank_open(lost_answers={"transfers": 0}) as bank:
        outcome, dollars, posts = moved(bank, _run)
    assert isinstance(outcome, ToolFinished)
    assert outcome.result["status"] == "booked"
    assert (dollars, posts) == (25, 1)


def test_e8_a_transfer_that_timed_out_after_the_bank_had_made_it_is_looked_up_and_not_repeated() -> None:
    with bank_open(lost_answers={"transfers": 6_000}) as bank:
        outcome, dollars, posts = moved(bank, _run, flow=with_tool("transfer", timeout_ms=2_000))
    assert isinstance(outcome, ToolFinished)
    assert (outcome.result["amount"], dollars, posts) == ("25.00", 25, 1)


def test_e8_where_the_bank_cannot_say_either_it_stays_unknown_and_is_not_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("voiceagent.tools.running._RECONCILED_WITHIN_MS", 1_200)
    with bank_open(lost_answers={"transfers": 0}, failures={"reconcile": 503}) as bank:
        outcome, dollars, posts = moved(bank, _run)
        looked_up = [request for request in bank.requests() if request.method == "GET"]
    assert isinstance(outcome, ToolFailed)
    assert outcome.kind == "unknown"
    assert (dollars, posts) == (25, 1)
    assert len(looked_up) >= 2


def test_e8_a_transfer_that_the_bank_never_got_stays_unknown_and_nothing_is_moved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("voiceagent.tools.running._RECONCILED_WITHIN_MS", 1_200)
    with bank_open(failures={"transfers": 503}) as bank:
        outcome, dollars, posts = moved(bank, _run)
    assert isinstance(outcome, ToolFailed)
    assert (outcome.kind, dollars, posts) == ("unknown", 0, 1)


def test_e8_another_process_looks_it_up_after_a_restart() -> None:
    with bank_open() as bank:
        first, dollars, _ = moved(bank, _run)
        assert isinstance(first, ToolFinished)
        again, more, posts = moved(bank, lambda tools: tools.reconcile(LOST))
    assert isinstance(again, ToolFinished)
    assert again.result == first.result
    assert (dollars, more, posts) == (25, 0, 1)


def test_e8_after_a_restart_nothing_that_only_reads_and_nothing_unheard_of_is_reconciled() -> None:
    async def act(tools: Any) -> Any:
        return [
            await tools.reconcile(fx.Reconcile(START.call, name, {"customer_id": ANN.customer_id}, "call-1:1"))
            for name in ("get_accounts", "wire_everything")
        ]

    with bank_open() as bank:
        outcomes, _, _ = moved(bank, act)
        assert bank.requests() == []
    assert [outcome.kind for outcome in outcomes] == ["refused", "refused"]


def test_e8_the_same_intent_twice_is_in_the_books_once() -> None:
    async def twice(tools: Any) -> Any:
        return [await tools.run(START, NOW), await tools.run(START, NOW)]

    with bank_open() as bank:
        outcomes, dollars, posts = moved(bank, twice)
    assert outcomes[0].result == outcomes[1].result
    assert (dollars, posts) == (25, 2)


def test_e8_a_card_is_blocked_under_a_key_too_and_an_error_leaves_it_unknown() -> None:
    arguments: dict[str, JsonValue] = {"customer_id": ANN.customer_id, "reason": "lost"}

    async def main() -> Any:
        with bank_open(lost_answers={"cards": 0}) as bank:
            async with tools_at(bank, BANK, phase="account_inquiry") as tools:
                outcome = await tools.run(confirmed("block_card", arguments), NOW)
            (post,) = [request for request in bank.requests() if "cards" in request.path]
            assert post.has_idempotency_key
            return outcome

    assert asyncio.run(main()).kind == "unknown"


# --- what a model asks for twice -------------------------------------------------------------------------------------


@tool(effect="write")
async def add_note(text: str) -> str:
    """Add a note."""
    raise AssertionError("the script answers")


DESK = Flow(
    name="desk",
    initial="counter",
    facts=Facts,
    prompts={"desk/counter.md": Prompt("Be kind.")},
    phases=(Phase(name="counter", prompt="desk/counter.md", on_enter=Say(text="Hello."), tools=(add_note,)),),
)


def notes(*texts: str) -> list[ToolRequest | ReplyDone]:
    wanted = [ToolRequest(f"n{number}", "add_note", f'{{"text": "{text}"}}') for number, text in enumerate(texts)]
    return [*wanted, ReplyDone()]


def test_e8_a_write_that_one_reply_asks_for_twice_is_done_once_and_both_requests_are_answered() -> None:
    model = ScriptedModel({"counter": [notes("milk", "milk", "bread"), say("Done."), notes("milk"), say("Again.")]})
    with RuntimeCall(DESK, model=model, tools={"add_note": "added"}).start() as call:
        call.says("Milk, milk and bread, please")
        assert [arguments["text"] for _, arguments in call.tool_runs] == ["milk", "bread"]
        results = [m for m in call.conversation.transcript.messages() if m.role == "tool_result"]
        assert len(results) == 3
        assert [m.text for m in results].count('"added"') == 2
        assert sum("it is done once" in m.text for m in results) == 1
        call.says("And milk once more")
        assert [arguments["text"] for _, arguments in call.tool_runs] == ["milk", "bread", "milk"]
        keys = [effect.idempotency_key for effect in call.record.effects(fx.StartTool)]
        assert len(set(keys)) == 3


# --- a call that broke off in the middle of a transfer ---------------------------------------------------------------


def test_e8_a_call_that_goes_on_after_a_crash_asks_what_has_become_of_its_transfer_and_tells_it_once() -> None:
    model = GuidedModels().open(BANK, locale="en-US", time_zone="UTC")
    call = ScriptedCall(BANK, model=model, tools={**ANSWERS, "transfer": After(14_000, {"amount": "250.00"})}).start()
    call.says("I want to transfer two hundred and fifty dollars to my savings account")
    call.says("four five one nine two two seven").says("one two three four")
    call.says("Yes, that's correct.", then_wait=False).until(fx.StartTool)
    while not any(start.tool == "transfer" for start in call.record.effects(fx.StartTool)):
        call.run_ms(50)
    call.happens(ev.CallResumed(3_000)).happens(ev.LegAttached(LegId("l2"), "script")).until_quiet()
    (transfer,) = [start for start in call.record.effects(fx.StartTool) if start.tool == "transfer"]
    (lost,) = call.record.effects(fx.Reconcile)
    assert (lost.call, lost.arguments, lost.idempotency_key) == (
        transfer.call, transfer.arguments, transfer.idempotency_key,
    )  # fmt: skip
    assert any("I cannot tell whether the transfer went through" in words for words in call.heard), (
        call.record.timeline()
    )
    results = [m for m in call.conversation.transcript.messages() if m.role == "tool_result" and m.tool == "transfer"]
    assert len(results) == 1
    call.assert_replays()


@tool(effect="irreversible", confirm="I will send {{ amount }} dollars. Shall I?")
async def send_money(amount: int) -> str:
    """Send money."""
    raise AssertionError(amount)


def test_e8_what_nobody_knows_whether_it_was_done_keeps_its_key_when_it_is_asked_for_again() -> None:
    outcomes: Iterator[JsonValue | After] = iter([After(20, OutcomeUnknown()), "sent", "sent", "sent"])
    amounts = (25, 25, 30, 25)
    model = ScriptedModel({"counter": [ask_for("send_money", f'{{"amount": {amount}}}') for amount in amounts]})
    flow = Flow(
        name="desk",
        initial="counter",
        facts=Facts,
        prompts={"desk/counter.md": Prompt("Be kind.")},
        phases=(
            Phase(name="counter", prompt="desk/counter.md", on_enter=Say(text="Hello."), tools=(send_money,)),
            Phase(name="end", ends=HangUpAfter()),
        ),
    )
    with RuntimeCall(flow, model=model, tools={"send_money": lambda _: next(outcomes)}).start() as call:
        call.says("Send twenty five dollars")
        for _ in amounts:
            call.until_quiet().run_ms(1_500).says("Yes.").until_quiet()
        starts = call.record.effects(fx.StartTool)
        assert [start.arguments["amount"] for start in starts] == list(amounts)
        first, again, other, anew = (start.idempotency_key for start in starts)
        assert first == again
        assert len({first, other, anew}) == 3
