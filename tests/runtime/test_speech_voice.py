"""Calls in which a speech model hears and speaks.

The provider is simulated to the sample: its sessions are swapped, renewed and lost in the middle of sentences.
"""

from __future__ import annotations

from array import array
from pathlib import Path
from typing import Literal

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.spec.expects import Digits
from voiceagent.spec.facts import Facts
from voiceagent.spec.filler import Filler
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.guided import GuidedDialogue, Intent
from voiceagent.spec.phase import (
    HangUpAfter,
    HostSignals,
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
from voiceagent.testing import After, ProviderFaults, ProviderTiming, RuntimeCall, SimulatedProvider
from voiceagent.testing.scripted_model import ModelRule, RuledModel, ask_for, say
from voiceagent.testing.simulated_provider import SimulatedSession

Swapping = Literal["in_place", "new_session"]
BOTH: tuple[Swapping, ...] = ("in_place", "new_session")


class DeskFacts(Facts):
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
TO_CODE = Requested(name="to_code", description="The caller wants to say the code.")
BYE = Requested(name="bye", description="The caller is done.")


def desk(*, standby: bool = False, code_within_ms: int | None = None) -> Flow:
    """Return a desk with two counters: everything about visits is at the second one."""
    return Flow(
        name="desk",
        initial="reception",
        facts=DeskFacts,
        filler=Filler(phrases=("One moment.", "Still looking."), patience_ms=800),
        limits=Limits(max_call_ms=3_600_000, max_turns=400),
        prompts={
            "desk/reception.md": Prompt("You are at the reception."),
            "desk/visits.md": Prompt("You are at the counter for visits.\n---\nThe caller is known: {{ identified }}."),
            "desk/code.md": Prompt("You ask for the code."),
        },
        phases=(
            Phase(
                name="reception",
                prompt="desk/reception.md",
                on_enter=Say(text="Reception, hello."),
                tools=(opening_hours,),
                no_input=Reprompts(after_ms=60_000, phrases=("Are you there?",) * 40),
                transitions=(
                    Transition(on=TO_VISITS, to="visits", standby=standby),
                    Transition(on=TO_CODE, to="code"),
                ),
                guided=GuidedDialogue(
                    intents=(Intent(does="to_visits", examples=("my visit", "visits please")),),
                    not_understood="This is the reception, without its model.",
                ),
            ),
            Phase(
                name="visits",
                prompt="desk/visits.md",
                tools=(opening_hours, cancel_visit),
                transitions=(Transition(on=BYE, to="goodbye"),),
                guided=GuidedDialogue(
                    intents=(Intent(does=opening_hours, examples=("when are you open",)),),
                    not_understood="This is the counter for visits, without its model.",
                ),
            ),
            Phase(
                name="code",
                prompt="desk/code.md",
                sensitive=True,
                expects=(Digits(name="code", length=4, sealed=True),),
                tools=(check_code,),
                timeout_ms=code_within_ms,
                transitions=(Transition(on=check_code, to="visits"), Transition(on=TimedOut(), to="visits")),
            ),
            Phase(name="goodbye", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        transitions=(
            Transition(on=VoiceFails(), to="goodbye"),
            Transition(on=HostSignals(name="visits"), to="visits"),
            Transition(on=HostSignals(name="code"), to="code"),
        ),
    )


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


def call_to(
    flow: Flow,
    swap: Swapping = "in_place",
    *,
    model: RuledModel | None = None,
    tools_take_ms: int = 100,
    **provider: object,
) -> tuple[RuntimeCall, SimulatedProvider]:
    """Place a call to the desk; the guided model stands behind the provider's."""
    answers = {
        "opening_hours": After(tools_take_ms, {"from": "9", "to": "5"}),
        "cancel_visit": After(tools_take_ms, {"done": True}),
        "check_code": After(tools_take_ms, {"identified": True}),
    }
    theirs = SimulatedProvider(flow, model or rules(), swap=swap, **provider)
    guided = GuidedModels().open(flow, locale=flow.locale, time_zone="UTC")
    return RuntimeCall(flow, model=guided, tools=answers, provider=theirs), theirs


def moments(provider: SimulatedProvider, session: SimulatedSession, saying: int) -> list[int]:
    """Return which milliseconds of one saying of the caller this session was given, in the order in which it came."""
    silent = int.from_bytes(b"\xff" * 8, "little")
    whole = bytes(session.heard[: len(session.heard) // 8 * 8])
    return [moment & 0xFFFF_FFFF for moment in array("Q", whole) if moment != silent and moment >> 32 == saying]


# --- swaps -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("swap", BOTH)
def test_the_caller_is_answered_at_the_next_counter_as_if_it_were_one(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I have a visit").says("When are you open?")
        assert call.record.phases == ["reception", "visits"]
        assert "You are at the right counter." in call.really_heard
        assert "From nine to five." in call.really_heard
    assert len(provider.sessions) == (1 if swap == "in_place" else 2)


def test_a_change_in_place_has_its_order_confirmation_then_results_then_the_next_reply() -> None:
    call, provider = call_to(desk())
    with call:
        call.start().says("I have a visit")
    assert [done for done in provider.sessions[0].log if done in ("update", "tell", "ask")] == ["update", "tell", "ask"]
    told = [message for message in provider.sessions[0].told if message.role == "tool_result"]
    assert [message.tool for message in told] == ["to_visits"]


def test_a_session_that_is_replaced_is_never_answered() -> None:
    call, provider = call_to(desk(), "new_session")
    with call:
        call.start().says("I have a visit")
        old, new = provider.sessions
        assert "ask" not in old.log
        assert old.log[-1] == "close"
        assert [message.role for message in new.told] == ["agent", "caller", "tool_request", "tool_result"]


@pytest.mark.parametrize("swap", BOTH)
@pytest.mark.parametrize("begins_after_ms", [0, 100, 700])
def test_three_seconds_of_speech_during_a_swap_are_heard_once_and_whole(swap: Swapping, begins_after_ms: int) -> None:
    timing = ProviderTiming(connect_ms=900, update_ms=900)
    call, provider = call_to(desk(), swap, timing=timing)
    with call:
        call.start().says("I have a visit", then_wait=False).until(fx.SwapPhase).run_ms(begins_after_ms)
        call.says("When are you open on Sundays?", lasting_ms=3_000)
        assert call.phase == "visits"
        assert moments(provider, provider.sessions[-1], saying=1) == list(range(3_000))
        assert "From nine to five." in call.really_heard


@pytest.mark.parametrize("swap", BOTH)
def test_a_sentence_that_is_being_said_when_the_swap_begins_is_heard_whole_by_who_answers_it(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, timing=ProviderTiming(connect_ms=900, update_ms=900))
    with call:
        call.start()
        call.says("I have a visit", then_wait=False).until(ev.ToolRequested).run_ms(0)
        call.says("When are you open on Sundays?", lasting_ms=3_000)
        assert call.phase == "visits"
        heard = moments(provider, provider.sessions[-1], saying=1)
        assert heard == list(range(3_000))


@pytest.mark.parametrize("before_ms", [20, 40])
def test_a_sentence_that_nobody_has_noticed_yet_when_the_swap_begins_is_heard_from_its_first_sound(
    before_ms: int,
) -> None:
    swaps_ms: list[int] = []
    for rehearsal in (True, False):
        call, provider = call_to(desk(), "new_session", timing=ProviderTiming(connect_ms=900))
        with call:
            call.start().says("I have a visit", then_wait=False)
            if rehearsal:
                call.until(fx.SwapPhase)
            else:
                call.run_until(swaps_ms[0] - before_ms)
                call.says("When are you open on Sundays?", lasting_ms=3_000)
                assert moments(provider, provider.sessions[-1], saying=1) == list(range(3_000))
                assert call.phase == "visits"
            swaps_ms.append(call.record.at(fx.SwapPhase)[-1])
    assert swaps_ms[0] == swaps_ms[1]


# --- standby ---------------------------------------------------------------------------------------------------------


def test_a_session_that_stands_by_takes_over_from_one_moment_to_the_next() -> None:
    cold, _ = call_to(desk(), "new_session")
    ready, provider = call_to(desk(standby=True), "new_session")
    took_ms: list[int] = []
    for call in (cold, ready):
        with call:
            call.start().says("I have a visit")
            assert call.phase == "visits"
            took_ms.append(call.record.at(ev.PhaseSwapped)[1] - call.record.at(fx.SwapPhase)[1])
    assert took_ms[0] >= ProviderTiming().connect_ms
    assert took_ms[1] <= ProviderTiming().transcript_ms  # the caller's last words are waited for, and nothing else
    assert len(provider.sessions) == 2


def test_words_that_come_in_the_same_moment_as_the_request_to_change_reach_the_next_session_at_once() -> None:
    timing = ProviderTiming(transcript_ms=300, first_audio_ms=300)
    call, provider = call_to(desk(standby=True), "new_session", timing=timing)
    with call:
        call.start().says("I have a visit")
        took_ms = call.record.at(ev.PhaseSwapped)[1] - call.record.at(fx.SwapPhase)[1]
    assert took_ms < 100
    assert "I have a visit" in [message.text for message in provider.sessions[-1].told if message.role == "caller"]


def test_what_a_standby_has_cost_is_on_record_whether_it_was_needed_or_not() -> None:
    used, _ = call_to(desk(standby=True), "new_session")
    with used:
        used.start().says("I have a visit")
        assert [(closed.phase, closed.used) for closed in closings(used)] == [("visits", True)]
    unused, _ = call_to(desk(standby=True), "new_session")
    with unused:
        unused.start().says("When are you open?").says("I know the code")
        assert [(closed.phase, closed.used) for closed in closings(unused)] == [("visits", False)]
        assert closings(unused)[0].open_ms > 0


def closings(call: RuntimeCall) -> list[ev.StandbyClosed]:
    """Return the standbys that wait no longer."""
    return [event for _, event, _ in call.journal if isinstance(event, ev.StandbyClosed)]


def test_a_standby_that_is_never_ready_costs_no_more_than_having_none() -> None:
    call, provider = call_to(desk(standby=True), "new_session", faults=ProviderFaults(connect_stalls=[2]))
    with call:
        call.start().says("I have a visit")
        assert call.phase == "visits"
        assert "You are at the right counter." in call.really_heard
    assert provider.attempts == 3


def test_a_call_is_told_from_its_journal_with_what_the_model_said_itself(tmp_path: Path) -> None:
    flow = desk(standby=True)
    provider = SimulatedProvider(flow, storyteller(), swap="new_session")
    guided = GuidedModels().open(flow, locale=flow.locale, time_zone="UTC")
    tools = {"opening_hours": After(100, {"from": "9"})}
    with RuntimeCall(flow, model=guided, tools=tools, provider=provider, journals=tmp_path) as call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The first is")
        call.says("", lasting_ms=900).says("I have a visit").says("When are you open?")
    seen = inspect_journal(read_journal(next(tmp_path.glob("*.jsonl"))))
    told = [words for who, words in seen.transcript if who == "agent"]
    assert told[0] == "Reception, hello."
    assert told[1].startswith("There are many counters. The first is")
    assert told[2].endswith("The third is for lost things.")
    assert told[3:] == ["You are at the right counter.", "From nine to five."]
    assert [(standby.phase, standby.used) for standby in seen.standbys] == [("visits", True)]
    assert [(tokens.phase, tokens.replies) for tokens in seen.tokens] == [("reception", 2), ("visits", 3)]


# --- renewal ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("talks", [True, False], ids=["a caller who talks", "a caller who says nothing for minutes"])
def test_half_an_hour_goes_past_the_limit_of_sessions_and_nothing_is_lost(talks: bool) -> None:
    flow = desk().model_copy(update={"limits": Limits(max_call_ms=3_600_000, max_turns=400)})
    call, provider = call_to(flow, "new_session", session_limit_ms=480_000)
    said = 0
    with call:
        call.start()
        while call.now_ms < 1_800_000:
            if talks or call.now_ms > 1_700_000:
                call.says("When are you open?", then_wait=False)
                said += 1
            call.run_ms(20_000)
        assert set(call.record.phases) == {"reception"}
        lived_ms = [(session.closed_ms or call.now_ms) - session.opened_ms for session in provider.sessions]
        assert len(provider.sessions) >= 4
        assert max(lived_ms) <= 480_000
        whole = list(range(len("When are you open?") * 65))
        for saying in range(said):
            assert [m for m in (moments(provider, s, saying) for s in provider.sessions) if m] == [whole]
        assert call.really_heard.count("From nine to five.") == said


def test_a_session_that_is_about_to_end_in_the_middle_of_a_tool_call_is_replaced_and_the_result_is_not_lost() -> None:
    call, provider = call_to(
        desk(), "new_session", tools_take_ms=15_000, faults=ProviderFaults(ends_at_tool=[1], announced_ms=12_000)
    )
    with call:
        call.start().says("When are you open?")
        assert "From nine to five." in call.really_heard
        assert len(provider.sessions) == 2
        assert [m.tool for m in provider.sessions[1].told if m.role == "tool_result"] == ["opening_hours"]


# --- the caller's words ----------------------------------------------------------------------------------------------


def words_of(call: RuntimeCall) -> list[str]:
    """Return what the caller has said, as it is written down."""
    return [m.text for m in call.conversation.transcript.messages() if m.role == "caller"]


def told(session: SimulatedSession) -> str:
    """Return what a session was told that the caller said."""
    return " ".join(m.text for m in session.told if m.role == "caller")


def breaks(provider: SimulatedProvider, session: SimulatedSession) -> None:
    """Have the connection break as soon as time goes on."""
    provider.clock.call_at(provider.clock.now_ms(), lambda: session.lose("the connection broke"))


def test_what_is_said_before_there_is_a_session_is_heard_by_it_and_written_down_once() -> None:
    call, provider = call_to(desk(), timing=ProviderTiming(connect_ms=2_500))
    with call:
        call.start(then_wait=False).run_ms(100).says("When are you open?", lasting_ms=1_200)
        assert words_of(call) == ["When are you open?"]
        assert moments(provider, provider.sessions[0], saying=0) == list(range(1_200))
        assert "From nine to five." in call.really_heard


def test_words_that_have_waited_long_for_a_session_are_told_to_it_and_not_played_to_it() -> None:
    call, provider = call_to(desk(), timing=ProviderTiming(connect_ms=3_900))
    with call:
        call.start(then_wait=False).run_ms(100).says("When are you open?", lasting_ms=1_200)
        assert words_of(call) == ["When are you open?"]
        assert told(provider.sessions[0]) == "When are you open?"
        assert len(moments(provider, provider.sessions[0], saying=0)) < 100
        assert "From nine to five." in call.really_heard


def test_what_the_caller_has_just_said_is_known_to_the_session_that_is_to_answer_it() -> None:
    call, provider = call_to(desk(), "new_session", timing=ProviderTiming(turn_ends_after_ms=800))
    with call:
        call.start().says("When are you open?", then_wait=False).run_ms(300).host_says("visits")
        assert words_of(call) == ["When are you open?"]
        assert told(provider.sessions[-1]) == "When are you open?"
        assert "From nine to five." in call.really_heard


@pytest.mark.parametrize("swap", BOTH)
def test_what_a_session_has_heard_before_it_was_lost_is_answered_by_the_next(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, timing=ProviderTiming(turn_ends_after_ms=800))
    with call:
        call.start().says("When are you open?", then_wait=False).run_ms(300)
        breaks(provider, provider.sessions[0])
        call.until_quiet()
        assert words_of(call) == ["When are you open?"]
        assert "From nine to five." in call.really_heard


def test_words_that_come_after_those_of_the_next_sentence_have_begun_are_not_taken_for_them() -> None:
    call, _ = call_to(desk(), timing=ProviderTiming(transcript_ms=1_800))
    with call:
        call.start().says("Hello there.", then_wait=False).run_ms(1_900)
        call.says("When are you open?", lasting_ms=2_000)
        finals = [event for _, event, _ in call.journal if isinstance(event, ev.TranscriptFinal) and event.text]
        assert [(f.utterance, f.text) for f in finals] == [("c1", "Hello there."), ("c2", "When are you open?")]


# --- the end ---------------------------------------------------------------------------------------------------------


def test_no_session_outlives_the_call() -> None:
    call, provider = call_to(desk(standby=True), "new_session")
    with call:
        call.start().says("When are you open?").hangs_up()
    assert len(provider.sessions) == 2
    assert [session for session in provider.sessions if session.closed_ms is None] == []


def test_the_age_of_a_session_that_stood_by_counts_from_when_it_was_connected() -> None:
    call, provider = call_to(desk(standby=True), "new_session", session_limit_ms=200_000)
    with call:
        call.start().run_ms(100_000).says("I have a visit")
        while call.now_ms < 250_000:
            call.says("When are you open?").run_ms(4_000)
        taken_over = provider.sessions[1]
        assert taken_over.closed_ms is not None
        assert taken_over.closed_ms - taken_over.opened_ms < 200_000


def test_a_session_that_stands_by_and_is_about_to_end_is_not_taken() -> None:
    call, provider = call_to(desk(standby=True), "new_session")
    with call:
        call.start().run_ms(5_000)
        provider.clock.call_at(call.now_ms, lambda: provider.sessions[1].announce_end(3_000))
        call.run_ms(1_000).says("I have a visit").run_ms(5_000).says("When are you open?")
        assert provider.sessions[1].heard == b""
        assert "From nine to five." in call.really_heard


def test_somebody_who_talks_to_us_only_does_not_keep_a_session_from_being_idle() -> None:
    call, provider = call_to(desk(), "in_place", idle_limit_ms=100_000)
    with call:
        call.start().says("I know the code")
        while call.now_ms < 150_000:
            call.coughs().run_ms(4_000)
        idle = provider.sessions[0]
        assert idle.closed_ms is not None
        assert idle.closed_ms - idle.opened_ms < 120_000


# --- what goes wrong -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "faults",
    [
        ProviderFaults(forbidden=True),
        ProviderFaults(connect_fails=[1, 2]),
        ProviderFaults(connect_stalls=[1, 2]),
    ],
    ids=["key refused", "overloaded", "no answer"],
)
def test_without_the_model_the_cascade_speaks_in_the_same_phase(faults: ProviderFaults) -> None:
    call, provider = call_to(desk(), faults=faults)
    with call:
        call.start().says("Hello?").says("visits please").says("When are you open?")
        assert "Reception, hello." in call.really_heard
        assert "This is the reception, without its model." in call.really_heard
        assert call.record.phases == ["reception", "visits"]
    assert provider.sessions == []
    assert provider.attempts == (2 if faults.connect_fails else 1)


@pytest.mark.parametrize("swap", BOTH)
def test_a_connection_that_breaks_in_the_middle_of_a_reply_is_replaced_and_the_caller_answered(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, faults=ProviderFaults(lost_in_reply=[1]))
    with call:
        call.start().says("Hello there.")
        assert len(provider.sessions) == 2
        assert call.really_heard.endswith("What is it about?")
        call.says("I have a visit")
        assert call.phase == "visits"


def test_a_model_that_is_lost_for_good_leaves_the_call_where_it_was() -> None:
    call, provider = call_to(desk(), faults=ProviderFaults(lost_in_reply=[2], connect_fails=[2, 3]))
    with call:
        call.start().says("I have a visit").says("Hello?").says("When are you open?")
        assert call.record.phases == ["reception", "visits"]
        assert "This is the counter for visits, without its model." in call.really_heard
        assert call.ran("opening_hours") == 1
    assert len(provider.sessions) == 1


@pytest.mark.parametrize(
    "faults",
    [ProviderFaults(update_stalls=[1]), ProviderFaults(closes_in_update=[1])],
    ids=["not confirmed", "closed in mid-swap"],
)
def test_a_change_that_is_not_taken_over_is_made_with_another_session(faults: ProviderFaults) -> None:
    call, provider = call_to(desk(), faults=faults)
    with call:
        call.start().says("I have a visit")
        assert call.phase == "visits"
        assert "You are at the right counter." in call.really_heard
    assert len(provider.sessions) == 2


def swap_took_ms(call: RuntimeCall) -> int:
    """Return how long the last swap took."""
    swaps = [at for at, _, outgoing in call.journal for out in outgoing if isinstance(out.effect, fx.SwapPhase)]
    return [at for at, event, _ in call.journal if isinstance(event, ev.PhaseSwapped)][-1] - swaps[-1]


def test_a_session_that_closes_at_a_change_is_not_waited_for() -> None:
    call, _ = call_to(desk(), faults=ProviderFaults(closes_in_update=[1]))
    with call:
        call.start().says("I have a visit")
        timing = ProviderTiming()
        assert swap_took_ms(call) <= timing.update_ms + timing.connect_ms + timing.transcript_ms


def test_a_session_that_is_lost_before_it_has_taken_over_does_not_take_over() -> None:
    call, provider = call_to(desk(), "new_session", timing=ProviderTiming(transcript_ms=1_000))
    with call:
        call.start().says("I have a visit", then_wait=False).until(fx.SwapPhase).run_ms(400)
        breaks(provider, provider.sessions[1])
        call.until_quiet()
        assert "You are at the right counter." in call.really_heard
    assert len(provider.sessions) == 3


@pytest.mark.parametrize(
    "faults",
    [ProviderFaults(update_stalls=[1], connect_stalls=[2]), ProviderFaults(closes_in_update=[1], connect_stalls=[2])],
    ids=["nothing is answered", "closed in mid-swap"],
)
def test_a_swap_that_takes_too_long_is_made_by_who_stands_behind_and_not_taken_back(faults: ProviderFaults) -> None:
    call, _ = call_to(desk(), faults=faults)
    with call:
        call.start().says("I have a visit").says("Hello?")
        assert call.record.phases == ["reception", "visits"]
        assert swap_took_ms(call) < desk().limits.swap_timeout_ms
        assert "This is the counter for visits, without its model." in call.really_heard


def test_a_provider_that_is_slow_to_say_no_does_not_cost_the_call() -> None:
    call, _ = call_to(desk(), timing=ProviderTiming(connect_ms=3_500), faults=ProviderFaults(connect_fails=[1]))
    with call:
        call.start().says("Hello?")
        assert not call.ended
        assert "This is the reception, without its model." in call.really_heard


def test_an_engine_that_raises_what_nobody_expects_does_not_cost_the_call() -> None:
    class Broken(SimulatedProvider):
        async def connect(self, *_: object) -> SimulatedSession:
            raise OSError("no route to host")

    flow = desk()
    guided = GuidedModels().open(flow, locale=flow.locale, time_zone="UTC")
    with RuntimeCall(flow, model=guided, provider=Broken(flow, rules())) as call:
        call.start().says("Hello?")
        assert "This is the reception, without its model." in call.really_heard


def test_a_key_that_is_withdrawn_in_mid_swap_leaves_no_session_behind() -> None:
    call, provider = call_to(desk(), "new_session")
    with call:
        call.start().says("I have a visit", then_wait=False).until(fx.SwapPhase).run_ms(100)
        provider.clock.call_at(call.now_ms, lambda: provider.sessions[0].lose("no such key", permanent=True))
        call.until_quiet().says("Hello?")
        assert [session for session in provider.sessions if session.closed_ms is None] == []
        assert "This is the counter for visits, without its model." in call.really_heard


def test_news_that_comes_twice_counts_once() -> None:
    call, _ = call_to(desk(), faults=ProviderFaults(twice=True))
    with call:
        call.start().says("I have a visit").says("When are you open?")
        assert call.really_heard.count("From nine to five.") == 1
        callers = [m.text for m in call.conversation.transcript.messages() if m.role == "caller"]
        assert callers == ["I have a visit", "When are you open?"]


def test_a_reply_that_fails_is_apologised_for_and_made_again() -> None:
    call, _ = call_to(desk(), faults=ProviderFaults(replies_fail=[1]))
    with call:
        call.start().says("Hello there.")
        assert "went wrong" in call.really_heard
        assert call.really_heard.endswith("What is it about?")


def test_a_turn_that_the_model_takes_for_noise_is_answered_all_the_same() -> None:
    call, provider = call_to(desk(), faults=ProviderFaults(never_replies_to=[1]))
    with call:
        call.start().says("Hello there.").says("Hello?")
        assert call.really_heard.endswith("What is it about?")
    assert provider.turns == 2


@pytest.mark.parametrize("swap", BOTH)
def test_keys_that_are_pressed_during_a_swap_are_known_to_the_next_phase(swap: Swapping) -> None:
    model = rules(ModelRule(tuple(say("And that is your number?")), phase="visits", caller_says="1234"))
    call, _ = call_to(desk(), swap, model=model, timing=ProviderTiming(connect_ms=3_000, update_ms=1_900))
    with call:
        call.start().host_says("visits", then_wait=False).presses("1234")
        assert "1234" in words_of(call)
        assert call.really_heard.endswith("And that is your number?")


# --- secrets and what cannot be undone -------------------------------------------------------------------------------


@pytest.mark.parametrize("swap", BOTH)
def test_no_session_ever_hears_a_secret(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I know the code").says("My code is one two three four").says("When are you open?")
        assert call.record.phases == ["reception", "code", "visits"]
        assert call.tool_runs[0] == ("check_code", {"code": "⟨code#1: 4 digits⟩"})
    for session in provider.sessions:
        assert moments(provider, session, saying=1) == []
        assert "1234" not in "".join(message.text for message in session.told)
    assert moments(provider, provider.sessions[-1], saying=2)


@pytest.mark.parametrize("swap", BOTH)
def test_a_secret_that_is_being_said_when_its_phase_ends_is_no_secret_of_the_next_session(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, timing=ProviderTiming(connect_ms=2_500, update_ms=2_500))
    with call:
        call.start().says("I know the code").begins_to_say("one two three four", lasting_ms=1_000)
        call.run_ms(700).host_says("visits")
        assert call.phase == "visits"
    for session in provider.sessions:
        assert moments(provider, session, saying=1) == []


@pytest.mark.parametrize("swap", BOTH)
def test_a_sentence_that_goes_on_into_a_phase_of_secrets_is_understood_whole_by_ourselves(swap: Swapping) -> None:
    begins = ModelRule(tuple(say("And the code?")), phase="code", caller_says="Now I")
    call, provider = call_to(desk(), swap, model=rules(begins))
    with call:
        call.start().begins_to_say("Now I would like to tell you something", lasting_ms=2_000)
        call.run_ms(600).host_says("code")
        assert call.phase == "code"
        words = [m.text for m in call.conversation.transcript.messages() if m.role == "caller"]
        assert words == ["Now I would like to tell you something"]
    assert max(len(moments(provider, session, saying=0)) for session in provider.sessions) <= 600


@pytest.mark.parametrize("swap", BOTH)
def test_a_secret_in_the_middle_of_which_its_phase_is_left_is_heard_by_no_session_afterwards(swap: Swapping) -> None:
    timing = ProviderTiming(connect_ms=900, update_ms=900)
    call, provider = call_to(desk(code_within_ms=5_000), swap, timing=timing)
    with call:
        call.start().says("I know the code")
        call.run_until(call.record.at(ev.PhaseSwapped)[-1] + 4_000)
        call.says("My code is one two three four", lasting_ms=1_500)
        assert call.record.phases == ["reception", "code", "visits"]
        call.says("When are you open?")
        assert "From nine to five." in call.really_heard
    assert not any(moments(provider, session, saying=1) for session in provider.sessions)


@pytest.mark.parametrize("swap", BOTH)
def test_what_is_said_right_after_a_secret_is_answered(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I know the code")
        call.says("My code is one two three four", then_wait=False).until(fx.StartTool).until(fx.SwapPhase).run_ms(50)
        call.says("When are you open?")
        assert call.phase == "visits"
        assert "From nine to five." in call.really_heard
    assert not any(moments(provider, session, saying=1) for session in provider.sessions)


@pytest.mark.parametrize("swap", BOTH)
def test_what_cannot_be_undone_waits_for_the_yes_and_not_for_the_model(swap: Swapping) -> None:
    call, _ = call_to(desk(), swap)
    with call:
        call.start().says("I have a visit").says("Please cancel it")
        assert call.really_heard.endswith("Your visit on Friday will be cancelled. Is that right?")
        assert call.ran("cancel_visit") == 0
        call.says("Yes.")
        assert call.ran("cancel_visit") == 1
        assert call.really_heard.endswith("It is cancelled.")


def test_an_answer_that_nobody_could_transcribe_is_no_yes() -> None:
    call, _ = call_to(desk(), timing=ProviderTiming(transcript_ms=60_000))
    with call:
        call.start().says("I have a visit").says("Please cancel it").says("Yes.")
        assert call.ran("cancel_visit") == 0


# --- barge-in --------------------------------------------------------------------------------------------------------

_STORY = "There are many counters. The first is for visits. The second is for bills. The third is for lost things."


def storyteller() -> RuledModel:
    """Return a model with a long story."""
    return rules(ModelRule(tuple(say(_STORY)), caller_says="counters"))


def test_a_model_that_is_interrupted_is_told_how_much_of_its_reply_was_heard() -> None:
    call, provider = call_to(desk(), model=storyteller())
    with call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The first is")
        call.says("I have a visit")
        heard_ms = len("There are many counters. The first is") * 65
        (_, told_ms), *others = provider.sessions[0].truncated
        assert not others
        assert heard_ms <= told_ms <= heard_ms + 1_000
        assert "lost things" not in call.really_heard
        assert call.phase == "visits"


def test_a_noise_cuts_a_reply_off_only_for_as_long_as_it_lasts() -> None:
    call, provider = call_to(desk(), model=storyteller())
    with call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The first is")
        call.says("", lasting_ms=900)
        assert call.really_heard.endswith("The third is for lost things.")
        assert provider.sessions[0].truncated == []


def test_a_reply_that_a_noise_cuts_off_and_that_is_lost_meanwhile_does_not_leave_the_call_waiting() -> None:
    call, provider = call_to(desk(), model=storyteller(), timing=ProviderTiming(piece_every_ms=190))
    with call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The first is")
        call.begins_to_say("", lasting_ms=900).run_ms(700)
        breaks(provider, provider.sessions[0])
        call.until_quiet()
        assert not call.conversation.is_working
        assert call.really_heard.endswith("What is it about?")


def test_an_answer_to_an_uh_huh_is_not_heard() -> None:
    call, _ = call_to(desk(), model=storyteller())
    with call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The first is")
        call.says("uh-huh")
        assert call.really_heard.endswith("The third is for lost things.")


def test_a_filler_of_ours_is_known_to_the_model() -> None:
    call, provider = call_to(desk(), tools_take_ms=3_000)
    with call:
        call.start().says("When are you open?")
        assert call.record.fillers == ["One moment."]
        assert [m.text for m in provider.sessions[0].told if m.role == "agent"][-1] == "One moment."


def test_a_filler_covers_the_silence_of_a_reply_that_has_begun_and_is_not_said_after_it() -> None:
    call, _ = call_to(desk(), timing=ProviderTiming(first_audio_ms=2_500, silent_ms=2_400))
    with call:
        call.start().says("Hello there.")
        assert call.really_heard == "Reception, hello. One moment. You are at the reception. What is it about?"


def test_the_words_of_the_caller_stand_before_the_answer_although_they_come_after_it() -> None:
    call, _ = call_to(desk(), timing=ProviderTiming(transcript_ms=2_000))
    with call:
        call.start().says("Hello there.").says("When are you open?")
        said = [(m.role, m.text) for m in call.conversation.transcript.messages() if m.role in ("caller", "agent")]
    assert [role for role, _ in said] == ["agent", "caller", "agent", "caller", "agent"]
    assert said[1] == ("caller", "Hello there.")
