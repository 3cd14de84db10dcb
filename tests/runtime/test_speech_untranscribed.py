"""A speech model that never says what it has heard: the words of the caller come from our own recognizer."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk, moments, rules, told, words_of
from voiceagent.core import effects as fx
from voiceagent.ports import ReplyPiece
from voiceagent.testing import ProviderTiming
from voiceagent.testing.scripted_model import ModelRule, say

READ_BACK = "Your visit on Friday will be cancelled. Is that right?"


@pytest.mark.parametrize("swap", BOTH)
def test_what_is_said_is_written_down_and_answered_across_a_swap(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, transcribes=False)
    with call:
        call.start().says("I have a visit").says("When are you open?")
        assert words_of(call) == ["I have a visit", "When are you open?"]
        assert call.record.phases == ["reception", "visits"]
        assert call.really_heard.count("From nine to five.") == 1
    if swap == "new_session":
        assert told(provider.sessions[-1]) == "I have a visit"


@pytest.mark.parametrize("swap", BOTH)
def test_three_seconds_of_speech_during_a_swap_are_heard_once_and_written_down_once(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, transcribes=False, timing=ProviderTiming(connect_ms=900, update_ms=900))
    with call:
        call.start().says("I have a visit", then_wait=False).until(fx.SwapPhase).run_ms(100)
        call.says("When are you open on Sundays?", lasting_ms=3_000)
        assert words_of(call) == ["I have a visit", "When are you open on Sundays?"]
        assert moments(provider.sessions[-1], saying=1) == list(range(3_000))
        assert call.really_heard.count("From nine to five.") == 1


@pytest.mark.parametrize("swap", BOTH)
@pytest.mark.parametrize(("answer", "times"), [("Yes.", 1), ("No.", 0), ("Which one?", 0)])
def test_what_cannot_be_undone_is_decided_by_our_own_recognizer(swap: Swapping, answer: str, times: int) -> None:
    call, _ = call_to(desk(), swap, transcribes=False)
    with call:
        call.start().says("I have a visit").says("Please cancel it")
        assert call.really_heard.endswith(READ_BACK)
        call.says(answer)
        assert call.ran("cancel_visit") == times


@pytest.mark.parametrize("swap", BOTH)
def test_a_yes_that_our_recognizer_did_not_understand_is_none_and_a_key_is_one(swap: Swapping) -> None:
    call, _ = call_to(desk(), swap, transcribes=False, recognizer_fails=[3])
    with call:
        call.start().says("I have a visit").says("Please cancel it").says("Yes.")
        assert call.ran("cancel_visit") == 0
        call.presses("1")
        assert call.ran("cancel_visit") == 1
        assert call.really_heard.endswith("It is cancelled.")


@pytest.mark.parametrize("swap", BOTH)
@pytest.mark.parametrize("turn_ends_after_ms", [200, 500, 800, 1_100])
def test_a_model_is_asked_once_it_has_heard_the_caller_out_however_patient_it_is(
    swap: Swapping, turn_ends_after_ms: int
) -> None:
    shown: list[list[str]] = []
    answers = rules(ModelRule(tuple(say("Then it stays.")), after_tool="cancel_visit"))

    def model(request: fx.ModelRequest) -> Sequence[ReplyPiece]:
        shown.append([f"{message.role}: {message.text}" for message in request.history])
        return answers(request)

    timing = ProviderTiming(turn_ends_after_ms=turn_ends_after_ms)
    call, _ = call_to(desk(), swap, transcribes=False, model=model, timing=timing)
    with call:
        call.start().says("I have a visit").says("Please cancel it")
        assert call.really_heard.endswith(READ_BACK)
        replies = len(shown)
        call.says("No.")
        assert call.really_heard.endswith("Then it stays.")
        assert call.really_heard.count("Then it stays.") == 1
    asked = [history for history in shown[replies:] if any("the caller said no" in line for line in history)]
    assert asked
    assert all("caller: No." in history for history in asked)


def test_a_model_that_takes_the_yes_for_itself_does_not_get_past_the_question() -> None:
    model = rules(ModelRule(tuple(say("I have cancelled it.")), phase="visits", caller_says="yes"))
    call, _ = call_to(desk(), transcribes=False, recognizer_fails=[3], model=model)
    with call:
        call.start().says("I have a visit").says("Please cancel it").says("Yes.")
        assert call.ran("cancel_visit") == 0
        assert "I have cancelled it." not in call.really_heard


@pytest.mark.parametrize("swap", BOTH)
def test_no_session_hears_a_secret_and_the_recognizer_does(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, transcribes=False)
    with call:
        call.start().says("I know the code").says("My code is one two three four").says("When are you open?")
        assert call.record.phases == ["reception", "code", "visits"]
        assert call.tool_runs[0] == ("check_code", {"code": "⟨code#1: 4 digits⟩"})
    assert not any(moments(session, saying=1) for session in provider.sessions)


def test_a_model_whose_words_nobody_understood_answers_all_the_same() -> None:
    call, _ = call_to(desk(), transcribes=False, recognizer_fails=[1])
    with call:
        call.start().says("When are you open?").says("Hello?")
        assert "From nine to five." in call.really_heard
