"""Greeting: say who we are; what the caller wants is looked at once the bank knows who they are."""

from voiceagent import GuidedDialogue, Intent, Phase, Requested, Say, Transition

from .talk import HOLD_ON, ON_AN_ACCOUNT, VAGUE, WANTS_HUMAN, WANTS_TO_FINISH

PHASE = Phase(
    name="greeting",
    prompt="bank/greeting.md",
    on_enter=Say(text="Hello, this is Harbour Bank. How can I help you?"),
    transitions=(
        Transition(
            on=Requested(
                name="begin_authentication",
                description="The caller wants anything that has to do with their account, card or money.",
            ),
            to="authentication",
        ),
    ),
    guided=GuidedDialogue(
        intents=(
            Intent(
                does="begin_authentication",
                examples=(*ON_AN_ACCOUNT, *VAGUE),
            ),
            WANTS_TO_FINISH,
            WANTS_HUMAN,
            HOLD_ON,
        ),
        not_understood="I can help with your balance, transactions, transfers and your card. What would you like?",
    ),
)
