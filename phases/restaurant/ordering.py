"""Ordering: questions about the menu, and dishes that go on the order and off it again, in many short turns."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from voiceagent import (
    Choice,
    GuidedDialogue,
    Intent,
    OutcomeUnknown,
    Phase,
    Requested,
    Slot,
    ToolContext,
    ToolFailed,
    Transition,
    tool,
)

from .menu import DISH, PART, Dish, describe_dish, opening_hours, read_menu
from .talk import (
    ASKS_DELIVERY,
    ASKS_HOURS,
    ASKS_ORDER,
    DECLINED,
    DISH_QUESTIONS,
    DROPS,
    HOLD_ON,
    HOURS_TOLD,
    MENU_QUESTIONS,
    ORDERS,
    PAYS,
    REMOVALS,
    SYNONYMS,
    WANTS_HUMAN,
)

Quantity = Annotated[int, Field(ge=1, le=20)]

QUANTITY = Choice(
    name="quantity",
    options={
        "1": ("one", "a", "an", "1"),
        "2": ("two", "a couple of", "a pair of", "2"),
        "3": ("three", "3"),
        "4": ("four", "4"),
        "5": ("five", "5"),
        "6": ("six", "half a dozen", "6"),
        "7": ("seven", "7"),
        "8": ("eight", "8"),
        "9": ("nine", "9"),
        "10": ("ten", "10"),
    },
)
MORE = Choice(name="more", options={"true": ("more", "another", "extra", "additional")})

ORDER = {"order_id": "order_id", "lines": "lines", "total": "total"}
"""Which facts are set by the answer of every tool that changes the order: all of it, as it is then."""


@tool(effect="write", binds=("order_id",), sets=ORDER)
async def put_on_order(
    item: Dish, order_id: str, ctx: ToolContext, quantity: Quantity = 1, *, more: bool = False
) -> object:
    """Have so many of a dish on the order; with `more`, so many on top of those that are there already."""
    answer = await ctx.http.post(
        f"/orders/{order_id or 'new'}/put",
        json={"item": item, "quantity": quantity, "more": more},
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code == 409:
        raise ToolFailed(f"we are out of {item} today")
    if answer.status_code not in (200, 201):
        raise ToolFailed("the kitchen's computer did not take it")
    return answer.json()


@tool(effect="write", binds=("order_id",), sets=ORDER)
async def take_off_order(item: Dish, order_id: str, ctx: ToolContext, quantity: Quantity | None = None) -> object:
    """Take a dish off the order: all of it, or only so many."""
    answer = await ctx.http.post(
        f"/orders/{order_id or 'new'}/take-off",
        json={"item": item, "quantity": quantity},
        headers={"Idempotency-Key": ctx.idempotency_key or ""},
    )
    if answer.status_code >= 500:
        raise OutcomeUnknown
    if answer.status_code == 404:
        raise ToolFailed(f"there is no {item} on your order")
    if answer.status_code not in (200, 201):
        raise ToolFailed("the kitchen's computer did not take it")
    return answer.json()


PHASE = Phase(
    name="ordering",
    prompt="restaurant/ordering.md",
    tools=(read_menu, describe_dish, opening_hours, put_on_order, take_off_order),
    expects=(DISH,),
    transitions=(
        Transition(
            on=Requested(name="order_complete", description="The caller wants nothing more on the order, or nothing."),
            to="checkout",
            when={"total": {"gt": 0}},
        ),
        Transition(
            on=Requested(name="order_complete", description="The caller wants nothing more on the order, or nothing."),
            to="goodbye",
            when={"total": {"le": 0}},
        ),
        Transition(
            on=Requested(name="drop_order", description="The caller wants to order nothing after all."),
            to="goodbye",
            say="All right, nothing is ordered.",
        ),
    ),
    max_turns=60,
    guided=GuidedDialogue(
        opening="What would you like?",
        intents=(
            Intent(
                does=put_on_order,
                examples=ORDERS,
                slots=(
                    Slot(
                        name="item",
                        expects=DISH,
                        ask="What would you like?",
                        ask_again="Sorry, what was it? I can tell you what is on the menu.",
                    ),
                    Slot(name="quantity", expects=QUANTITY, ask="How many?"),
                    Slot(name="more", expects=MORE, ask="On top of it?"),
                ),
            ),
            Intent(
                does=take_off_order,
                examples=REMOVALS,
                slots=(
                    Slot(name="item", expects=DISH, ask="What shall I take off?"),
                    Slot(name="quantity", expects=QUANTITY, ask="How many?"),
                ),
            ),
            Intent(
                does=read_menu,
                examples=MENU_QUESTIONS,
                slots=(Slot(name="part", expects=PART, ask="Pizza, sides, drinks or dessert?"),),
            ),
            Intent(
                does=describe_dish,
                examples=DISH_QUESTIONS,
                slots=(Slot(name="item", expects=DISH, ask="Which dish do you mean?"),),
            ),
            Intent(does="order_complete", examples=DECLINED),
            Intent(
                say="All right. What would you like instead?",
                examples=("no wait stop", "never mind", "forget it", "I changed my mind"),
            ),
            Intent(does="drop_order", examples=DROPS),
            ASKS_DELIVERY,
            PAYS,
            ASKS_ORDER,
            ASKS_HOURS,
            WANTS_HUMAN,
            HOLD_ON,
            Intent(say="What would you like?", examples=("yes", "yes please", "something else", "one more thing")),
        ),
        replies={
            "put_on_order": (
                "{% for line in lines if line.item == arguments.item %}"
                "{{ line.quantity }} {{ line.item }}{{ 's' if line.quantity > 1 else '' }}.{% endfor %}"
            ),
            "take_off_order": (
                "{% for line in lines if line.item == arguments.item %}"
                "Only {{ line.quantity }} {{ line.item }}{{ 's' if line.quantity > 1 else '' }} then."
                "{% else %}No {{ arguments.item }} then.{% endfor %}"
            ),
            "read_menu": (
                "We have {% for dish in result.dishes %}{{ dish.item }} for {{ dish.price | money }}"
                "{{ ', ' if not loop.last else '.' }}{% endfor %}"
            ),
            "describe_dish": (
                "{{ result.item | capitalize }}: {{ result.description }}, "
                "{{ 'vegetarian' if result.vegetarian else 'not vegetarian' }}, for {{ result.price | money }}."
            ),
            "opening_hours": HOURS_TOLD,
        },
        failures={
            "put_on_order": "I am sorry, {{ reason }}.",
            "take_off_order": "I am sorry, {{ reason }}.",
            "read_menu": "I am sorry, {{ reason }}. Just tell me what you would like.",
            "describe_dish": "I am sorry, {{ reason }}.",
            "opening_hours": "I am sorry, I cannot look up our hours right now.",
        },
        synonyms=SYNONYMS,
        not_understood="Tell me what you would like, one thing after the other, or ask what is on the menu.",
        anything_else="Anything else?",
    ),
)
