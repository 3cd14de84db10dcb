"""An end-of-turn model: free speech is answered sooner or later by its word, and as without it where it has none."""

from __future__ import annotations

import pytest

from tests.conversations.conftest import PlaceCall
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.ids import UtteranceId
from voiceagent.testing import ScriptedCall, say

WORDS = "I have a question about my limit."


def asked_after(call: ScriptedCall, words: str, *judgements: ev.TurnJudged) -> fx.NoteDecision:
    """Say something and let a model judge it; returns how the turn was decided to be over."""
    call.says(words, then_wait=False).until(ev.TranscriptFinal)
    for judged in judgements:
        call.happens(judged)
    call.until_quiet()
    return [d for d in call.record.effects(fx.NoteDecision) if d.what == "turn over"][-1]


def newest(call: ScriptedCall) -> UtteranceId:
    return UtteranceId(f"c{len(call.record.at(ev.CallerStartedSpeaking)) + 1}")


@pytest.mark.parametrize(("done", "waited_ms"), [(0.95, 540), (0.6, 680), (0.05, 950)])
def test_a_caller_is_answered_by_how_they_sound(authenticated: PlaceCall, done: float, waited_ms: int) -> None:
    call = authenticated([say("Yes?"), say("A hundred.")])
    decided = asked_after(call, WORDS, ev.TurnJudged(newest(call), done))
    assert decided.waited_ms == waited_ms
    assert ("it sounds" in decided.reason) == (done != 0.6)
    assert call.heard[-1] == "A hundred."


def test_a_judgement_that_is_about_another_utterance_counts_for_nothing(authenticated: PlaceCall) -> None:
    call = authenticated([say("Yes?"), say("A hundred.")])
    before = UtteranceId(f"c{len(call.record.at(ev.CallerStartedSpeaking))}")
    stale = (ev.TurnJudged(before, 0.0), ev.TurnJudged(UtteranceId("c99"), 0.0))
    assert asked_after(call, WORDS, *stale).waited_ms == 680


def test_what_a_caller_has_gone_on_after_says_nothing_about_the_end(authenticated: PlaceCall) -> None:
    call = authenticated([say("Yes?"), say("A hundred.")])
    first = newest(call)
    call.says("I have a question", then_wait=False).until(ev.TranscriptFinal)
    call.says("about my limit.", then_wait=False).until(ev.TranscriptFinal)
    call.happens(ev.TurnJudged(first, 0.0)).until_quiet()
    assert [d.waited_ms for d in call.record.effects(fx.NoteDecision)][-1] == 680


def test_a_number_that_was_asked_for_is_not_a_matter_of_how_it_sounds(place_call: PlaceCall) -> None:
    call = place_call().says("I want to know my balance")
    judged = ev.TurnJudged(newest(call), 0.0)
    decided = asked_after(call, "four five one nine two two seven", judged)
    assert (decided.reason, decided.waited_ms) == ("all digits are there", 350)  # as soon as its words are known
