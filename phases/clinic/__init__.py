"""Riverside Clinic on the phone: who is calling, which appointments they have, and which they want instead.

Read the files in the order of a call: greeting, identification, appointments, reschedule, wrap_up, endings; how callers
ask for each thing stands in talk.
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

from .appointments import PHASE as APPOINTMENTS
from .endings import EMERGENCY, GOODBYE, HUMAN
from .facts import ClinicFacts
from .greeting import PHASE as GREETING
from .identification import PHASE as IDENTIFICATION
from .reschedule import PHASE as RESCHEDULE
from .wrap_up import PHASE as WRAP_UP

__all__ = ["FLOW"]

FLOW = Flow(
    name="clinic",
    initial="greeting",
    facts=ClinicFacts,
    phases=(GREETING, IDENTIFICATION, APPOINTMENTS, RESCHEDULE, WRAP_UP, EMERGENCY, HUMAN, GOODBYE),
    transitions=(
        Transition(
            on=Requested(
                name="emergency",
                description="Somebody may be in danger: chest pain, no breath, heavy bleeding, a stroke, an overdose.",
            ),
            to="emergency",
            priority=20,
        ),
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
    limits=Limits(max_turns=60, max_call_ms=15 * 60_000),
)
