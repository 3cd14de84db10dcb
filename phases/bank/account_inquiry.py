"""Account inquiry: balances, transactions, charges and the card of a caller whom the bank knows."""

from __future__ import annotations

from decimal import Decimal
from typing import Literal

from pydantic import TypeAdapter

from voiceagent import (
    Choice,
    Filler,
    FreeSpeech,
    GuidedDialogue,
    Intent,
    OutcomeUnknown,
    Phase,
    Requested,
    Slot,
    SpokenAmount,
    ToolContext,
    ToolFailed,
    Transition,
    tool,
)

from .talk import BALANCES, CARDS, CHARGES, DECLINED, HOLD_ON, TRANSACTIONS, TRANSFERS, VAGUE, WANTS_HUMAN

Account = Literal["checking", "savings"]
ACCOUNTS = {
    "checking": ("checking", "current account", "chequing"),
    "savings": ("savings", "saving account", "save"),
}
REASONS = {"stolen": ("stolen", "stole", "robbed", "took it"), "lost": ("lost", "missing", "can't find")}


_ENTRIES = TypeAdapter(list[dict[str, str]])


async def _answer(ctx: ToolContext, path: str, **params: str | int) -> object:
    answer = await ctx.http.get(path, params=params)
    if answer.status_code != 200:
        raise ToolFailed("the bank does not answer right now")
    return answer.json()


@tool(requires="account_access", binds=("customer_id",), scopes="accounts:read", fresh_ms=120_000)
async def get_accounts(customer_id: str, ctx: ToolContext) -> object:
    """Return the caller's accounts with their balances: `accounts`, each with kind, balance and currency."""
    return {"accounts": await _answer(ctx, f"/customers/{customer_id}/accounts")}


@tool(requires="account_access", binds=("customer_id",), scopes="transactions:read", fresh_ms=120_000)
async def recent_transactions(customer_id: str, ctx: ToolContext, account: Account = "checking") -> object:
    """Return the last three transactions of one of the caller's accounts, the newest first."""
    path = f"/customers/{customer_id}/accounts/{customer_id}-{account}/transactions"
    return {"account": account, "transactions": await _answer(ctx, path, limit=3)}


@tool(
    requires="account_access",
    binds=("customer_id",),
    scopes="transactions:read",
    fresh_ms=30_000,
    filler=Filler(phrases=("Let me look through your transactions.", "I am going through your statement.")),
)
async def find_charge(customer_id: str, amount: Decimal, ctx: ToolContext) -> object:
    """Look for a charge of this amount, in dollars, in the caller's checking account."""
    path = f"/customers/{customer_id}/accounts/{customer_id}-checking/transactions"
    entries = _ENTRIES.validate_python(await _answer(ctx, path, limit=50))
    found = [entry for entry in entries if abs(Decimal(entry["amount"])) == amount]
    return {"amount": str(amount), "found": found[:1]}


@tool(
    effect="irreversible",
    requires="account_access",
    binds=("customer_id",),
    scopes="cards:write",
    confirm="I will block your debit card for good, as {{ reason }}. Is that right?",
)
async def block_card(customer_id: str, ctx: ToolContext, reason: Literal["lost", "stolen"] = "lost") -> object:
    """Block the caller's debit card because it is lost or stolen."""
    answer = await ctx.http.post(
        f"/customers/{customer_id}/cards/block",
        json={"reason": reason},
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code not in (200, 201):
        raise ToolFailed("the card could not be blocked")
    return answer.json()


PHASE = Phase(
    name="account_inquiry",
    prompt="bank/account_inquiry.md",
    tools=(get_accounts, recent_transactions, find_charge, block_card),
    expects=(FreeSpeech(),),
    transitions=(
        Transition(
            on=Requested(name="begin_transfer", description="The caller wants to move money between accounts."),
            to="transfer_money",
        ),
    ),
    guided=GuidedDialogue(
        opening="Thank you, {{ customer_name }}. What can I do for you?",
        intents=(
            Intent(
                does=get_accounts,
                examples=BALANCES,
            ),
            Intent(
                does=recent_transactions,
                examples=TRANSACTIONS,
                slots=(
                    Slot(name="account", expects=Choice(name="account", options=ACCOUNTS), ask="Of which account?"),
                ),
            ),
            Intent(
                does=find_charge,
                examples=CHARGES,
                slots=(
                    Slot(
                        name="amount",
                        expects=SpokenAmount(name="amount"),
                        ask="How much was the charge?",
                        ask_again="In dollars and cents, please: how much was the charge?",
                    ),
                ),
            ),
            Intent(
                does=block_card,
                examples=CARDS,
                slots=(
                    Slot(name="reason", expects=Choice(name="reason", options=REASONS), ask="Was it lost or stolen?"),
                ),
            ),
            Intent(
                does="begin_transfer",
                examples=TRANSFERS,
            ),
            Intent(does="finish", examples=DECLINED),
            WANTS_HUMAN,
            HOLD_ON,
            Intent(
                say="All right. What would you like instead?",
                examples=("no wait stop", "never mind", "forget it", "cancel that"),
            ),
            Intent(
                say="What can I do for you?",
                examples=(
                    *VAGUE,
                    "yes",
                    "yes please",
                    "I have another question",
                    "one more thing",
                    "there is something else",
                ),
            ),
        ),
        replies={
            "get_accounts": (
                "{% for account in result.accounts %}"
                "Your {{ account.kind }} account holds {{ account.balance | money }}. {% endfor %}"
            ),
            "recent_transactions": (
                "The last on your {{ result.account }} account: {% for entry in result.transactions %}"
                "{{ entry.amount | replace('-', '') | money }} at {{ entry.merchant }}"
                "{{ '; ' if not loop.last else '.' }}{% endfor %}"
            ),
            "find_charge": (
                "{% if result.found %}I found it: {{ result.amount | money }} at {{ result.found[0].merchant }} "
                "on {{ result.found[0].date | day }}. If it is not yours, a colleague can take it up."
                "{% else %}I cannot find a charge of {{ result.amount | money }}.{% endif %}"
            ),
            "block_card": "Your debit card is blocked.",
        },
        failures={
            "get_accounts": "I cannot see your accounts right now.",
            "recent_transactions": "I cannot see your transactions right now.",
            "find_charge": "I could not look that up right now.",
            "block_card": (
                "{% if 'not known' in reason %}I cannot tell whether the card is blocked; a colleague can look it up."
                # Any other reason that speaks of the caller is theirs: they said no, or nothing, or something else.
                "{% elif 'the caller' in reason %}All right, I have not blocked the card."
                "{% else %}I could not block the card: {{ reason }}.{% endif %}"
            ),
        },
        not_understood="I can tell you balances and transactions, move money, or block your card.",
        anything_else="Anything else?",
    ),
)
