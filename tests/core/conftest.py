"""A small clinic: one phase to say who one is, one to look things up and to change them, two ways to end."""

from __future__ import annotations

import pytest

from voiceagent.spec.expects import Digits
from voiceagent.spec.facts import Facts
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.phase import (
    HangUpAfter,
    HostSignals,
    NotUnderstood,
    Phase,
    Pressed,
    Reprompts,
    Requested,
    Say,
    Silent,
    TimedOut,
    ToolFails,
    TransferTo,
    Transition,
    TurnLimitReached,
    VoiceFails,
)
from voiceagent.spec.prefetch import FromItem, Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Sealed, tool


class ClinicFacts(Facts):
    recognised: bool = False
    patient_id: str | None = None


@tool(grants="records", grants_when="recognised", sets=("recognised", "patient_id"))
async def check_patient(number: Sealed, code: Sealed) -> dict[str, object]:
    """Check who is calling."""
    raise AssertionError("nothing runs in a test of decisions")


@tool(requires="records", binds=("patient_id",), fresh_ms=60_000)
async def list_visits(patient_id: str) -> list[object]:
    """The patient's visits."""
    raise AssertionError("nothing runs in a test of decisions")


@tool(requires="records", binds=("patient_id",), fresh_ms=60_000)
async def read_visit(patient_id: str, visit: str) -> dict[str, object]:
    """One visit."""
    raise AssertionError("nothing runs in a test of decisions")


@tool(effect="write", requires="records", binds=("patient_id",), invalidates=(list_visits,))
async def add_note(patient_id: str, text: str) -> dict[str, object]:
    """Leave a note for the doctor."""
    raise AssertionError("nothing runs in a test of decisions")


@tool(
    effect="irreversible",
    requires="records",
    binds=("patient_id",),
    invalidates=(list_visits, read_visit),
    confirm="Shall I cancel visit {{ visit }}?",
)
async def cancel_visit(patient_id: str, visit: str) -> dict[str, object]:
    """Cancel a visit for good."""
    raise AssertionError("nothing runs in a test of decisions")


@tool
async def opening_hours() -> dict[str, object]:
    """When the clinic is open."""
    raise AssertionError("nothing runs in a test of decisions")


CLINIC = Flow(
    name="clinic",
    initial="welcome",
    facts=ClinicFacts,
    filler=Filler(patience_ms=800, phrases=("One moment.", "Let me check."), again_ms=4_000, give_up_ms=12_000),
    limits=Limits(max_call_ms=300_000, max_turns=12, max_tool_calls=8, model_timeout_ms=5_000),
    tools=(opening_hours,),
    prompts={
        "clinic/welcome.md": Prompt("Find out what the caller wants."),
        "clinic/identify.md": Prompt("Ask for the number and the code."),
        "clinic/desk.md": Prompt("Answer questions.\n---\nPatient {{ patient_id }}."),
    },
    phases=(
        Phase(
            name="welcome",
            prompt="clinic/welcome.md",
            on_enter=Say(text="Clinic, hello."),
            max_turns=4,
            transitions=(Transition(on=Requested(name="identify", description="They want something."), to="identify"),),
        ),
        Phase(
            name="identify",
            prompt="clinic/identify.md",
            sensitive=True,
            timeout_ms=90_000,
            expects=(Digits(name="number", length=6), Digits(name="code", length=4, sealed=True)),
            tools=(check_patient,),
            transitions=(
                Transition(
                    on=check_patient,
                    to="desk",
                    when={"recognised": True},
                    prefetch=(
                        Prefetch(tool=list_visits),
                        Prefetch(tool=read_visit, after=list_visits, arguments={"visit": FromItem(field="visit")}),
                    ),
                ),
                Transition(on=ToolFails(tool=check_patient), to="nurse"),
                Transition(on=TimedOut(), to="nurse"),
            ),
        ),
        Phase(
            name="desk",
            prompt="clinic/desk.md",
            tools=(list_visits, read_visit, add_note, cancel_visit),
            no_input=Reprompts(after_ms=5_000, phrases=("Are you still there?",)),
            no_match=Reprompts(phrases=("Sorry?",)),
            transitions=(Transition(on=Requested(name="finish", description="They are done."), to="farewell"),),
        ),
        Phase(name="farewell", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        Phase(name="nurse", on_enter=Say(text="I will put you through."), ends=TransferTo(target="nurse")),
    ),
    transitions=(
        Transition(on=Requested(name="nurse", description="They want a person."), to="nurse", priority=10),
        Transition(on=Pressed(digits="0"), to="nurse", priority=10),
        Transition(on=HostSignals(name="closing_time"), to="farewell"),
        Transition(on=Silent(), to="farewell"),
        Transition(on=NotUnderstood(), to="nurse"),
        Transition(on=TurnLimitReached(), to="nurse"),
        Transition(on=VoiceFails(), to="nurse"),
    ),
)


@pytest.fixture(scope="session")
def clinic_flow() -> Flow:
    """The flow of the clinic; it cannot change, so one serves all tests."""
    return CLINIC
