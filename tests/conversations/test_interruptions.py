"""Who has the floor: barge-in, coughs, backchannels, pauses in the middle of a number."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.testing import ScriptedCall, say

Place = Callable[..., ScriptedCall]

LONG = "Your account was opened nine years ago and everything about it is in good order, as far as I can see."


def speaking(place: Place, *more: list[object]) -> ScriptedCall:
    """A call in which the agent is in the middle of a long sentence."""
    call = place([say("Yes?"), say(LONG), *more])
    call.says("Tell me about my account", then_wait=False).until(ev.PlayoutStarted)
    return call.run_ms(2_000)


def test_a_caller_who_speaks_up_silences_the_agent_and_is_answered(authenticated: Place) -> None:
    call = speaking(authenticated, say("A hundred dollars."))
    call.says("No wait, what is my limit?")
    assert len(call.record.effects(fx.StopPlayout)) == 1
    assert call.heard[-1] == "A hundred dollars."


def test_the_history_holds_what_was_heard_not_what_was_sent(authenticated: Place) -> None:
    call = speaking(authenticated, say("A hundred dollars."))
    call.says("No wait, what is my limit?")
    cut = next(words for words in call.heard if words.startswith("Your account was"))
    assert LONG.startswith(cut)
    assert 20 <= len(cut) <= 60
    assert cut in [message.text for message in call.record.shown[-1].history]


def test_a_cough_does_not_stop_the_agent(authenticated: Place) -> None:
    call = speaking(authenticated)
    call.coughs().until_quiet()
    assert call.record.effects(fx.StopPlayout) == []
    assert call.heard[-1] == LONG


def test_a_long_noise_stops_the_agent_who_then_goes_on_where_the_sentence_stopped(authenticated: Place) -> None:
    call = speaking(authenticated)
    asked = len(call.record.shown)
    call.says("", lasting_ms=900)
    assert len(call.record.effects(fx.StopPlayout)) == 1
    assert len(call.record.shown) == asked
    first, rest = call.heard[-2:]
    assert f"{first} {rest}" == LONG


def test_uh_huh_is_not_a_turn(authenticated: Place) -> None:
    call = speaking(authenticated)
    asked = len(call.record.shown)
    call.says("Uh-huh.", lasting_ms=300)
    assert len(call.record.shown) == asked
    assert call.heard[-1] == LONG


def test_a_drawn_out_uh_huh_does_not_stop_the_agent_either(authenticated: Place) -> None:
    call = speaking(authenticated)
    call.says("Uh-huh.", lasting_ms=600)
    assert call.record.effects(fx.StopPlayout) == []
    assert len(call.record.effects(fx.TranscribeSoFar)) == 1
    assert call.heard[-1] == LONG


def test_a_voice_that_goes_on_is_an_interruption_before_its_words_are_known(authenticated: Place) -> None:
    call = speaking(authenticated)
    call.says("", lasting_ms=2_000)
    assert [noted.waited_ms for noted in call.record.effects(fx.NoteDecision) if noted.what == "barge-in"] == [900]


def test_a_number_read_out_with_a_pause_is_one_turn(place_call: Place) -> None:
    call = place_call()
    call.says("My balance please")
    asked = len(call.record.shown)
    call.says("four five one nine", then_wait=False).run_ms(700).says("two two seven")
    assert len(call.record.shown) == asked + 1
    assert call.record.shown[-1].history[-1].text == "⟨account#1: 7 digits⟩"


def test_the_agent_answers_sooner_when_all_digits_are_there(place_call: Place) -> None:
    def waited_ms(words: str) -> int:
        call = place_call().says("My balance please")
        call.says(words, then_wait=False)
        stopped_ms = call.now_ms
        return call.until(fx.AskModel).now_ms - stopped_ms

    assert waited_ms("four five one nine two two seven") <= 400
    assert waited_ms("four five one nine") >= 1_000


def test_words_that_come_after_the_turn_are_kept_but_start_nothing(authenticated: Place) -> None:
    call = authenticated([say("What else?")])
    asked = len(call.record.shown)
    call.happens(ev.TranscriptFinal(ev.UtteranceId("c99"), "one more thing")).until_quiet()
    assert len(call.record.shown) == asked
    assert call.conversation.transcript.messages()[-1].text == "one more thing"


def test_an_echo_of_a_mark_after_the_stop_is_not_heard(authenticated: Place) -> None:
    call = speaking(authenticated, say("Fine."))
    utterance = call.record.effects(fx.Speak)[-1].utterance
    call.says("No wait, stop it")
    before = call.heard
    call.happens(ev.PlayoutReached(utterance, 0, 99_000, finished=True))
    assert call.heard == before


def decisions(call: ScriptedCall, what: str) -> list[str]:
    """Why so was decided, each time it was."""
    return [noted.reason for noted in call.record.effects(fx.NoteDecision) if noted.what == what]


def test_every_decision_about_the_floor_is_written_down_with_its_reason(authenticated: Place) -> None:
    call = speaking(authenticated, say("A hundred dollars."))
    call.says("", lasting_ms=900)
    assert decisions(call, "barge-in") == ["voice"]
    assert decisions(call, "no barge-in") == ["no words came of it"]
    call.says("No wait, what is my limit?")
    assert decisions(call, "turn over")[-1] == "the sentence is complete, and asks for an answer"
    assert all(noted.waited_ms >= 0 for noted in call.record.effects(fx.NoteDecision))
    call.assert_replays()


def test_who_was_cut_off_once_is_waited_for_longer(authenticated: Place) -> None:
    def waited_ms(call: ScriptedCall) -> int:
        return call.record.effects(fx.NoteDecision)[-1].waited_ms

    call = authenticated([say("Which one?"), say("Right."), say("Fine.")])
    call.says("I have a question about my account", then_wait=False).run_ms(1_000)
    first_ms = waited_ms(call)
    call.says("and about the other one as well my friend")
    call.says("and then there is my old savings book", then_wait=False).until(fx.AskModel)
    assert waited_ms(call) >= first_ms + 200
    assert decisions(call, "turn over")[-1].endswith("this caller makes longer pauses")


def test_who_asks_for_a_moment_is_not_asked_soon_whether_they_are_there(authenticated: Place) -> None:
    call = authenticated([say("Of course, take your time.")])
    call.says("Hold on, let me find my card.")
    heard = len(call.heard)
    call.run_ms(25_000)
    assert len(call.heard) == heard
    call.run_ms(10_000)
    assert len(call.heard) == heard + 1


def test_a_number_that_is_pressed_is_over_when_its_phase_says_so(place_call: Place) -> None:
    call = place_call()
    call.says("My balance please")
    before = len(call.record.effects(fx.NoteDecision))
    call.presses("4519", then_wait=False).run_ms(3_500)
    noted = call.record.effects(fx.NoteDecision)[before:]
    assert [(one.what, one.reason) for one in noted if one.what == "turn over"] == [("turn over", "no key follows")]


def drawn_out(call: ScriptedCall, *partials: str, whole: str) -> ScriptedCall:
    """Say something for a second whose first words are understood again and again while it lasts."""
    voice, began_ms = newest(call), call.now_ms
    call.happens(ev.CallerStartedSpeaking(voice, began_ms)).run_ms(540)
    for partial in partials:
        call.happens(ev.TranscriptPartial(voice, partial)).run_ms(330)
    call.run_ms(began_ms + 1_200 - call.now_ms).happens(ev.CallerPaused(voice, began_ms + 1_000)).run_ms(50)
    return call.happens(ev.TranscriptFinal(voice, whole)).until_quiet()


def newest(call: ScriptedCall) -> ev.UtteranceId:
    return ev.UtteranceId(f"c{len(call.record.at(ev.CallerStartedSpeaking)) + 1}")


def test_a_drawn_out_okay_is_listened_to_for_longer_and_does_not_stop_the_agent(authenticated: Place) -> None:
    call = drawn_out(speaking(authenticated), "Okay.", "Okay.", whole="Okay.")
    assert call.record.effects(fx.StopPlayout) == []
    assert len(call.record.effects(fx.TranscribeSoFar)) == 3
    assert call.heard[-1] == LONG


def test_okay_but_interrupts_as_soon_as_the_but_is_heard(authenticated: Place) -> None:
    call = drawn_out(speaking(authenticated, say("All right.")), "Okay.", "Okay, but I", whole="Okay, but I moved.")
    (interrupted,) = [noted for noted in call.record.effects(fx.NoteDecision) if noted.what == "barge-in"]
    assert (interrupted.reason, interrupted.waited_ms) == ("words", 870)


def test_nobody_says_okay_for_ever(authenticated: Place) -> None:
    call = speaking(authenticated)
    voice = newest(call)
    call.happens(ev.CallerStartedSpeaking(voice, call.now_ms)).run_ms(540)
    call.happens(ev.TranscriptPartial(voice, "Okay.")).run_ms(1_000)
    assert [noted.waited_ms for noted in call.record.effects(fx.NoteDecision) if noted.what == "barge-in"] == [1_300]


def faintly(call: ScriptedCall, words: str, *, below_db: int = 16, lasting_ms: int = 1_500) -> ScriptedCall:
    """Somebody says this, so much more softly than people speak into a telephone."""
    voice, began_ms = newest(call), call.now_ms
    call.happens(ev.CallerStartedSpeaking(voice, began_ms)).run_ms(400)
    call.happens(ev.VoiceFoundFaint(voice, below_db)).run_ms(lasting_ms - 400 + 200)
    call.happens(ev.CallerPaused(voice, began_ms + lasting_ms)).run_ms(100)
    return call.happens(ev.TranscriptFinal(voice, words)).until_quiet()


@pytest.mark.parametrize("words", ["And now the weather for the weekend.", "What did she say to him?"])
def test_a_voice_in_the_background_does_not_stop_the_agent(authenticated: Place, words: str) -> None:
    call = speaking(authenticated)
    asked = len(call.record.shown)
    faintly(call, words)
    assert call.record.effects(fx.StopPlayout) == []
    assert len(call.record.shown) == asked
    assert call.heard[-1] == LONG
    assert decisions(call, "no barge-in") == ["the voice is 16 dB fainter than a usual one"]
    call.assert_replays()


@pytest.mark.parametrize("words", ["Stop.", "Wait a moment.", "No."])
def test_a_soft_voice_that_says_what_is_said_to_an_agent_is_the_callers(authenticated: Place, words: str) -> None:
    call = speaking(authenticated, say("All right."))
    faintly(call, words, lasting_ms=500)
    assert len(call.record.effects(fx.StopPlayout)) == 1
    assert call.heard[-1] == "All right."


def test_whoever_speaks_softly_when_the_agent_is_silent_is_heard(authenticated: Place) -> None:
    call = authenticated([say("A hundred.")])
    faintly(call, "I have a question about my limit.")
    assert call.heard[-1] == "A hundred."


def test_whoever_speaks_softly_into_the_agents_words_and_goes_on_after_them_is_answered(authenticated: Place) -> None:
    call = speaking(authenticated, say("A hundred dollars."))
    faintly(call, "I have a question about my limit", lasting_ms=9_000)
    assert call.record.effects(fx.StopPlayout) == []
    assert call.heard[-2:] == [LONG, "A hundred dollars."]


def test_a_late_okay_gives_no_time_to_the_voice_that_is_on_now(authenticated: Place) -> None:
    call = speaking(authenticated)
    first = newest(call)
    call.happens(ev.CallerStartedSpeaking(first, call.now_ms)).run_ms(500)
    call.happens(ev.CallerPaused(first, call.now_ms)).run_ms(100)
    call.happens(ev.CallerStartedSpeaking(newest(call), call.now_ms)).run_ms(200)
    call.happens(ev.TranscriptPartial(first, "Okay.")).run_ms(1_500)
    assert [noted.waited_ms for noted in call.record.effects(fx.NoteDecision) if noted.what == "barge-in"] == [900]


def test_the_next_words_are_not_asked_for_before_the_first_have_come(authenticated: Place) -> None:
    call = speaking(authenticated)
    voice = newest(call)
    call.happens(ev.CallerStartedSpeaking(voice, call.now_ms)).run_ms(890)
    assert len(call.record.effects(fx.TranscribeSoFar)) == 1
    call.happens(ev.TranscriptPartial(voice, "Okay.")).run_ms(290)
    assert len(call.record.effects(fx.TranscribeSoFar)) == 1
    call.run_ms(20)
    assert len(call.record.effects(fx.TranscribeSoFar)) == 2
