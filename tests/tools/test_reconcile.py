"""What has become of a write whose outcome was lost: its tool's `reconcile` is asked, with what is left to ask by."""

from __future__ import annotations

import asyncio
from decimal import Decimal

import pytest
from pydantic import JsonValue

from tests.tools.tool_runs import Call, failed, first_look
from voiceagent import OutcomeUnknown, Sealed, Tool, ToolContext, tool
from voiceagent.core.effects import Reconcile
from voiceagent.core.events import ToolFailed as ToolCallFailed
from voiceagent.core.events import ToolFinished
from voiceagent.core.ids import ToolCallId
from voiceagent.tools.running import _FIRST_LOOK_MS, _RECONCILED_WITHIN_MS

KEY = "call-1:1"
DONE = ToolFinished(ToolCallId("t1"), {"done": True})


class Books:
    """What the service has written down, and how it was asked."""

    def __init__(self) -> None:
        self.asked: list[tuple[object, ...]] = []

    def look_up(self, *by: object) -> dict[str, object]:
        self.asked.append(by)
        return {"done": True}


def _after_a_restart(call: Call, of: Tool, arguments: dict[str, JsonValue]) -> ToolFinished | ToolCallFailed:
    """Another process, whose vault is empty, goes on with a call that broke off in the middle of a write."""

    async def main() -> ToolFinished | ToolCallFailed:
        asking = asyncio.ensure_future(call.tools.reconcile(Reconcile(ToolCallId("t1"), of.name, arguments, KEY)))
        await first_look(call, asking)
        return await asking

    return asyncio.run(main())


PAYMENT: dict[str, JsonValue] = {"customer_id": "c1", "amount": "25.00", "pin": "⟨pin#1: 4 digits⟩"}


def _payment(books: Books) -> Tool:
    async def paid(amount: Decimal, ctx: ToolContext) -> object:
        return books.look_up(amount, ctx.idempotency_key)

    @tool(effect="irreversible", confirm="Really?", binds=("customer_id",), reconcile=paid)
    async def pay(customer_id: str, amount: Decimal, pin: Sealed) -> object:
        """Pay."""
        raise AssertionError("it is never made again")

    return pay


def test_a_write_whose_secret_is_gone_is_looked_up_by_what_is_not() -> None:
    books = Books()
    pay = _payment(books)
    assert _after_a_restart(Call(pay), pay, PAYMENT) == DONE
    assert books.asked == [(Decimal("25.00"), KEY)]


def test_a_write_in_the_name_of_somebody_else_is_not_looked_up() -> None:
    books = Books()
    pay = _payment(books)
    failed(_after_a_restart(Call(pay), pay, {**PAYMENT, "customer_id": "c2"}), "unknown")
    assert books.asked == []


def test_a_look_up_that_takes_the_secret_itself_cannot_be_made() -> None:
    books = Books()

    async def paid(pin: str) -> object:
        return books.look_up(pin)

    @tool(effect="irreversible", confirm="Really?", reconcile=paid)
    async def pay(pin: Sealed) -> object:
        """Pay."""
        raise AssertionError("it is never made again")

    failed(_after_a_restart(Call(pay), pay, {"pin": "⟨pin#1: 4 digits⟩"}), "unknown")
    assert books.asked == [], "with a handle in place of the secret"


@pytest.mark.parametrize("restarted", [False, True])
def test_a_look_up_is_told_how_long_it_has(restarted: bool) -> None:
    books = Books()

    async def paid(ctx: ToolContext) -> object:
        return books.look_up(ctx.deadline_ms - ctx.now_ms)

    @tool(effect="irreversible", confirm="Really?", timeout_ms=3_000, reconcile=paid)
    async def pay() -> None:
        """Pay."""
        raise OutcomeUnknown

    async def main() -> None:
        call = Call(pay)
        asking = asyncio.ensure_future(call.run(pay))
        await first_look(call, asking)
        assert await asking == DONE

    if restarted:
        assert _after_a_restart(Call(pay), pay, {}) == DONE
    else:
        asyncio.run(main())
    assert books.asked == [(_RECONCILED_WITHIN_MS - _FIRST_LOOK_MS,)]
