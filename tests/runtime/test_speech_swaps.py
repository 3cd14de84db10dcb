"""Calls in which prompt and tools of a speech model are swapped: in place, by another session, by one that stood by."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk, moments, rules, storyteller, words_of
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.models.guided import GuidedModels
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.testing import After, ProviderFaults, ProviderTiming, RuntimeCall, SimulatedProvider
from voiceagent.testing.scripted_model import ModelRule, say


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
        assert [message.role for message in new.told] == ["note", "agent", "caller", "tool_request", "tool_result"]


@pytest.mark.parametrize("swap", BOTH)
@pytest.mark.parametrize("begins_after_ms", [0, 100, 700])
def test_three_seconds_of_speech_during_a_swap_are_heard_once_and_whole(swap: Swapping, begins_after_ms: int) -> None:
    timing = ProviderTiming(connect_ms=900, update_ms=900)
    call, provider = call_to(desk(), swap, timing=timing)
    with call:
        call.start().says("I have a visit", then_wait=False).until(fx.SwapPhase).run_ms(begins_after_ms)
        call.says("When are you open on Sundays?", lasting_ms=3_000)
        assert call.phase == "visits"
        assert moments(provider.sessions[-1], saying=1) == list(range(3_000))
        assert "From nine to five." in call.really_heard


@pytest.mark.parametrize("swap", BOTH)
def test_a_sentence_that_is_being_said_when_the_swap_begins_is_heard_whole_by_who_answers_it(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, timing=ProviderTiming(connect_ms=900, update_ms=900))
    with call:
        call.start()
        call.says("I have a visit", then_wait=False).until(ev.ToolRequested).run_ms(0)
        call.says("When are you open on Sundays?", lasting_ms=3_000)
        assert call.phase == "visits"
        heard = moments(provider.sessions[-1], saying=1)
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
                assert moments(provider.sessions[-1], saying=1) == list(range(3_000))
                assert call.phase == "visits"
            swaps_ms.append(call.record.at(fx.SwapPhase)[-1])
    assert swaps_ms[0] == swaps_ms[1]


@pytest.mark.parametrize("swap", BOTH)
def test_keys_that_are_pressed_during_a_swap_are_known_to_the_next_phase(swap: Swapping) -> None:
    model = rules(ModelRule(tuple(say("And that is your number?")), phase="visits", caller_says="1234"))
    call, _ = call_to(desk(), swap, model=model, timing=ProviderTiming(connect_ms=3_000, update_ms=1_900))
    with call:
        call.start().host_says("visits", then_wait=False).presses("1234")
        assert "1234" in words_of(call)
        assert call.really_heard.endswith("And that is your number?")


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
