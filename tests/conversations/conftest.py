"""A small bank, enough to show every behaviour of a conversation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from voiceagent import (
    Digits,
    Facts,
    Filler,
    Flow,
    HangUpAfter,
    NotUnderstood,
    Phase,
    Prefetch,
    Pressed,
    Prompt,
    Reprompts,
    Requested,
    Say,
    Sealed,
    Silent,
    ToolContext,
    TransferTo,
    Transition,
    VoiceFails,
    tool,
)
from voiceagent.testing import After, ScriptedCall, ScriptedModel, ScriptedTool, ask_for, say


class SmallFacts(Facts):
    verified: bool = False
    customer_id: str | None = None
    attempts_left: int = 3


@tool(grants="account", grants_when="verified", sets=("verified", "customer_id", "attempts_left"))
async def verify(account: Sealed, pin: Sealed, ctx: ToolContext) -> dict[str, object]:
    """Check who is calling."""
    raise AssertionError("scripted tools never run")


@tool(requires="account", binds=("customer_id",))
async def balance(customer_id: str) -> dict[str, object]:
    """The balance of the account."""
    raise AssertionError("scripted tools never run")


@tool(requires="account", binds=("customer_id",), fresh_ms=60_000)
async def transactions(customer_id: str, count: int = 3) -> list[object]:
    """The last transactions."""
    raise AssertionError("scripted tools never run")


@tool(
    effect="irreversible",
    requires="account",
    binds=("customer_id",),
    invalidates=(balance,),
    confirm="Shall I send {{ amount }} dollars to {{ to }}?",
)
async def send_money(customer_id: str, amount: int, to: str = "savings") -> dict[str, object]:
    """Send money."""
    raise AssertionError("scripted tools never run")


PROMPTS = {
    "small/greeting.md": Prompt("Find out what the caller wants."),
    "small/authentication.md": Prompt("Ask for account number and PIN."),
    "small/inquiry.md": Prompt("Answer questions.\n---\nCustomer {{ customer_id }}."),
}

SMALL_BANK = Flow(
    name="small",
    initial="greeting",
    facts=SmallFacts,
    filler=Filler(patience_ms=800, phrases=("One moment.", "Let me check."), again_ms=4_000),
    prompts=PROMPTS,
    phases=(
        Phase(
            name="greeting",
            prompt="small/greeting.md",
            on_enter=Say(text="Hello, this is the small bank. How can I help you?"),
            transitions=(
                Transition(on=Requested(name="authenticate", description="They want something."), to="authentication"),
            ),
        ),
        Phase(
            name="authentication",
            prompt="small/authentication.md",
            sensitive=True,
            expects=(Digits(name="account", length=7), Digits(name="pin", length=4, sealed=True)),
            tools=(verify,),
            transitions=(
                Transition(on=verify, to="inquiry", when={"verified": True}, prefetch=(Prefetch(tool=balance),)),
                Transition(on=verify, to="human", when={"attempts_left": 0}),
            ),
        ),
        Phase(
            name="inquiry",
            prompt="small/inquiry.md",
            tools=(balance, transactions, send_money),
            no_input=Reprompts(after_ms=5_000, phrases=("Are you still there?",)),
            no_match=Reprompts(phrases=("Sorry?",)),
            transitions=(Transition(on=Requested(name="finish", description="They are done."), to="goodbye"),),
        ),
        Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        Phase(name="human", on_enter=Say(text="I will put you through."), ends=TransferTo(target="desk")),
    ),
    transitions=(
        Transition(on=Requested(name="human", description="They want a person."), to="human", priority=10),
        Transition(on=Pressed(digits="0"), to="human", priority=10),
        Transition(on=Silent(), to="goodbye"),
        Transition(on=NotUnderstood(), to="human"),
        Transition(on=VoiceFails(), to="human"),
    ),
)

VERIFIED = {"verified": True, "customer_id": "cust-1", "attempts_left": 3}
LINES = {
    "greeting": [ask_for("authenticate")],
    "authentication": [
        say("What is your account number?"),
        say("And your PIN?"),
        ask_for("verify", '{"account": "⟨account#1: 7 digits⟩", "pin": "⟨pin#2: 4 digits⟩"}'),
    ],
}

PlaceCall = Callable[..., ScriptedCall]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have every script of this folder played through the runtime as well."""
    for item in items:
        if item.path.name.endswith(".call.yaml") and item.path.is_relative_to(Path(__file__).parent):
            item.add_marker("through_runtime")


@pytest.fixture
def place_call() -> Iterator[PlaceCall]:
    """Return a function that places a call; every call it placed is replayed at the end."""
    placed: list[ScriptedCall] = []

    def place(
        lines: dict[str, list[list[object]]] | None = None,
        *,
        tools: dict[str, ScriptedTool] | None = None,
        flow: Flow = SMALL_BANK,
        **more: object,
    ) -> ScriptedCall:
        answers: dict[str, ScriptedTool] = {
            "verify": VERIFIED,
            "balance": After(300, {"balance": "12.50"}),
            "transactions": After(300, ["rent", "food"]),
            "send_money": After(200, {"sent": True}),
        }
        model = ScriptedModel({**LINES, **(lines or {})})  # pyright: ignore[reportArgumentType] - lists of lines
        call = ScriptedCall(flow, model=model, tools=answers | (tools or {}), **more)  # pyright: ignore[reportArgumentType] - what `ScriptedCall` takes
        placed.append(call)
        return call.start()

    yield place
    for call in placed:
        call.assert_replays()


@pytest.fixture
def authenticated(place_call: PlaceCall) -> PlaceCall:
    """Return a function that places a call and brings it to the inquiry phase."""

    def place(lines: list[list[object]], **more: object) -> ScriptedCall:
        call = place_call({"inquiry": lines}, **more)
        call.says("I want to know my balance").says("four five one nine two two seven").says("one two three four")
        assert call.phase == "inquiry", call.record.timeline()
        return call

    return place
