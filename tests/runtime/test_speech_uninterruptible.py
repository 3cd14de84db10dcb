"""Phases in which a speech model finishes its sentences: whoever speaks over it is heard, and answered afterwards."""

from __future__ import annotations

import pytest

from tests.runtime.desk_agent import BOTH, STORY, Swapping, call_to, desk, storyteller, words_of
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing import ProviderTiming


@pytest.mark.parametrize("piece_every_ms", [40, 190], ids=["made at once", "made as it is heard"])
@pytest.mark.parametrize("swap", BOTH)
def test_what_is_said_over_a_sentence_is_answered_after_it(swap: Swapping, piece_every_ms: int) -> None:
    timing = ProviderTiming(piece_every_ms=piece_every_ms)
    call, provider = call_to(desk(interruptible=False), swap, model=storyteller(), timing=timing)
    with call:
        call.start().says("I have a visit").says("What counters are there?", then_wait=False)
        call.until_heard("The first is").says("When are you open?")
        assert STORY in call.really_heard
        assert call.really_heard.endswith("From nine to five.")
        assert call.really_heard.count("From nine to five.") == 1
        assert words_of(call)[-1] == "When are you open?"
        assert call.record.effects(fx.StopPlayout) == []
    assert [cut for session in provider.sessions for cut in session.truncated] == []


@pytest.mark.parametrize("swap", BOTH)
def test_a_reply_that_the_model_begins_by_itself_meanwhile_comes_after_the_sentence(swap: Swapping) -> None:
    timing = ProviderTiming(turn_ends_after_ms=200, first_audio_ms=100, piece_every_ms=1)
    call, _ = call_to(desk(interruptible=False), swap, model=storyteller(), timing=timing)
    with call:
        call.start().says("I have a visit").says("What counters are there?", then_wait=False)
        call.until_heard("There are many").says("Hello?", then_wait=False).until(ev.ReplyStarted)
        call.until_quiet()
        assert call.really_heard.endswith(f"{STORY} This is the counter for visits. What is it about?")
        assert words_of(call)[-1] == "Hello?"


@pytest.mark.parametrize("noise", ["", "uh-huh"])
@pytest.mark.parametrize("swap", BOTH)
def test_a_noise_over_a_sentence_is_not_answered(swap: Swapping, noise: str) -> None:
    call, _ = call_to(desk(interruptible=False), swap, model=storyteller())
    with call:
        call.start().says("I have a visit").says("What counters are there?", then_wait=False)
        call.until_heard("The first is").says(noise, lasting_ms=400)
        assert call.really_heard.endswith(STORY)


@pytest.mark.parametrize("swap", BOTH)
def test_a_model_that_gives_its_sentence_up_over_the_caller_answers_them(swap: Swapping) -> None:
    timing = ProviderTiming(piece_every_ms=190)
    call, provider = call_to(desk(interruptible=False), swap, model=storyteller(), timing=timing)
    with call:
        call.start().says("I have a visit").says("What counters are there?", then_wait=False)
        call.until_heard("The first is").begins_to_say("When are you open?").run_ms(300)
        provider.clock.call_at(call.now_ms, provider.sessions[-1].interrupt)
        call.until_quiet()
        assert call.really_heard.endswith("From nine to five.")
        assert call.really_heard.count("From nine to five.") == 1
        assert words_of(call)[-1] == "When are you open?"
