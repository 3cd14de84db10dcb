"""The menu: what there is, what callers call it, and the tools that answer questions about it.

Only the names stand here, so that they are heard and understood; prices and descriptions come from the restaurant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from voiceagent import Choice, ToolContext, ToolFailed, tool

__all__ = ["DISH", "DISHES", "PART", "Dish", "describe_dish", "opening_hours", "read_menu"]

Dish = Literal[
    "margherita",
    "pepperoni pizza",
    "veggie pizza",
    "lasagna",
    "Caesar salad",
    "garlic bread",
    "cola",
    "lemonade",
    "tiramisu",
]

DISHES: Mapping[str, tuple[str, ...]] = {
    "margherita": ("margherita", "margheritas", "margarita", "margaritas", "cheese pizza", "cheese pizzas"),
    "pepperoni pizza": (
        "pepperoni",
        "pepperonis",
        "pepperoni pizza",
        "pepperoni pizzas",
        "salami pizza",
        "salami pizzas",
    ),
    "veggie pizza": (
        "veggie",
        "veggies",
        "veggie pizza",
        "veggie pizzas",
        "vegetarian pizza",
        "vegetarian pizzas",
        "vegetable pizza",
    ),
    "lasagna": ("lasagna", "lasagnas", "lasagne"),
    "Caesar salad": ("caesar", "caesars", "salad", "salads"),
    "garlic bread": ("garlic bread", "garlic breads", "bread"),
    "cola": ("cola", "colas", "coke", "cokes"),
    "lemonade": ("lemonade", "lemonades"),
    "tiramisu": ("tiramisu", "tiramisus"),
}
"""Each dish with the words that callers use for it."""

DISH = Choice(name="item", options=DISHES)

Part = Literal["pizza", "sides", "drinks", "dessert"]

PART = Choice(
    name="part",
    options={
        "pizza": ("pizza", "pizzas"),
        "sides": ("sides", "side", "starters", "salads", "pasta"),
        "drinks": ("drinks", "drink", "to drink", "sodas", "soda"),
        "dessert": ("dessert", "desserts", "sweet", "sweets"),
    },
)


async def _answer(ctx: ToolContext, path: str, **params: str) -> object:
    answer = await ctx.http.get(path, params=params)
    if answer.status_code != 200:
        raise ToolFailed("the menu cannot be looked up right now")
    return answer.json()


@tool(fresh_ms=600_000)
async def read_menu(ctx: ToolContext, part: Part | None = None) -> object:
    """Return the menu, or one part of it: `dishes`, each with item and price in dollars."""
    return {"dishes": await _answer(ctx, "/menu", **({"part": part} if part else {}))}


@tool(fresh_ms=600_000)
async def describe_dish(item: Dish, ctx: ToolContext) -> object:
    """Return what is in a dish, its price in dollars, and whether it is vegetarian."""
    return await _answer(ctx, f"/menu/{item}")


@tool(fresh_ms=600_000)
async def opening_hours(ctx: ToolContext) -> object:
    """Return when the restaurant opens and closes today."""
    return await _answer(ctx, "/hours/today")
