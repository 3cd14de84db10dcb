"""Wrap-up: was there anything else?"""

from voiceagent import GuidedDialogue, Intent, Phase, Requested, Transition

from .talk import DECLINED, HOLD_ON, ON_AN_ACCOUNT, VAGUE, WANTS_HUMAN

PHASE = Phase(
    name="wrap_up",
    prompt="bank/wrap_up.md",
    transitions=(
        Transition(
            on=Requested(name="more_help", description="The caller has another question about their accounts."),
            to="account_inquiry",
        ),
    ),
    guided=GuidedDialogue(
        opening="Is there anything else I can do for you?",
        intents=(
            HOLD_ON,
            Intent(
                does="finish",
                examples=DECLINED,
            ),
            Intent(
                does="more_help",
                examples=(
                    *ON_AN_ACCOUNT,
                    *VAGUE,
                    "yes please",
                    "actually one more thing",
                    "I have another question",
                    "there is something else",
                ),
            ),
            WANTS_HUMAN,
        ),
        replies={"transfer": "Done: {{ result.amount | money }} to your {{ arguments.to_account }} account."},
        anything_else="Is there anything else?",
    ),
)
