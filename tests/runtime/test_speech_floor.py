"""Who has the floor: a speech model's reply that was asked for does not begin over a caller who speaks meanwhile."""

from __future__ import annotations

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk, rules
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing import ProviderFaults, ProviderTiming, RuntimeCall
from voiceagent.testing.scripted_model import ModelRule, say


def talked_over_ms(call: RuntimeCall) -> int:
    """Return for how long the agent has been heard while the caller spoke; a filler may have begun before them."""
    return sum(
        max(0, min(spoken.ends_ms, end_ms) - max(spoken.starts_ms, begin_ms))
        for spoken in call.voice.said
        for begin_ms, end_ms in call.caller.spells
        if spoken.kind != "filler"
    )


@pytest.mark.parametrize("text_ahead_ms", [0, 300])
@pytest.mark.parametrize("swap", BOTH)
def test_an_answer_to_a_result_does_not_begin_over_a_caller_who_has_gone_on(swap: Swapping, text_ahead_ms: int) -> None:
    timing = ProviderTiming(first_audio_ms=900, silent_ms=850, text_ahead_ms=text_ahead_ms)
    both = ModelRule(tuple(say("On Sundays we are closed.")), caller_says="Sundays")
    call, _ = call_to(desk(), swap, timing=timing, model=rules(both))
    with call:
        call.start().says("When are you open?", then_wait=False).until(fx.AskModel).run_ms(100)
        call.says("I mean on Sundays of all days", lasting_ms=3_000)
        assert talked_over_ms(call) == 0
        assert call.really_heard.endswith("On Sundays we are closed.")


@pytest.mark.parametrize("text_ahead_ms", [0, 300])
@pytest.mark.parametrize("swap", BOTH)
def test_a_cough_before_the_first_sound_of_an_answer_does_not_cost_it(swap: Swapping, text_ahead_ms: int) -> None:
    timing = ProviderTiming(first_audio_ms=900, silent_ms=850, text_ahead_ms=text_ahead_ms)
    call, _ = call_to(desk(), swap, timing=timing)
    with call:
        call.start().says("When are you open?", then_wait=False).until(fx.AskModel).run_ms(700)
        call.coughs().until_quiet()
        assert talked_over_ms(call) == 0
        assert call.really_heard.count("From nine to five.") == 1


def test_an_answer_that_the_model_gives_up_over_a_cough_is_asked_for_again() -> None:
    call, provider = call_to(desk(), timing=ProviderTiming(first_audio_ms=900, silent_ms=850))
    with call:
        call.start().says("When are you open?", then_wait=False).until(fx.AskModel).run_ms(700)
        call.begins_to_say("", lasting_ms=200).run_ms(150)
        provider.clock.call_at(call.now_ms, provider.sessions[0].interrupt)
        call.until_quiet()
        assert call.really_heard.count("From nine to five.") == 1


def test_a_sentence_of_ours_that_a_noise_cuts_off_is_said_to_its_end_before_the_answer() -> None:
    call, _ = call_to(desk(), timing=ProviderTiming(first_audio_ms=2_500), faults=ProviderFaults(replies_fail=[1]))
    with call:
        call.start().says("Hello there.", then_wait=False).until(ev.ReplyFailed).until_heard("Sorry")
        call.says("", lasting_ms=900)
        apology = desk().phrases.apology
        assert call.really_heard.endswith(f"{apology.rpartition(' ')[2]} You are at the reception. What is it about?")


@pytest.mark.parametrize("swap", BOTH)
def test_an_answer_that_has_begun_by_itself_waits_for_a_caller_who_had_only_taken_breath(swap: Swapping) -> None:
    timing = ProviderTiming(turn_ends_after_ms=300, first_audio_ms=900, silent_ms=850)
    call, _ = call_to(desk(), swap, timing=timing)
    with call:
        call.start().says("I would like to know", then_wait=False).until(ev.ReplyStarted).run_ms(100)
        call.says("When are you open?", lasting_ms=2_000)
        assert talked_over_ms(call) == 0
        assert call.really_heard.endswith("From nine to five.")
