"""Greeting: say who we are; what the caller wants is looked at once the clinic knows who they are."""

from voiceagent import GuidedDialogue, Intent, Phase, Requested, Say, Transition

from .talk import (
    HOLD_ON,
    IN_DANGER,
    NOT_IN_DANGER,
    ON_APPOINTMENTS,
    OPENING_HOURS,
    SYNONYMS,
    WANTS_HUMAN,
    WANTS_TO_FINISH,
)

PHASE = Phase(
    name="greeting",
    prompt="clinic/greeting.md",
    on_enter=Say(text="Riverside Clinic, hello. How can I help you?"),
    transitions=(
        Transition(
            on=Requested(
                name="begin_identification",
                description="The caller wants anything that has to do with an appointment, or is not well.",
            ),
            to="identification",
        ),
    ),
    max_turns=8,
    guided=GuidedDialogue(
        intents=(
            IN_DANGER,
            NOT_IN_DANGER,
            OPENING_HOURS,
            Intent(does="begin_identification", examples=ON_APPOINTMENTS),
            WANTS_HUMAN,
            WANTS_TO_FINISH,
            HOLD_ON,
        ),
        synonyms=SYNONYMS,
        not_understood="I can tell you your appointments, make one, move one or cancel one. What would you like?",
    ),
)
