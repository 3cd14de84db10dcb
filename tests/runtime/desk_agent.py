"""The desk of the speech models' calls: its flow, its model's lines, and what a test asks about such a call."""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Literal

from voiceagent.models.guided import GuidedModels
from voiceagent.spec.expects import Digits
from voiceagent.spec.facts import Facts
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.guided import GuidedDialogue, Intent
from voiceagent.spec.phase import (
    Ask,
    HangUpAfter,
    HostSignals,
    LastMessages,
    Phase,
    Reprompts,
    Requested,
    Say,
    TimedOut,
    Transition,
    VoiceFails,
)
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Sealed, tool
from voiceagent.testing import After, Faults, ProviderFaults, RuntimeCall, SimulatedProvider
from voiceagent.testing.scripted_model import ModelOfScript, ModelRule, RuledModel, ask_for, say
from voiceagent.testing.simulated_provider import SimulatedSession

Swapping = Literal["in_place", "new_session"]
BOTH: tuple[Swapping, ...] = ("in_place", "new_session")
STORY = "There are many counters. The first is for visits. The second is for bills. The third is for lost things."
SILENT_MS = int.from_bytes(b"\xff" * 8, "little")
"""A millisecond of silence in audio that knows its words."""

# --- the flow --------------------------------------------------------------------------------------------------------


class DeskFacts(Facts):
    """What is known of the caller."""

    identified: bool = False


@tool()
async def opening_hours() -> dict[str, str]:
    """When the desk is open."""
    raise AssertionError("the script answers")


@tool(effect="irreversible", confirm="Your visit on {{ day }} will be cancelled. Is that right?")
async def cancel_visit(day: str) -> dict[str, bool]:
    """Cancel a visit."""
    raise AssertionError("the script answers")


@tool(sets=("identified",))
async def check_code(code: Sealed) -> dict[str, bool]:
    """Check the code."""
    raise AssertionError("the script answers")


TO_VISITS = Requested(name="to_visits", description="The caller asks about visits.")
TO_RECEPTION = Requested(name="to_reception", description="The caller asks for the reception.")
TO_CODE = Requested(name="to_code", description="The caller wants to say the code.")
BYE = Requested(name="bye", description="The caller is done.")


def desk(*, standby: bool = False, code_within_ms: int | None = None, interruptible: bool = True) -> Flow:
    """Return a desk with two counters: everything about visits is at the second one.

    At one that is not `interruptible` whoever speaks there finishes their sentences.
    """
    reception = _reception(
        asks_after_ms=60_000,
        transitions=(Transition(on=TO_VISITS, to="visits", standby=standby), Transition(on=TO_CODE, to="code")),
    )
    visits = Phase(
        name="visits",
        prompt="desk/visits.md",
        tools=(opening_hours, cancel_visit),
        transitions=(Transition(on=BYE, to="goodbye"),),
        interruptible=interruptible,
        guided=GuidedDialogue(
            intents=(Intent(does=opening_hours, examples=("when are you open",)),),
            not_understood="This is the counter for visits, without its model.",
        ),
    )
    code = _code(timeout_ms=code_within_ms, standby=False)
    return _flow(reception, visits, code, limits=Limits(max_call_ms=3_600_000, max_turns=400))


def busy_desk(*, standby: bool, carry_all: bool, interruptible: bool) -> Flow:
    """Return a desk whose counters can be reached in every way that there is."""
    reception = _reception(
        asks_after_ms=20_000,
        transitions=(
            Transition(on=TO_VISITS, to="visits", standby=standby),
            Transition(on=TO_CODE, to="code", standby=standby),
        ),
    )
    visits = Phase(
        name="visits",
        prompt="desk/visits.md",
        on_enter=Ask(),
        tools=(opening_hours, cancel_visit),
        carry="all" if carry_all else LastMessages(count=4),
        timeout_ms=30_000,
        interruptible=interruptible,
        transitions=(Transition(on=TO_RECEPTION, to="reception"), Transition(on=TimedOut(), to="reception")),
        guided=GuidedDialogue(
            intents=(Intent(does="to_reception", examples=("reception",)),),
            not_understood="This is the counter for visits, without its model.",
        ),
    )
    music = Phase(
        name="music",
        on_enter=Say(text="Please hold the line."),
        timeout_ms=3_000,
        transitions=(Transition(on=TimedOut(), to="reception"),),
    )
    code = _code(timeout_ms=25_000, standby=standby)
    return _flow(reception, visits, code, music, limits=Limits(max_call_ms=600_000, max_turns=100))


def _flow(*phases: Phase, limits: Limits) -> Flow:
    """Return the desk with these counters; the host application sends callers to all but the first."""
    called_to = [phase.name for phase in phases[1:]]
    return Flow(
        name="desk",
        initial="reception",
        facts=DeskFacts,
        filler=Filler(phrases=("One moment.", "Still looking."), patience_ms=800),
        limits=limits,
        prompts={
            "desk/reception.md": Prompt("You are at the reception."),
            "desk/visits.md": Prompt("You are at the counter for visits.\n---\nThe caller is known: {{ identified }}."),
            "desk/code.md": Prompt("You ask for the code."),
        },
        phases=(*phases, Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())),
        transitions=(
            Transition(on=VoiceFails(), to="goodbye"),
            *(Transition(on=HostSignals(name=name), to=name) for name in called_to),
        ),
    )


