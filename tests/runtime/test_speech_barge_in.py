"""Callers who speak into what a speech model says, and fillers that cover what it does not say."""

from __future__ import annotations

from tests.runtime.desk_agent import breaks, call_to, desk, rules, storyteller
from voiceagent.testing import ProviderTiming
from voiceagent.testing.scripted_model import ModelRule, ask_for, say


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


def test_a_noise_costs_nothing_of_two_replies_that_wait_to_be_heard_one_after_the_other() -> None:
    looks_up = ModelRule((*say("I look up when we are open."), *ask_for("opening_hours")), caller_says="open")
    call, _ = call_to(desk(), model=rules(looks_up), timing=ProviderTiming(piece_every_ms=1))
    with call:
        call.start().says("When are you open?", then_wait=False).until_heard("I look")
        call.says("", lasting_ms=500)
        assert call.really_heard.endswith("I look up when we are open. From nine to five.")


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
