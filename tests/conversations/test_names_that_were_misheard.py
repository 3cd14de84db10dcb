"""Names from what is known of the caller: hinted at to the recognizer, and found where it has misheard them."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from tests.conversations.conftest import PlaceCall, SmallFacts, send_money, verify
from voiceagent import (
    Digits,
    Flow,
    FromAnswer,
    FromFact,
    HangUpAfter,
    Phase,
    Prefetch,
    Prompt,
    Requested,
    Say,
    Transition,
    VoiceFails,
    tool,
)
from voiceagent.core import effects as fx
from voiceagent.testing import After, ScriptedCall, ask_for, say

PAYEES: JsonValue = {
    "payees": [
        {"name": "John Smythe", "iban": "DE02 1203"},
        {"name": "Katherine Meyer"},
        {"name": "⟨pin#2: 4 digits⟩"},
        {"name": "Account 4519"},
        {"name": "x" * 200},
        {"nickname": "Bob"},
        "nobody",
    ]
}


@tool(requires="account", binds=("customer_id",))
async def payees(customer_id: str) -> dict[str, object]:
    """Whom the caller has paid before."""
    raise AssertionError("scripted tools never run")


FETCH = (Prefetch(tool=payees),)
FLOW = Flow(
    name="payees",
    initial="authentication",
    facts=SmallFacts,
    prompts={"who.md": Prompt("Ask who it is."), "what.md": Prompt("Ask what it is.")},
    phases=(
        Phase(
            name="authentication",
            prompt="who.md",
            sensitive=True,
            expects=(Digits(name="account", length=7), Digits(name="pin", length=4, sealed=True)),
            tools=(verify,),
            transitions=(Transition(on=verify, to="inquiry", when={"verified": True}, prefetch=FETCH),),
        ),
        Phase(
            name="inquiry",
            prompt="what.md",
            tools=(send_money, payees),
            hints=(
                FromAnswer(tool=payees, for_each="payees", field="name"),
                FromFact(fact="customer_id"),
                "Platinum Saver",
            ),
            transitions=(Transition(on=Requested(name="finish", description="Done."), to="end"),),
        ),
        Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
    ),
    transitions=(Transition(on=VoiceFails(), to="end"),),
)
LINES = {
    "authentication": [
        say("What is your account number?"),
        say("And your PIN?"),
        ask_for("verify", '{"account": "⟨account#1: 7 digits⟩", "pin": "⟨pin#2: 4 digits⟩"}'),
    ],
    "inquiry": [
        say("Yes?"),
        ask_for("send_money", '{"amount": 50, "to": "John Smythe"}'),
        say("It is sent."),
        say("Anything else?"),
    ],
}


def inquiry(place_call: PlaceCall, **more: object) -> ScriptedCall:
    tools = {"payees": After(100, PAYEES)} | dict(more)
    call = place_call(LINES, flow=FLOW, tools=tools)
    call.says("four five one nine two two seven").says("one two three four")
    assert call.phase == "inquiry", call.record.timeline()
    return call


def hints(call: ScriptedCall) -> tuple[str, ...]:
    return call.record.effects(fx.Transcribe)[-1].hints


def test_the_recognizer_is_told_the_names_of_the_callers_payees_and_of_products_but_no_number(
    place_call: PlaceCall,
) -> None:
    call = inquiry(place_call)
    assert hints(call) == ()  # nobody is known before they have said who they are
    call.says("Send fifty dollars please")
    assert hints(call) == ("John Smythe", "Katherine Meyer", "Platinum Saver")


def test_a_payee_whose_name_was_misheard_is_found(place_call: PlaceCall) -> None:
    call = inquiry(place_call).says("Send fifty dollars to jon smit")
    said = [m.text for m in call.conversation.transcript.messages() if m.role == "caller"]
    assert said[-1] == "Send fifty dollars to John Smythe"
    assert call.heard[-1] == "Shall I send 50 dollars to John Smythe?"
    call.says("yes")
    assert call.ran("send_money") == 1


def test_what_was_heard_stays_in_the_journal(place_call: PlaceCall) -> None:
    call = inquiry(place_call).says("Send fifty dollars to jon smit")
    assert "text='Send fifty dollars to jon smit'" in call.record.timeline()


@pytest.mark.parametrize(
    "answer", [{"payees": None}, {"payees": {"name": "Eve"}}, ["John Smythe"], "John Smythe", None]
)
def test_an_answer_of_another_shape_hints_at_nobody(place_call: PlaceCall, answer: JsonValue) -> None:
    call = inquiry(place_call, payees=After(100, answer)).says("Send it to jon smit")
    assert hints(call) == ("Platinum Saver",)


def test_there_are_never_more_than_fifty(place_call: PlaceCall) -> None:
    many: JsonValue = {"payees": [{"name": "Ab" + "cdefghij"[at % 8] * (at // 8 + 1)} for at in range(200)]}
    call = inquiry(place_call, payees=After(100, many)).says("Send fifty dollars please")
    assert len(hints(call)) == 50


def test_a_name_may_be_a_fact(place_call: PlaceCall) -> None:
    verified = {"verified": True, "customer_id": "Amelie Poulain", "attempts_left": 3}
    call = inquiry(place_call, verify=verified).says("This is Ameli Poulin")
    assert "Amelie Poulain" in hints(call)
    said = [m.text for m in call.conversation.transcript.messages() if m.role == "caller"]
    assert said[-1] == "This is Amelie Poulain"
