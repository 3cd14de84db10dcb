"""Wrap-up: tell what was done; was there anything else?"""

from voiceagent import GuidedDialogue, Intent, Phase, Requested, Transition

from .talk import (
    DECLINED,
    HOLD_ON,
    IN_DANGER,
    NOT_IN_DANGER,
    ON_APPOINTMENTS,
    OPENING_HOURS,
    STAYS,
    SYNONYMS,
    WANTS_HUMAN,
)

PHASE = Phase(
    name="wrap_up",
    prompt="clinic/wrap_up.md",
    transitions=(
        Transition(
            on=Requested(name="more_help", description="The caller has another question about appointments."),
            to="appointments",
        ),
    ),
    max_turns=8,
    guided=GuidedDialogue(
        opening="Is there anything else I can do for you?",
        intents=(
            IN_DANGER,
            NOT_IN_DANGER,
            OPENING_HOURS,
            HOLD_ON,
            Intent(say="All right. Is there anything else?", examples=STAYS),
            Intent(does="finish", examples=DECLINED),
            Intent(
                does="more_help",
                examples=(*ON_APPOINTMENTS, "yes please", "one more thing", "I have another question"),
            ),
            WANTS_HUMAN,
        ),
        replies={
            "book_appointment": (
                "Done: you see {{ result.doctor }} on {{ result.day | day }} at {{ result.at | time }}."
            ),
            "move_appointment": (
                "Done: you now see {{ result.doctor }} on {{ result.day | day }} at {{ result.at | time }}."
            ),
            "cancel_appointment": "Your appointment is cancelled.",
        },
        synonyms=SYNONYMS,
        anything_else="Is there anything else?",
    ),
)