def _reception(*, asks_after_ms: int, transitions: tuple[Transition, ...]) -> Phase:
    return Phase(
        name="reception",
        prompt="desk/reception.md",
        on_enter=Say(text="Reception, hello."),
        tools=(opening_hours,),
        no_input=Reprompts(after_ms=asks_after_ms, phrases=("Are you there?",) * 40),
        transitions=transitions,
        guided=GuidedDialogue(
            intents=(Intent(does="to_visits", examples=("my visit", "visits please")),),
            not_understood="This is the reception, without its model.",
        ),
    )


def _code(*, timeout_ms: int | None, standby: bool) -> Phase:
    return Phase(
        name="code",
        prompt="desk/code.md",
        sensitive=True,
        expects=(Digits(name="code", length=4, sealed=True),),
        tools=(check_code,),
        timeout_ms=timeout_ms,
        transitions=(
            Transition(on=check_code, to="visits", standby=standby),
            Transition(on=TimedOut(), to="visits"),
        ),
    )


# --- its model -------------------------------------------------------------------------------------------------------


def rules(*more: ModelRule) -> RuledModel:
    """Return a model that knows both counters."""
    return RuledModel(
        [
            *more,
            ModelRule(tuple(ask_for("to_visits")), phase="reception", caller_says="visit"),
            ModelRule(tuple(ask_for("to_code")), phase="reception", caller_says="code"),
            ModelRule(tuple(say("You are at the right counter.")), phase="visits", after_tool="to_visits"),
            ModelRule(tuple(say("That code is right.")), phase="visits", after_tool="check_code"),
            ModelRule(tuple(say("And the code?")), phase="code", after_tool="to_code"),
            ModelRule(tuple(ask_for("check_code", '{"code": "⟨code⟩"}')), phase="code", caller_says="code"),
            ModelRule(tuple(ask_for("opening_hours")), caller_says="open"),
            ModelRule(tuple(say("From nine to five.")), after_tool="opening_hours"),
            ModelRule(tuple(ask_for("cancel_visit", '{"day": "Friday"}')), caller_says="cancel"),
            ModelRule(tuple(say("It is cancelled.")), after_tool="cancel_visit"),
            ModelRule(tuple(ask_for("bye")), caller_says="bye"),
            ModelRule(tuple(say("You are at the reception. What is it about?")), phase="reception"),
            ModelRule(tuple(say("This is the counter for visits. What is it about?")), phase="visits"),
        ]
    )


def storyteller() -> RuledModel:
    """Return a model with a long story."""
    return rules(ModelRule(tuple(say(STORY)), caller_says="counters"))


# --- a call ----------------------------------------------------------------------------------------------------------


def call_to(
    flow: Flow,
    swap: Swapping = "in_place",
    *,
    model: ModelOfScript | None = None,
    tools_take_ms: int = 100,
    faults: ProviderFaults | None = None,
    recognizer_fails: Sequence[int] = (),
    **provider: object,
) -> tuple[RuntimeCall, SimulatedProvider]:
    """Place a call to the desk; the guided model stands behind the provider's."""
    theirs = SimulatedProvider(flow, model or rules(), swap=swap, faults=faults or ProviderFaults(), **provider)
    return placed(flow, theirs, tools_take_ms=tools_take_ms, recognizer_fails=recognizer_fails), theirs


def placed(
    flow: Flow, provider: SimulatedProvider, *, tools_take_ms: int = 100, recognizer_fails: Sequence[int] = ()
) -> RuntimeCall:
    """Place a call to the desk at which this provider's model speaks; our recognizer fails on these utterances."""
    answers = {
        "opening_hours": After(tools_take_ms, {"from": "9", "to": "5"}),
        "cancel_visit": After(tools_take_ms, {"done": True}),
        "check_code": After(tools_take_ms, {"identified": True}),
    }
    guided = GuidedModels().open(flow, locale=flow.locale, time_zone="UTC")
    ours = Faults(transcript_fails=recognizer_fails)
    return RuntimeCall(flow, model=guided, tools=answers, provider=provider, faults=ours)


# --- what came of it -------------------------------------------------------------------------------------------------


def moments(session: SimulatedSession, saying: int) -> list[int]:
    """Return which milliseconds of one saying of the caller this session was given, in the order in which it came."""
    return [moment & 0xFFFF_FFFF for moment in all_moments(session) if moment >> 32 == saying]


def all_moments(session: SimulatedSession) -> Iterator[int]:
    """Yield every millisecond of the caller's speech that a session was given: which saying, and how far into it."""
    whole = bytes(session.heard[: len(session.heard) // 8 * 8])
    return (moment for moment in array("Q", whole) if moment != SILENT_MS)


def words_of(call: RuntimeCall) -> list[str]:
    """Return what the caller has said, as it is written down."""
    return [m.text for m in call.conversation.transcript.messages() if m.role == "caller"]


def told(session: SimulatedSession) -> str:
    """Return what a session was told that the caller said."""
    return " ".join(m.text for m in session.told if m.role == "caller")


def breaks(provider: SimulatedProvider, session: SimulatedSession) -> None:
    """Have the connection break as soon as time goes on."""
    provider.clock.call_at(provider.clock.now_ms(), lambda: session.lose("the connection broke"))
