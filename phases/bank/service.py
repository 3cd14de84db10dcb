"""How the tools speak to the bank: its addresses, and what its refusals are called on the phone."""

from collections.abc import Mapping
from typing import Literal, TypedDict, TypeVar, cast

from voiceagent import ToolContext, ToolFailed

__all__ = ["Account", "Alert", "Kind", "Transaction", "account_of", "accounts_of", "ask", "transactions_of"]

Kind = Literal["checking", "savings"]

_OUT_OF_ORDER = "the bank's computer does not answer at the moment"


class Account(TypedDict):
    """One account and what is on it."""

    account_id: str
    kind: Kind
    balance: str
    """Decimal number, as text."""
    currency: str


class Transaction(TypedDict):
    """One line of a statement."""

    transaction_id: str
    date: str
    merchant: str
    amount: str
    """Decimal number, as text; negative where money went out."""
    currency: str


class Alert(TypedDict):
    """Something that the bank would like the customer to know."""

    alert_id: str
    date: str
    kind: str
    message: str


_Item = TypeVar("_Item")


async def ask(ctx: ToolContext, path: str, kind: type[_Item], *, limit: int | None = None) -> list[_Item]:
    """Return a list that the bank keeps under a path. Raises ToolFailed where it does not give it."""
    params: Mapping[str, int] = {} if limit is None else {"limit": limit}
    answer = await ctx.http.get(path, params=params)
    if answer.status_code != 200:
        raise ToolFailed(_OUT_OF_ORDER)
    del kind  # it names the items for the reader and the type checker
    return cast("list[_Item]", answer.json())


async def accounts_of(ctx: ToolContext, customer_id: str) -> list[Account]:
    """Return the customer's accounts, checking first."""
    return await ask(ctx, f"/customers/{customer_id}/accounts", Account)


async def account_of(ctx: ToolContext, customer_id: str, kind: Kind) -> Account:
    """Return the customer's account of a kind. Raises ToolFailed where there is none."""
    for account in await accounts_of(ctx, customer_id):
        if account["kind"] == kind:
            return account
    raise ToolFailed(f"there is no {kind} account")


async def transactions_of(ctx: ToolContext, customer_id: str, account: Account, *, limit: int) -> list[Transaction]:
    """Return the newest transactions of an account, the newest first."""
    path = f"/customers/{customer_id}/accounts/{account['account_id']}/transactions"
    return await ask(ctx, path, Transaction, limit=limit)
