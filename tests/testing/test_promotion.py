"""A call that took place becomes a scripted conversation that goes the same way, and names nobody."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import voiceagent
from voiceagent.core import events as ev
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.models.guided import GuidedModels
from voiceagent.ports import ReplyDone, SentText, ToolRequest
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import After, CallPlayer, RuntimeCall, ScriptedModel
from voiceagent.testing.call_file import CallFiles
from voiceagent.testing.promotion import promoted
from voiceagent.testing.pseudonyms import Pseudonyms

FOLDER = Path(voiceagent.__file__).parents[1] / "phases" / "bank"
BANK = load_flow(FOLDER)
SECRETS = ("4519227", "1234", "Daniel", "Harris", "C-1001", "2540.75", "Corner", "Bakery")
TOOLS = {
    "verify_caller": After(
        300, {"verified": True, "customer_id": "C-1001", "name": "Daniel Harris", "attempts_left": 5}
    ),
    "get_accounts": After(
        400,
        {
            "accounts": [
                {"account_id": "C-1001-checking", "kind": "checking", "balance": "2540.75", "currency": "USD"},
                {"account_id": "C-1001-savings", "kind": "savings", "balance": "800.00", "currency": "USD"},
            ]
        },
    ),
    "recent_transactions": lambda given: After(
        500,
        {
            "account": given["account"],
            "transactions": [
                {"date": "2025-11-22", "merchant": "Corner Bakery", "amount": "-12.00", "currency": "USD"},
            ],
        },
    ),
    "transfer": After(400, {"transfer_id": "X-1", "amount": "250.00", "currency": "USD"}),
}
IDENTIFIED = (
    "Hi, I'd like to check the balance on my account please.",
    "My account number is four five one nine, two two seven.",
    "The pin is one two three four.",
)


def took_place(folder: Path, act: Callable[[RuntimeCall], object], model: object = None) -> str:
    """Let a call take place through the runtime; return it promoted, and see that it goes the same way again."""
    speaks = model or GuidedModels().open(BANK, locale="en-US", time_zone="UTC")
    inherited = Inherited(CallId("CA77"))
    with RuntimeCall(BANK, model=speaks, tools=TOOLS, inherited=inherited, journals=folder) as call:  # pyright: ignore[reportArgumentType] - a model of lines or of rules
        call.start()
        act(call)
        phases = call.record.phases
    text = promoted(read_journal(folder / "CA77.jsonl"), BANK, agent=str(FOLDER))
    file = folder / "promoted.call.yaml"
    file.write_text(text)
    (script,) = CallFiles().read(file).scripts
    outcome = CallPlayer(BANK).play(script)
    assert outcome.passed, outcome.failure
    assert script.in_the_end.phases == tuple(phases)
    return text


def says(*lines: str) -> Callable[[RuntimeCall], object]:
    def act(call: RuntimeCall) -> None:
        for line in lines:
            call.says(line)

    return act


def acts_of(text: str) -> Sequence[str]:
    return re.findall(r"^- (says|presses|makes_noise_ms|hangs_up|host_event)", text, flags=re.MULTILINE)


def test_a_whole_call_goes_the_same_way_again(tmp_path: Path) -> None:
    lines = (*IDENTIFIED, "What were my last transactions?", "Okay, thank you very much. Goodbye.")
    text = took_place(tmp_path, says(*lines))
    assert acts_of(text) == ["says"] * 5
    assert "ended: true" in text


def test_it_names_nobody_and_tells_no_secret(tmp_path: Path) -> None:
    text = took_place(tmp_path, says(*IDENTIFIED, "What were my last transactions?"))
    assert [secret for secret in SECRETS if secret in text] == []
    assert "checking" in text
    assert "pin" in text


def test_what_was_confirmed_is_confirmed_again(tmp_path: Path) -> None:
    transfer = "I want to transfer two hundred and fifty dollars to my savings account."
    text = took_place(tmp_path, says(*IDENTIFIED, transfer, "Yes, that's correct."))
    assert "transfer: {}" in text


def test_keys_are_pressed_again(tmp_path: Path) -> None:
    def act(call: RuntimeCall) -> None:
        call.says(IDENTIFIED[0])
        call.presses("4519227")
        call.presses("1234")

    text = took_place(tmp_path, act)
    assert acts_of(text) == ["says", "presses", "presses", "hangs_up"]


def test_an_interruption_and_a_hang_up_take_place_again(tmp_path: Path) -> None:
    def act(call: RuntimeCall) -> None:
        says(*IDENTIFIED)(call)
        call.says("What were my last transactions?", then_wait=False).until(ev.PlayoutStarted).run_ms(1_500)
        call.says("I want to talk to a human.", then_wait=False).run_ms(200)
        call.hangs_up()
        call.until_quiet()

    text = took_place(tmp_path, act)
    assert acts_of(text)[-2:] == ["makes_noise_ms", "hangs_up"]
    assert "answer_ms:" in text


def test_a_language_models_lines_are_its_lines_again(tmp_path: Path) -> None:
    spoken = [SentText("How can I help?"), ReplyDone(input_tokens=100, output_tokens=5)]
    asked = [ToolRequest("q1", "talk_to_human", "{}"), ReplyDone(input_tokens=100, output_tokens=5)]
    text = took_place(tmp_path, says("Hello?", "A person please."), ScriptedModel({"greeting": [spoken, asked]}))
    assert "says: How can I help?" in text
    assert "calls: talk_to_human" in text


# --- pseudonyms ------------------------------------------------------------------------------------------------------

names = st.from_regex(r"[A-Z][a-z]{3,9}", fullmatch=True)


@given(st.from_regex(r"[1-9][0-9]{0,9}(\.[0-9]{2})?", fullmatch=True))
def test_a_number_keeps_its_shape(number: str) -> None:
    other = Pseudonyms(seed="a", kept=()).of(number)
    assert isinstance(other, str)
    assert re.sub("[1-9]", "n", other) == re.sub("[1-9]", "n", number)


@given(names, st.integers(0, 5))
def test_a_name_is_the_same_everywhere(name: str, others: int) -> None:
    pseudonyms = Pseudonyms(seed="a", kept=())
    other = pseudonyms.of({"name": name})
    pseudonyms.of([f"Person{'a' * n}" for n in range(others)])
    assert pseudonyms.of({"name": name}) == other
    assert pseudonyms.spoken(f"this is {name.lower()} speaking") == f"this is {other['name']} speaking"  # type: ignore[index, call-overload] - it is there


@pytest.mark.parametrize("kept", ["checking", "Current Account", True, None, 5, 2.5])
def test_what_decides_the_flow_stays(kept: object) -> None:
    assert Pseudonyms(seed="a", kept=("checking", "Current Account")).of(kept) == kept  # pyright: ignore[reportArgumentType] - JSON, as a journal has it


def test_dates_stay_dates_and_keep_their_distance() -> None:
    moved = Pseudonyms(seed="b", kept=()).of(["2025-03-01", "2025-02-27"])
    assert isinstance(moved, list)
    one, other = (date.fromisoformat(str(day)) for day in moved)
    assert (one - other).days == 2
    assert one != date(2025, 3, 1)
