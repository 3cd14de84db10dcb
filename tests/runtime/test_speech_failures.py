"""Calls in which a speech model fails: refused, stalled, lost, or never there."""

from __future__ import annotations

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, breaks, call_to, desk, rules
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.models.guided import GuidedModels
from voiceagent.testing import ProviderFaults, ProviderTiming, RuntimeCall, SimulatedProvider
from voiceagent.testing.simulated_provider import SimulatedSession


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
