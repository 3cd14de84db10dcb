"""Secrets on a speech model, and what cannot be undone."""

from __future__ import annotations

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk, moments, rules, words_of
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.runtime.ears import Ears
from voiceagent.testing import ProviderTiming
from voiceagent.testing.scripted_model import ModelRule, say


@pytest.mark.parametrize("swap", BOTH)
def test_no_session_ever_hears_a_secret(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I know the code").says("My code is one two three four").says("When are you open?")
        assert call.record.phases == ["reception", "code", "visits"]
        assert call.tool_runs[0] == ("check_code", {"code": "⟨code#1: 4 digits⟩"})
    for session in provider.sessions:
        assert moments(session, saying=1) == []
        assert "1234" not in "".join(message.text for message in session.told)
    assert moments(provider.sessions[-1], saying=2)


@pytest.mark.parametrize("swap", BOTH)
def test_a_secret_that_is_being_said_when_its_phase_ends_is_no_secret_of_the_next_session(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, timing=ProviderTiming(connect_ms=2_500, update_ms=2_500))
    with call:
        call.start().says("I know the code").begins_to_say("one two three four", lasting_ms=1_000)
        call.run_ms(700).host_says("visits")
        assert call.phase == "visits"
    for session in provider.sessions:
        assert moments(session, saying=1) == []


@pytest.mark.parametrize("swap", BOTH)
def test_a_secret_of_which_nobody_has_noticed_the_beginning_when_its_phase_ends_is_none_either(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I know the code").begins_to_say("one two three four", lasting_ms=1_000)
        call.run_ms(20).host_says("visits")
        assert call.phase == "visits"
        call.says("When are you open?")
        assert "From nine to five." in call.really_heard
    for session in provider.sessions:
        assert moments(session, saying=1) == []
    assert moments(provider.sessions[-1], saying=2)


@pytest.mark.parametrize("swap", BOTH)
def test_on_a_line_that_hums_all_the_time_such_a_secret_is_withheld_and_the_next_sentence_is_heard(
    swap: Swapping, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Ears, "audible_since_ms", property(lambda _: 0))
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I know the code").begins_to_say("one two three four", lasting_ms=1_000)
        call.run_ms(20).host_says("visits")
        call.says("When are you open?")
        assert "From nine to five." in call.really_heard
    for session in provider.sessions:
        assert moments(session, saying=1) == []
    assert moments(provider.sessions[-1], saying=2)


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
    assert max(len(moments(session, saying=0)) for session in provider.sessions) <= 600


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
    assert not any(moments(session, saying=1) for session in provider.sessions)


@pytest.mark.parametrize("swap", BOTH)
def test_what_is_said_right_after_a_secret_is_answered(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I know the code")
        call.says("My code is one two three four", then_wait=False).until(fx.StartTool).until(fx.SwapPhase).run_ms(50)
        call.says("When are you open?")
        assert call.phase == "visits"
        assert "From nine to five." in call.really_heard
    assert not any(moments(session, saying=1) for session in provider.sessions)


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


def test_a_sentence_that_ends_as_one_phase_of_secrets_follows_another_is_written_down() -> None:
    call, _ = call_to(desk(), "new_session", model=rules(ModelRule(tuple(say("And the code?")), phase="code")))
    with call:
        call.start().host_says("code").says("When are you open?", then_wait=False).host_says("code")
        assert "When are you open?" in " ".join(words_of(call))
