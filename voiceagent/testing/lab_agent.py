"""The laboratory's agent: a small bank that has one of everything that can go wrong.

Secrets and a grant, an identity that can change in mid-call, answers that are fetched ahead and depend on who is
asking, a write and two things that cannot be undone, in phases that offer different tools.
"""

from __future__ import annotations

from typing import Literal

from voiceagent.ports import ToolRequest
from voiceagent.spec.expects import Digits
from voiceagent.spec.facts import Facts
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.phase import (
    Ask,
    HangUpAfter,
    HostSignals,
    NotUnderstood,
    Phase,
    Pressed,
    Reprompts,
    Requested,
    Say,
    Silent,
    ToolFails,
    TransferTo,
    Transition,
    TurnLimitReached,
    VoiceFails,
)
from voiceagent.spec.prefetch import FromItem, Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Sealed, tool
from voiceagent.testing.scripted_model import ModelRule, ask_for, say

__all__ = ["CUSTOMERS", "LAB", "LAB_RULES", "NUMBER", "PIN"]

NUMBER, PIN = "4815162", "7391"
"""What the caller keys in or says: canaries that may be found nowhere."""
CUSTOMERS = ("ada", "grace")
"""Whoever the caller says they are; each has data of their own."""
_SIMULATED = "tools of the laboratory are simulated"


class LabFacts(Facts):
    """Written by the tools alone."""

    recognised: bool = False
    customer: str | None = None


@tool(
    grants="account", grants_when="recognised", sets=("recognised", "customer"), egress="POST service", timeout_ms=4_000
)
async def check_caller(number: Sealed, pin: Sealed) -> dict[str, object]:
    """Check who is calling."""
    raise NotImplementedError(_SIMULATED)


@tool(
    grants="account", grants_when="recognised", sets=("recognised", "customer"), egress="POST service", timeout_ms=4_000
)
async def change_caller(to: Literal["ada", "grace", "nobody"]) -> dict[str, object]:
    """Go on for another person of the household, whom the bank knows as well; nobody: forget who is calling."""
    raise NotImplementedError(_SIMULATED)


@tool(requires="account", binds=("customer",), fresh_ms=60_000, timeout_ms=4_000)
async def read_balance(customer: str) -> dict[str, object]:
    """Return the balance."""
    raise NotImplementedError(_SIMULATED)


@tool(requires="account", fresh_ms=60_000, timeout_ms=4_000, retries=1)
async def read_statement(month: str) -> dict[str, object]:
    """Return what was paid in a month; the bank knows by the credential who is asking."""
    raise NotImplementedError(_SIMULATED)


@tool(effect="write", requires="account", binds=("customer",), invalidates=(read_statement,), timeout_ms=4_000)
async def add_note(customer: str, text: str) -> dict[str, object]:
    """Leave a note."""
    raise NotImplementedError(_SIMULATED)


@tool(
    effect="irreversible",
    requires="account",
    binds=("customer",),
    invalidates=(read_balance, read_statement),
    confirm="Shall I pay {{ amount }} dollars to {{ payee }}?",
    timeout_ms=4_000,
)
async def pay(customer: str, payee: str, amount: int) -> dict[str, object]:
    """Pay a bill."""
    raise NotImplementedError(_SIMULATED)


@tool(effect="irreversible", requires="account", confirm="Shall I block your card for good?", timeout_ms=4_000)
async def block_card() -> dict[str, object]:
    """Block the card."""
    raise NotImplementedError(_SIMULATED)


@tool(timeout_ms=4_000)
async def opening_hours() -> dict[str, object]:
    """When the bank is open."""
    raise NotImplementedError(_SIMULATED)


