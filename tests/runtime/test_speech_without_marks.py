"""Lines on which nobody says what was played: it is reckoned, and the last words are heard to their end."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.runtime.desk_agent import BOTH, Swapping, call_to, desk, moments, storyteller
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.ports import LegFeatures
from voiceagent.telephony.twilio import TWILIO_FEATURES, TwilioDialect
from voiceagent.testing import simulated_server

MS_PER_LETTER = 65


class WithoutMarks(TwilioDialect):
    """The carrier's messages, but for those that say what was heard."""

    @property
    def features(self) -> LegFeatures:
        return replace(TWILIO_FEATURES, marks=False, marks_return_on_clear=False)


@pytest.fixture(autouse=True)
def _lines_without_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(simulated_server, "TwilioDialect", WithoutMarks)


@pytest.mark.parametrize("swap", BOTH)
def test_a_model_that_is_interrupted_is_told_how_much_of_its_reply_was_played(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap, model=storyteller())
    with call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The first is")
        began_ms = call.now_ms - len("There are many counters. The first is") * MS_PER_LETTER
        call.begins_to_say("I have a visit").until(ev.PlayoutStopped)
        stopped_ms = call.now_ms
        call.until_quiet()
        ((_, told_ms),) = provider.sessions[0].truncated
        assert abs(told_ms - (stopped_ms - began_ms)) <= 100
        assert call.phase == "visits"
        known = " ".join(call.heard)
        assert "There are many counters. The first is" in known
        assert "lost things" not in known


@pytest.mark.parametrize("swap", BOTH)
def test_the_history_has_what_was_heard_and_no_more(swap: Swapping) -> None:
    call, _ = call_to(desk(), swap, model=storyteller())
    with call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The second is")
        call.says("When are you open?")
        cut = next(text for text in call.heard if text.startswith("There are many"))
        # A speech model does not say when its words end: the last one may be half heard.
        assert call.really_heard.startswith(f"Reception, hello. {cut.rpartition(' ')[0]}")
        assert len(call.heard) == 3


def test_what_a_noise_has_cut_off_is_played_on_from_where_it_stopped() -> None:
    call, _ = call_to(desk(), model=storyteller())
    with call:
        call.start().says("What counters are there?", then_wait=False).until_heard("The first is")
        call.says("", lasting_ms=900)
        assert call.really_heard.endswith("The third is for lost things.")
        assert call.really_heard.count("The second is for bills.") == 1


@pytest.mark.parametrize("swap", BOTH)
def test_the_last_words_are_heard_to_their_end_before_the_line_is_let_go(swap: Swapping) -> None:
    call, _ = call_to(desk(), swap)
    with call:
        call.start().says("I have a visit").says("bye")
        assert call.ended
        assert call.really_heard.endswith("Goodbye.")


def test_what_cannot_be_undone_is_asked_and_done_once() -> None:
    call, _ = call_to(desk())
    with call:
        call.start().says("I have a visit").says("Please cancel it").says("Yes.")
        assert call.ran("cancel_visit") == 1


@pytest.mark.parametrize("swap", BOTH)
def test_a_yes_before_the_question_was_out_is_none(swap: Swapping) -> None:
    call, _ = call_to(desk(), swap)
    with call:
        call.start().says("I have a visit").says("Please cancel it", then_wait=False).until_heard("Your visit on")
        call.says("Yes.")
        assert call.ran("cancel_visit") == 0


@pytest.mark.parametrize("swap", BOTH)
def test_three_seconds_of_speech_during_a_swap_are_heard_once_and_whole(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("I have a visit", then_wait=False).until(fx.SwapPhase).run_ms(100)
        call.says("When are you open on Sundays?", lasting_ms=3_000)
        assert moments(provider.sessions[-1], saying=1) == list(range(3_000))
