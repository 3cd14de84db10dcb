"""What callers and services say is inserted as it is: nothing in it is read as a template, in no place there is one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceagent import (
    Facts,
    Filler,
    Flow,
    GuidedDialogue,
    HangUpAfter,
    Intent,
    Phase,
    Prompt,
    Say,
    Transition,
    tool,
)
from voiceagent.core import effects as fx
from voiceagent.errors import ToolFailed
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import After, ScriptedCall, ask_for, say

LOOKS_LIKE_ONE = [
    "{config.api_key}",
    "{{7*7}}",
    "%s",
    "%(pin)s",
    "{{ pin }}",
    "{{ customer_id }}",
    "{% if true %}49{% endif %}",
    "{# nothing #}x",
    "${customer_id}",
    "{0.__class__}",
    "{{ ''.__class__.__mro__ }}",
    "---",
    "{{",
    "⟨pin#1: 4 digits⟩",
]
BANK = load_flow(Path(__file__).parents[2] / "phases" / "bank")
Place = Callable[..., ScriptedCall]


class Met(Facts):
    customer_id: str | None = None
    name: str | None = None


@tool(sets={"customer_id": "id", "name": "name"}, filler=Filler(patience_ms=500, phrases=("One moment.", "A second.")))
async def meet() -> dict[str, str]:
    """Meet the caller."""
    raise AssertionError("scripted tools never run")


@tool
async def note() -> dict[str, str]:
    """Read a note."""
    raise AssertionError("scripted tools never run")


DESK = Flow(
    name="desk",
    initial="hall",
    facts=Met,
    prompts={"desk/room.md": Prompt("Be kind.\n---\nThe caller is {{ name }}, number {{ customer_id }}.")},
    phases=(
        Phase(
            name="hall",
            tools=(meet,),
            guided=GuidedDialogue(intents=(Intent(does=meet, examples=("my name is me", "it is me")),)),
            transitions=(Transition(on=meet, to="room"),),
        ),
        Phase(
            name="room",
            prompt="desk/room.md",
            on_enter=Say(text="Hello {{ name }}."),
            tools=(note,),
            guided=GuidedDialogue(
                intents=(Intent(does=note, examples=("read my note",)),),
                replies={"note": "Your note, {{ name }}: {{ result.text }}."},
                failures={"note": "It failed, {{ name }}: {{ reason }}."},
            ),
        ),
        Phase(name="end", ends=HangUpAfter()),
    ),
)


def met(name: str, answer: object) -> ScriptedCall:
    """A caller of this name, who has asked for a note."""
    model = GuidedModels().open(DESK, locale="en-US", time_zone="UTC")
    tools = {"meet": After(1_500, {"id": "C-1", "name": name}), "note": answer}
    call = ScriptedCall(DESK, model=model, tools=tools)  # pyright: ignore[reportArgumentType] - answers of tools
    return call.start().says("it is me").says("read my note")


@pytest.mark.parametrize("words", LOOKS_LIKE_ONE)
def test_e5_a_name_is_inserted_literally_in_prompts_greetings_replies_and_failures(words: str) -> None:
    call = met(words, {"text": words})
    assert call.record.fillers[0] == "One moment."
    assert f"Hello {words}." in call.heard
    assert call.heard[-1] == f"Your note, {words}: {words}."
    assert call.record.shown[-1].late_facts == f"The caller is {words}, number C-1."
    assert met(words, ToolFailed(words)).heard[-1] == f"It failed, {words}: {words}."
    call.assert_replays()


@pytest.mark.parametrize("words", LOOKS_LIKE_ONE)
def test_e5_an_argument_is_read_back_literally_and_passed_on_as_it_was_said(authenticated: Place, words: str) -> None:
    asks = [say("Hello."), ask_for("send_money", json.dumps({"amount": 5, "to": words})), say("Done.")]
    call = authenticated(asks).says("Send five to them")
    assert call.heard[-1] == f"Shall I send 5 dollars to {words}?"
    call.says("Yes, that's correct.")
    assert call.record.effects(fx.StartTool)[-1].arguments["to"] == words


@pytest.mark.parametrize("words", LOOKS_LIKE_ONE)
def test_e5_what_a_caller_says_reaches_the_model_as_it_was_said(authenticated: Place, words: str) -> None:
    call = authenticated([say("Hello."), say("I see.")]).says(f"My name is {words}")
    assert f"My name is {words}" in [message.text for message in call.record.shown[-1].history]


@pytest.mark.parametrize("words", LOOKS_LIKE_ONE)
def test_e5_the_bank_says_a_customers_name_and_a_shops_literally(words: str) -> None:
    account = {"account_id": "C-1-checking", "kind": "checking", "balance": "1234.50", "currency": "USD"}
    entry = {"date": "2025-11-20", "merchant": words, "amount": "-12.00", "currency": "USD"}
    tools = {
        "verify_caller": {"verified": True, "customer_id": "C-1", "name": words, "attempts_left": 5},
        "get_accounts": {"accounts": [account]},
        "recent_transactions": {"account": "checking", "transactions": [entry]},
    }
    model = GuidedModels().open(BANK, locale="en-US", time_zone="UTC")
    call = ScriptedCall(BANK, model=model, tools=tools)  # pyright: ignore[reportArgumentType] - answers of tools
    call.start().says("I want my balance").says("four five one nine two two seven").says("one two three four")
    call.says("What were my last transactions in checking?")
    assert f"at {words}." in call.heard[-1]
    assert f"The caller is {words}." in call.record.shown[-1].late_facts
