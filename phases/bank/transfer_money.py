"""Money transfer: between the caller's own accounts, read back, done after a clear yes, and only then."""

from __future__ import annotations

from decimal import Decimal

from voiceagent import (
    Choice,
    GuidedDialogue,
    Intent,
    OutcomeUnknown,
    Phase,
    Requested,
    Slot,
    SpokenAmount,
    ToolContext,
    ToolFailed,
    ToolSucceeds,
    Transition,
    tool,
)

from .account_inquiry import ACCOUNTS, Account, get_accounts, recent_transactions
from .talk import HOLD_ON, WANTS_HUMAN


async def booked_transfer(customer_id: str, ctx: ToolContext) -> object:
    """Return the transfer that was booked under the key, or None where the bank has booked none so far."""
    answer = await ctx.http.get(f"/customers/{customer_id}/transfers/{ctx.idempotency_key}")
    return answer.json() if answer.status_code == 200 else None


@tool(
    effect="irreversible",
    requires="account_access",
    binds=("customer_id",),
    scopes="transfers:write",
    invalidates=(get_accounts, recent_transactions),
    confirm=(
        "That is {{ amount | money }} from your {{ 'savings' if to_account == 'checking' else 'checking' }} account "
        "to your {{ to_account }} account. Shall I do that?"
    ),
    timeout_ms=15_000,
    reconcile=booked_transfer,
)
async def transfer(customer_id: str, amount: Decimal, to_account: Account, ctx: ToolContext) -> object:
    """Move an amount, in dollars, to the caller's checking or savings account from the other one."""
    from_account = "savings" if to_account == "checking" else "checking"
    answer = await ctx.http.post(
        f"/customers/{customer_id}/transfers",
        json={
            "from_account": f"{customer_id}-{from_account}",
            "to_account": f"{customer_id}-{to_account}",
            "amount": f"{amount:.2f}",
        },
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code == 422:
        raise ToolFailed("there is not enough money in the other account")
    if answer.status_code not in (200, 201):
        raise ToolFailed("the bank did not take the transfer")
    return answer.json()


PHASE = Phase(
    name="transfer_money",
    prompt="bank/transfer_money.md",
    tools=(transfer,),
    transitions=(
        Transition(on=ToolSucceeds(tool=transfer), to="wrap_up"),
        Transition(
            on=Requested(name="cancel_transfer", description="The caller no longer wants the transfer."),
            to="wrap_up",
            say="All right, nothing has been transferred.",
        ),
    ),
    guided=GuidedDialogue(
        opening="How much would you like to transfer, and to which account?",
        intents=(
            Intent(
                does=transfer,
                examples=(
                    "I want to transfer two hundred and fifty dollars to my savings account",
                    "two hundred dollars to savings",
                    "a hundred to checking please",
                    "move fifty bucks into my checking account",
                    "sorry I meant the checking account not savings",
                    "make it three hundred",
                    "to savings",
                    "put a hundred dollars into my checking",
                    "all of it from savings over to checking",
                    "send seventy dollars to the other account",
                    "I said forty not fourteen",
                    "change the amount",
                    "I'd like to make a transfer",
                ),
                slots=(
                    Slot(
                        name="amount",
                        expects=SpokenAmount(name="amount"),
                        ask="How much would you like to transfer?",
                        ask_again="How many dollars, please?",
                    ),
                    Slot(
                        name="to_account",
                        expects=Choice(name="to_account", options=ACCOUNTS),
                        ask="To checking or to savings?",
                    ),
                ),
            ),
            Intent(
                does="cancel_transfer",
                examples=(
                    "no wait stop",
                    "forget it",
                    "I changed my mind",
                    "I don't want to transfer anything",
                    "cancel that",
                    "leave it as it is",
                    "I'd rather not do it",
                    "not today after all",
                    "let's skip that",
                    "no",
                ),
            ),
            WANTS_HUMAN,
            HOLD_ON,
        ),
        replies={"transfer": "Done: {{ result.amount | money }} to your {{ arguments.to_account }} account."},
        failures={
            "transfer": (
                "{% if 'not known' in reason %}I cannot tell whether the transfer went through. "
                "Please do not repeat it; a colleague can look it up."
                # Any other reason that speaks of the caller is theirs: they said no, or nothing, or something else.
                "{% elif 'the caller' in reason %}All right, nothing has been transferred. "
                "Shall I change something, or leave it?"
                "{% else %}I could not transfer it: {{ reason }}. Shall I change the amount, or leave it?{% endif %}"
            ),
        },
        not_understood="Please tell me the amount, and whether it goes to checking or to savings.",
    ),
)
