"""Greeting: say who we are; whatever the caller wants from the menu is looked at while ordering."""

from voiceagent import GuidedDialogue, Intent, Phase, Requested, Say, Transition

from .talk import (
    ASKS_DELIVERY,
    ASKS_HOURS,
    DECLINED,
    DISH_QUESTIONS,
    HOLD_ON,
    MENU_QUESTIONS,
    ORDERS,
    PAYS,
    SYNONYMS,
    WANTS_HUMAN,
)

PHASE = Phase(
    name="greeting",
    prompt="restaurant/greeting.md",
    on_enter=Say(text="Bella Pizza, hello! What would you like? One thing after the other, please."),
    transitions=(
        Transition(
            on=Requested(
                name="begin_order", description="The caller names a dish, or asks about the menu or the opening hours."
            ),
            to="ordering",
        ),
        Transition(
            on=Requested(name="finish", description="The caller wants nothing and ends the call."), to="goodbye"
        ),
    ),
    max_turns=8,
    guided=GuidedDialogue(
        intents=(
            Intent(
                does="begin_order",
                examples=(*ORDERS, *MENU_QUESTIONS, *DISH_QUESTIONS, *ASKS_HOURS.examples),
            ),
            Intent(does="finish", examples=(*DECLINED, "never mind")),
            ASKS_DELIVERY,
            PAYS,
            WANTS_HUMAN,
            HOLD_ON,
            Intent(say="What would you like?", examples=("hello", "hi there", "yes")),
        ),
        synonyms=SYNONYMS,
        not_understood="Tell me what you would like, one thing after the other, or ask what is on the menu.",
    ),
)
