"""Bella Pizza on the phone: what is on the menu, what goes on the order, and where the order goes.

Nobody has to say who they are. Read the files in the order of a call: greeting, ordering, checkout, placed, endings;
what there is to order stands in menu, and how callers ask for it in talk.
"""

from voiceagent import (
    Flow,
    Limits,
    NotUnderstood,
    Pressed,
    Requested,
    Silent,
    Transition,
    TurnLimitReached,
    VoiceFails,
)

from .checkout import PHASE as CHECKOUT
from .endings import GOODBYE, HUMAN
from .facts import OrderFacts
from .greeting import PHASE as GREETING
from .ordering import PHASE as ORDERING
from .placed import PHASE as PLACED

__all__ = ["FLOW"]

FLOW = Flow(
    name="restaurant",
    initial="greeting",
    facts=OrderFacts,
    phases=(GREETING, ORDERING, CHECKOUT, PLACED, HUMAN, GOODBYE),
    transitions=(
        Transition(
            on=Requested(name="talk_to_human", description="The caller wants to speak to a person."),
            to="human",
            priority=10,
        ),
        Transition(on=Pressed(digits="0"), to="human", priority=10),
        Transition(on=Silent(), to="goodbye"),
        Transition(on=NotUnderstood(), to="human"),
        Transition(on=TurnLimitReached(), to="human"),
        Transition(on=VoiceFails(), to="human"),
    ),
    limits=Limits(max_turns=120, max_call_ms=20 * 60_000),
)
