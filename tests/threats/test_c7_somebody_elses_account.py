"""C7: the caller is Ann, the model asks for Bob's account: the bank is asked for Ann's, or for nothing."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import JsonValue

from tests.threats.the_bank import ANN, BANK, BOB, JOURNEY, bank_open, call_to_the_bank, tools_at
from voiceagent.core import effects as fx
from voiceagent.core.events import ToolFailed, ToolFinished
from voiceagent.core.ids import Epoch, ToolCallId
from voiceagent.testing import ask_for, say

FOR_BOB = f'{{"customer_id": "{BOB.customer_id}", "amount": "49.99"}}'


def test_c7_what_the_model_says_of_whose_account_it_is_is_put_right_and_the_bank_sees_one_customer() -> None:
    lines = {"account_inquiry": [say("Yes?"), ask_for("find_charge", FOR_BOB), say("Nothing.")]}
    with call_to_the_bank(lines).start() as call:
        for words in (*JOURNEY[:3], "There is a charge of forty nine ninety nine"):
            call.says(words)
        (start,) = [effect for effect in call.record.effects(fx.StartTool) if effect.tool == "find_charge"]
    assert start.arguments["customer_id"] == ANN.customer_id

    async def main() -> None:
        with bank_open() as bank:
            async with tools_at(bank, BANK, phase="account_inquiry") as tools:
                assert isinstance(await tools.run(start, Epoch(4)), ToolFinished)
            asked = [request.path for request in bank.requests() if "/customers/" in request.path]
            assert asked
            assert all(f"/customers/{ANN.customer_id}/" in path for path in asked)

    asyncio.run(main())


@pytest.mark.parametrize("name", ["get_accounts", "recent_transactions", "find_charge"])
def test_c7_a_request_for_bob_that_reaches_the_executor_all_the_same_is_refused_there(name: str) -> None:
    async def main() -> None:
        arguments: dict[str, JsonValue] = {"customer_id": BOB.customer_id}
        if name == "find_charge":
            arguments["amount"] = "49.99"
        with bank_open() as bank:
            async with tools_at(bank, BANK, phase="account_inquiry") as tools:
                outcome = await tools.run(fx.StartTool(ToolCallId("t1"), name, arguments, None), Epoch(4))
            assert isinstance(outcome, ToolFailed)
            assert outcome.kind == "refused"
            assert bank.requests() == []

    asyncio.run(main())
