"""The caller's words where a speech model hears them: from the session that heard them, and once."""

from __future__ import annotations

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, breaks, call_to, desk, moments, told, words_of
from voiceagent.core import events as ev
from voiceagent.testing import ProviderTiming


def test_what_is_said_before_there_is_a_session_is_heard_by_it_and_written_down_once() -> None:
    call, provider = call_to(desk(), timing=ProviderTiming(connect_ms=2_500))
    with call:
        call.start(then_wait=False).run_ms(100).says("When are you open?", lasting_ms=1_200)
        assert words_of(call) == ["When are you open?"]
        assert moments(provider.sessions[0], saying=0) == list(range(1_200))
        assert "From nine to five." in call.really_heard


def test_words_that_have_waited_long_for_a_session_are_told_to_it_and_not_played_to_it() -> None:
    call, provider = call_to(desk(), timing=ProviderTiming(connect_ms=3_900))
    with call:
        call.start(then_wait=False).run_ms(100).says("When are you open?", lasting_ms=1_200)
        assert words_of(call) == ["When are you open?"]
        assert told(provider.sessions[0]) == "When are you open?"
        assert len(moments(provider.sessions[0], saying=0)) < 100
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


def test_the_words_of_the_caller_stand_before_the_answer_although_they_come_after_it() -> None:
    call, _ = call_to(desk(), timing=ProviderTiming(transcript_ms=2_000))
    with call:
        call.start().says("Hello there.").says("When are you open?")
        said = [(m.role, m.text) for m in call.conversation.transcript.messages() if m.role in ("caller", "agent")]
    assert [role for role, _ in said] == ["agent", "caller", "agent", "caller", "agent"]
    assert said[1] == ("caller", "Hello there.")


def test_a_sentence_over_which_the_answer_to_another_begins_is_heard_whole_by_the_next_session() -> None:
    timing = ProviderTiming(turn_ends_after_ms=200, first_audio_ms=900)
    call, provider = call_to(desk(), "new_session", timing=timing)
    with call:
        call.start().says("Hello there.", then_wait=False).run_ms(600)
        call.begins_to_say("When are you open?", lasting_ms=2_000).until(ev.ReplyStarted).run_ms(300)
        call.host_says("visits")
        assert moments(provider.sessions[-1], saying=1) == list(range(2_000))
        assert words_of(call) == ["Hello there.", "When are you open?"]


def test_words_that_may_be_of_either_of_two_sentences_cost_neither_where_no_more_come() -> None:
    timing = ProviderTiming(turn_ends_after_ms=500, transcript_ms=3_000, first_audio_ms=2_500)
    call, provider = call_to(desk(), "new_session", timing=timing)
    with call:
        call.start().says("I have a bill", lasting_ms=900, then_wait=False).run_ms(650)
        call.says("There is a name", lasting_ms=900, then_wait=False)
        call.run_until(call.caller.spells[0][1] + 3_700)  # the words of the first have come, and are taken for either
        breaks(provider, provider.sessions[0])
        call.until_quiet()
        assert " ".join(words_of(call)) == "I have a bill There is a name"


def test_words_that_were_taken_for_the_right_ones_of_two_sounds_are_not_written_down_twice() -> None:
    timing = ProviderTiming(turn_ends_after_ms=500, first_audio_ms=2_500)
    call, provider = call_to(desk(), "new_session", timing=timing)
    with call:
        call.start().says("", lasting_ms=900, then_wait=False).run_ms(650)
        call.says("There is a name", lasting_ms=900, then_wait=False).run_ms(1_100)
        breaks(provider, provider.sessions[0])
        call.until_quiet()
        assert words_of(call) == ["There is a name"]