LAB = Flow(
    name="laboratory",
    preemptive_replies=True,
    initial="welcome",
    facts=LabFacts,
    filler=Filler(patience_ms=800, phrases=("One moment.", "Let me check."), again_ms=2_500, give_up_ms=12_000),
    limits=Limits(
        max_call_ms=120_000,
        max_turns=20,
        max_tool_calls=16,
        model_timeout_ms=5_000,
        recognizer_timeout_ms=3_000,
        max_result_bytes=1_000,
        confirm_within_ms=12_000,
    ),
    tools=(opening_hours,),
    prompts={
        "welcome.md": Prompt("Find out what the caller wants."),
        "identify.md": Prompt("Ask for the number and the PIN."),
        "desk.md": Prompt("Answer questions.\n---\n{% if customer %}The customer is {{ customer }}.{% endif %}"),
        "cards.md": Prompt("Cards are dealt with here."),
    },
    phases=(
        Phase(
            name="welcome",
            prompt="welcome.md",
            on_enter=Say(text="Hello."),
            transitions=(Transition(on=Requested(name="identify", description="They want something."), to="identify"),),
        ),
        Phase(
            name="identify",
            prompt="identify.md",
            sensitive=True,
            expects=(Digits(name="number", length=7), Digits(name="pin", length=4, sealed=True)),
            tools=(check_caller,),
            on_enter=Say(text="Your number and PIN?"),
            transitions=(
                Transition(
                    on=check_caller,
                    to="desk",
                    when={"recognised": True},
                    prefetch=(
                        Prefetch(tool=read_balance),
                        Prefetch(
                            tool=read_statement,
                            after=read_balance,
                            for_each="months",
                            arguments={"month": FromItem(field="month")},
                        ),
                    ),
                ),
                Transition(on=ToolFails(tool=check_caller), to="human"),
            ),
        ),
        Phase(
            name="desk",
            prompt="desk.md",
            on_enter=Ask(),
            tools=(read_balance, read_statement, add_note, pay, change_caller),
            no_input=Reprompts(after_ms=4_000, phrases=("Are you still there?",)),
            no_match=Reprompts(phrases=("Sorry?",)),
            transitions=(
                Transition(on=Requested(name="to_cards", description="It is about a card."), to="cards"),
                Transition(on=HostSignals(name="to_cards"), to="cards"),
            ),
        ),
        Phase(
            name="cards",
            prompt="cards.md",
            on_enter=Ask(),
            tools=(block_card, read_statement, add_note),
            no_input=Reprompts(after_ms=4_000, phrases=("Are you still there?",)),
            no_match=Reprompts(phrases=("Sorry?",)),
            transitions=(
                Transition(on=Requested(name="to_desk", description="It is about money."), to="desk"),
                Transition(on=HostSignals(name="to_desk"), to="desk"),
            ),
        ),
        Phase(name="farewell", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        Phase(name="human", on_enter=Say(text="I will put you through."), ends=TransferTo(target="desk")),
    ),
    transitions=(
        Transition(on=Requested(name="human", description="They want a person."), to="human", priority=10),
        Transition(on=Pressed(digits="0"), to="human", priority=10),
        Transition(on=Requested(name="finish", description="They are done."), to="farewell"),
        Transition(on=HostSignals(name="closing_time"), to="farewell"),
        Transition(on=Silent(), to="farewell"),
        Transition(on=NotUnderstood(), to="human"),
        Transition(on=TurnLimitReached(), to="human"),
        Transition(on=VoiceFails(), to="human"),
    ),
)

LAB_RULES = (
    ModelRule(tuple(ask_for("identify")), phase="welcome", caller_says="account"),
    ModelRule(
        tuple(ask_for("check_caller", '{"number": "⟨number⟩", "pin": "⟨pin⟩"}')), phase="identify", caller_says="⟨pin#"
    ),
    ModelRule(tuple(say("That does not match.")), phase="identify", after_tool="check_caller"),
    ModelRule(tuple(say("And your PIN?")), phase="identify"),
    ModelRule(tuple(say("There you are. What else?")), after_tool="read_balance"),
    ModelRule(tuple(say("That was it. What else?")), after_tool="read_statement"),
    ModelRule(tuple(say("I have noted that, and everybody who works here will see it.")), after_tool="add_note"),
    ModelRule(tuple(say("That is what became of it.")), after_tool="pay"),
    ModelRule(tuple(say("That is what became of your card.")), after_tool="block_card"),
    ModelRule(tuple(say("Now it is somebody else's turn.")), after_tool="change_caller"),
    ModelRule(tuple(say("From nine to five.")), after_tool="opening_hours"),
    ModelRule(tuple(ask_for("opening_hours", words="I look.")), caller_says="open"),
    ModelRule(tuple(ask_for("human")), caller_says="person"),
    ModelRule(tuple(ask_for("finish")), caller_says="bye"),
    ModelRule(tuple(ask_for("read_balance")), phase="desk", caller_says="balance"),
    ModelRule(tuple(ask_for("read_statement", '{"month": "May"}')), caller_says="statement of May"),
    ModelRule(tuple(ask_for("read_statement", '{"month": "June"}')), caller_says="statement of June"),
    ModelRule(tuple(ask_for("add_note", '{"text": "call me"}', words="Yes.")), caller_says="note"),
    ModelRule(
        (
            ToolRequest("gas", "pay", '{"payee": "Gas", "amount": 20}'),
            *ask_for("pay", '{"payee": "Rent", "amount": 900}'),
        ),
        phase="desk",
        caller_says="gas and the rent",
    ),
    ModelRule(tuple(ask_for("pay", '{"payee": "Gas", "amount": 20}')), phase="desk", caller_says="gas"),
    ModelRule(tuple(ask_for("pay", '{"payee": "Rent", "amount": 900}')), phase="desk", caller_says="rent"),
    ModelRule(tuple(ask_for("change_caller", '{"to": "grace"}')), phase="desk", caller_says="my wife"),
    ModelRule(tuple(ask_for("change_caller", '{"to": "nobody"}')), phase="desk", caller_says="forget me"),
    ModelRule(tuple(ask_for("to_cards")), phase="desk", caller_says="card"),
    ModelRule(tuple(ask_for("block_card")), phase="cards", caller_says="block"),
    ModelRule(tuple(ask_for("to_desk")), phase="cards", caller_says="money"),
    ModelRule(tuple(say("What can I do for you? There is a lot that can be done here.")), phase="desk"),
    ModelRule(tuple(say("This is where cards are dealt with."))),
)
"""What a model that means well answers; the first that fits."""
