"""Placed: the kitchen has the order; say when it will be ready, and goodbye."""

from voiceagent import GuidedDialogue, Intent, Phase, Requested, Transition

from .menu import opening_hours
from .talk import ASKS_HOURS, DECLINED, HOLD_ON, HOURS_TOLD, PAYS, WANTS_HUMAN

PHASE = Phase(
    name="placed",
    prompt="restaurant/placed.md",
    tools=(opening_hours,),
    transitions=(
        Transition(
            on=Requested(name="finish", description="The caller needs nothing more and wants to end the call."),
            to="goodbye",
        ),
    ),
    max_turns=8,
    guided=GuidedDialogue(
        opening="Your order is placed. Is there anything else?",
        intents=(
            Intent(does="finish", examples=(*DECLINED, "thank you", "great")),
            Intent(
                say="It will be ready at {{ ready_at | time }}.",
                examples=(
                    "how long will it take",
                    "when will it be ready",
                    "when can I pick it up",
                    "when will it be here",
                    "how soon does it arrive",
                ),
            ),
            Intent(
                does="talk_to_human",
                examples=("I forgot something", "I want to change my order", "cancel my order", "add a cola"),
            ),
            ASKS_HOURS,
            PAYS,
            WANTS_HUMAN,
            HOLD_ON,
        ),
        replies={
            "order_for_pickup": "Thank you! You can pick it up at {{ result.ready_at | time }}.",
            "order_for_delivery": "Thank you! It will be with you at {{ result.ready_at | time }}.",
            "opening_hours": HOURS_TOLD,
        },
        failures={"opening_hours": "I am sorry, I cannot look up our hours right now."},
        not_understood="Your order is placed. Is there anything else?",
        anything_else="Is there anything else?",
    ),
)
