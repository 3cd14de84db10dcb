"""Harbour Bank on the phone: balances, transactions, transfers between own accounts, lost cards."""

from voiceagent import (
    Flow,
    NotUnderstood,
    Pressed,
    Requested,
    Silent,
    Transition,
    TurnLimitReached,
    VoiceFails,
)

from .account_inquiry import PHASE as ACCOUNT_INQUIRY
from .authentication import PHASE as AUTHENTICATION
from .endings import GOODBYE, HUMAN
from .facts import BankFacts
from .greeting import PHASE as GREETING
from .transfer_money import PHASE as TRANSFER_MONEY
from .wrap_up import PHASE as WRAP_UP

__all__ = ["FLOW"]

FLOW = Flow(
    name="bank",
    initial="greeting",
    facts=BankFacts,
    phases=(GREETING, AUTHENTICATION, ACCOUNT_INQUIRY, TRANSFER_MONEY, WRAP_UP, HUMAN, GOODBYE),
    transitions=(
        Transition(
            on=Requested(name="talk_to_human", description="The caller wants to speak to a person."),
            to="human",
            priority=10,
        ),
        Transition(on=Pressed(digits="0"), to="human", priority=10),
        Transition(
            on=Requested(name="finish", description="The caller needs nothing more and wants to end the call."),
            to="goodbye",
        ),
        Transition(on=Silent(), to="goodbye"),
        Transition(on=NotUnderstood(), to="human"),
        Transition(on=TurnLimitReached(), to="human"),
        Transition(on=VoiceFails(), to="human"),
    ),
)
