"""Authentication: account number and PIN, checked by the bank; nothing about an account is said before."""

from voiceagent import (
    Attempts,
    Digits,
    Form,
    FromItem,
    GuidedDialogue,
    Intent,
    Phase,
    Prefetch,
    Sealed,
    Slot,
    ToolContext,
    ToolFailed,
    Transition,
    tool,
)

from .account_inquiry import get_accounts, recent_transactions
from .talk import ASKS_FOR_HUMAN, HOLD_ON, WANTS_TO_FINISH

ACCOUNT_NUMBER = Digits(name="account_number", length=7)
PIN = Digits(name="pin", length=4, sealed=True)


@tool(
    grants="account_access",
    grants_when="verified",
    sets={
        "verified": "verified",
        "customer_id": "customer_id",
        "customer_name": "name",
        "attempts_left": "attempts_left",
    },
    scopes="identity:verify",
    egress="POST service",
    attempts=Attempts(account="account_number"),
    timeout_ms=8_000,
)
async def verify_caller(account_number: Sealed, pin: Sealed, ctx: ToolContext) -> object:
    """Check the caller's account number and PIN with the bank. Pass the handles as they stand in the conversation."""
    answer = await ctx.http.post("/verify", json={"account_number": account_number, "pin": pin})
    if answer.status_code == 423:
        return {"verified": False}
    if answer.status_code != 200:
        raise ToolFailed("the bank cannot check identities right now")
    return answer.json()


PHASE = Phase(
    name="authentication",
    prompt="bank/authentication.md",
    sensitive=True,
    expects=(ACCOUNT_NUMBER, PIN),
    tools=(verify_caller,),
    transitions=(
        Transition(
            on=verify_caller,
            to="account_inquiry",
            when={"verified": True},
            prefetch=(
                Prefetch(tool=get_accounts),
                Prefetch(
                    tool=recent_transactions,
                    after=get_accounts,
                    for_each="accounts",
                    arguments={"account": FromItem(field="kind")},
                ),
            ),
        ),
        Transition(on=verify_caller, to="human", when={"verified": False, "attempts_left": 0}),
    ),
    max_turns=12,
    guided=GuidedDialogue(
        form=Form(
            does=verify_caller,
            slots=(
                Slot(
                    name="account_number",
                    expects=ACCOUNT_NUMBER,
                    ask="Sure. What is your account number?",
                    ask_again="Please tell me the seven digits of your account number.",
                ),
                Slot(
                    name="pin",
                    expects=PIN,
                    ask="Thank you. And your four digit PIN?",
                    ask_again="Please tell me the four digits of your PIN, or press them.",
                ),
            ),
        ),
        intents=(
            WANTS_TO_FINISH,
            Intent(
                does="talk_to_human",
                examples=(
                    *ASKS_FOR_HUMAN,
                    "I don't know my account number",
                    "I forgot my PIN",
                    "I don't remember the PIN",
                    "I don't have the number with me",
                    "I don't have it with me",
                    "I can't find my account number",
                ),
            ),
            HOLD_ON,
        ),
        replies={"verify_caller": "I am sorry, that does not match."},
        failures={"verify_caller": "I am sorry, I could not check that."},
    ),
)
