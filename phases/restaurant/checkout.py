"""Checkout: pickup or delivery; the whole order is read back with its price, and placed after a clear yes."""

from __future__ import annotations

from decimal import Decimal

from voiceagent import (
    Digits,
    Filler,
    FreeSpeech,
    GuidedDialogue,
    Intent,
    OutcomeUnknown,
    Phase,
    Requested,
    Slot,
    ToolContext,
    ToolFailed,
    ToolSucceeds,
    Transition,
    tool,
)

from .menu import opening_hours
from .talk import (
    ASKS_HOURS,
    ASKS_ORDER,
    DELIVERIES,
    DROPS,
    HOLD_ON,
    HOURS_TOLD,
    ORDER_TOLD,
    ORDERS,
    PAYS,
    PICK_UPS,
    REMOVALS,
    SYNONYMS,
    WANTS_HUMAN,
)

PHONE = Digits(name="phone", length=10)

_SENDING = Filler(phrases=("I am sending it to the kitchen.", "Just a second."))


async def _place(ctx: ToolContext, order_id: str, total: Decimal, **how: str) -> object:
    # The price that the caller said yes to goes along: an order that costs anything else by now is not placed.
    answer = await ctx.http.post(
        f"/orders/{order_id}/place",
        json={"total": f"{total:.2f}", **how},
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code == 409:
        raise ToolFailed("the kitchen is closed, or a price has changed")
    if answer.status_code == 422:
        raise ToolFailed("we do not deliver there")
    if answer.status_code not in (200, 201):
        raise ToolFailed("the kitchen did not take it")
    return answer.json()


@tool(
    effect="irreversible",
    binds=("order_id", "total"),
    sets=("ready_at",),
    confirm=(
        "That is " + ORDER_TOLD + ", {{ total | money }} altogether, for pickup under {{ phone | spelled }}. "
        "Shall I place the order?"
    ),
    filler=_SENDING,
    timeout_ms=15_000,
)
async def order_for_pickup(order_id: str, total: Decimal, phone: str, ctx: ToolContext) -> object:
    """Place the order; the caller picks it up. `phone`: ten digits under which they can be called back."""
    return await _place(ctx, order_id, total, phone=phone)


@tool(
    effect="irreversible",
    binds=("order_id", "total"),
    sets=("ready_at",),
    confirm=(
        "That is " + ORDER_TOLD + ", {{ total | money }} altogether, to {{ address }}, phone {{ phone | spelled }}. "
        "Shall I place the order?"
    ),
    filler=_SENDING,
    timeout_ms=15_000,
)
async def order_for_delivery(order_id: str, total: Decimal, phone: str, address: str, ctx: ToolContext) -> object:
    """Place the order and have it brought to an address. `phone`: ten digits under which the caller is reached."""
    return await _place(ctx, order_id, total, phone=phone, address=address)


_FAILED = (
    "{% if 'not known' in reason %}I cannot tell whether the order has gone through. "
    "Please do not order again; somebody at the counter can look it up."
    "{% elif 'the caller' in reason %}All right, I have not placed it. What shall I change?"
    "{% else %}I could not place the order: {{ reason }}.{% endif %}"
)

PHASE = Phase(
    name="checkout",
    prompt="restaurant/checkout.md",
    tools=(order_for_pickup, order_for_delivery, opening_hours),
    expects=(PHONE,),
    transitions=(
        Transition(on=ToolSucceeds(tool=order_for_pickup), to="placed"),
        Transition(on=ToolSucceeds(tool=order_for_delivery), to="placed"),
        Transition(
            on=Requested(
                name="change_order", description="The caller wants something more, less or else on the order."
            ),
            to="ordering",
        ),
        Transition(
            on=Requested(name="drop_order", description="The caller wants to order nothing after all."),
            to="goodbye",
            say="All right, nothing is ordered.",
        ),
    ),
    max_turns=20,
    guided=GuidedDialogue(
        opening="Will you pick it up, or shall we deliver it?",
        intents=(
            Intent(
                does=order_for_pickup,
                examples=PICK_UPS,
                slots=(
                    Slot(
                        name="phone",
                        expects=PHONE,
                        ask="What is your phone number?",
                        ask_again="Please tell me the ten digits of your phone number, or press them.",
                    ),
                ),
            ),
            Intent(
                does=order_for_delivery,
                examples=DELIVERIES,
                slots=(
                    Slot(
                        name="phone",
                        expects=PHONE,
                        ask="What is your phone number?",
                        ask_again="Please tell me the ten digits of your phone number, or press them.",
                    ),
                    Slot(name="address", expects=FreeSpeech(), ask="And the address, street and number?"),
                ),
            ),
            Intent(does="change_order", examples=(*ORDERS, *REMOVALS, "I want to change my order")),
            Intent(does="drop_order", examples=(*DROPS, "forget it", "I changed my mind")),
            ASKS_ORDER,
            ASKS_HOURS,
            PAYS,
            WANTS_HUMAN,
            HOLD_ON,
        ),
        replies={"opening_hours": HOURS_TOLD},
        failures={
            "order_for_pickup": _FAILED,
            "order_for_delivery": _FAILED,
            "opening_hours": "I am sorry, I cannot look up our hours right now.",
        },
        synonyms=SYNONYMS,
        not_understood="Will you pick it up, or shall we deliver it?",
    ),
)
