"""How long the sessions of a speech model last: renewed before their end, and never longer than the call."""

from __future__ import annotations

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk, moments
from voiceagent.core import effects as fx
from voiceagent.spec.flow import Limits
from voiceagent.testing import ProviderFaults


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
            assert [m for m in (moments(s, saying) for s in provider.sessions) if m] == [whole]
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


@pytest.mark.parametrize("swap", BOTH)
def test_no_session_is_made_ready_for_a_call_that_says_goodbye(swap: Swapping) -> None:
    goodbye_ms = 0
    limits: tuple[int | None, ...] = (None, 60_000)
    for beyond_ms in limits:
        limit_ms = None if beyond_ms is None else goodbye_ms + beyond_ms
        call, provider = call_to(desk(), swap, session_limit_ms=limit_ms)
        with call:
            call.start().says("I have a visit").says("bye")
            opened_ms = provider.sessions[-1].opened_ms
            goodbye_ms = call.record.at(fx.HangUp)[-1] - 100 - opened_ms
            assert call.ended
        assert provider.attempts == (1 if swap == "in_place" else 2)
