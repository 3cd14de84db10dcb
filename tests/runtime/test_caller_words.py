"""The caller's words come after what they set off: another session is told them all the same, each in its place."""

from __future__ import annotations

import asyncio

import pytest

from voiceagent.core import events as ev
from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch, UtteranceId
from voiceagent.ports import CallerTranscribed
from voiceagent.runtime.caller_words import CallerWords
from voiceagent.testing.manual_clock import ManualClock

FIRST, SECOND, THIRD = UtteranceId("c1"), UtteranceId("c2"), UtteranceId("c3")


def said(text: str, *awaits: UtteranceId) -> Message:
    return Message(1, "caller", text, Epoch(1), in_audio=True, awaits=awaits)


def told(words: CallerWords, history: list[Message]) -> list[Message]:
    return asyncio.run(words.with_late(history))


def words_of(*heard: tuple[UtteranceId, str]) -> CallerWords:
    events: list[ev.Event] = []
    words = CallerWords(
        ManualClock(), events.append, overdue=lambda utterance, hints: None, lasted=lambda utterance: None
    )
    for utterance, text in heard:
        words.began(utterance)
        words.wait_for(utterance, ())
        words.came(CallerTranscribed(text, final=True))
    return words


def test_words_that_came_before_the_history_was_read_fill_its_gap() -> None:
    words = words_of((FIRST, "I have a visit."))
    assert told(words, [said("", FIRST)]) == [said("I have a visit.")]


def test_words_that_go_on_with_what_is_known_are_not_left_out() -> None:
    words = words_of((SECOND, "And a bill."))
    assert told(words, [said("I have a visit.", SECOND)]) == [said("I have a visit. And a bill.")]


def test_words_of_another_utterance_do_not_fill_a_gap() -> None:
    words = words_of((FIRST, ""), (SECOND, "Hello?"))
    assert told(words, [said("", FIRST)]) == [said("")]


def test_an_utterance_that_is_transcribed_in_two_pieces_is_told_whole() -> None:
    words = words_of((FIRST, "I have"), (FIRST, "a visit."))
    assert told(words, [said("", FIRST)]) == [said("I have a visit.")]


@pytest.mark.xfail(strict=True, reason="words are dropped that come while the latest sound is one no model may hear")
def test_words_that_come_late_are_not_lost_over_a_cough_that_no_model_may_hear() -> None:
    events: list[ev.Event] = []
    words = CallerWords(ManualClock(), events.append, overdue=lambda utterance, hints: None)
    words.began(FIRST)
    words.wait_for(FIRST, ())
    words.began(SECOND)
    words.wait_for(SECOND, ())
    words.came(CallerTranscribed("Listen", final=True))  # those of the first, and they are taken for all that was said
    words.began(THIRD)
    words.withhold_latest()
    words.came(CallerTranscribed("and be quick", final=True))
    assert [event.text for event in events if isinstance(event, ev.TranscriptFinal) and event.text] == [
        "Listen",
        "and be quick",
    ]
