"""The caller's words come after what they set off: another session is told them all the same, each in its place."""

from __future__ import annotations

import asyncio

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


def test_words_that_come_late_are_not_lost_over_a_cough_that_no_model_may_hear() -> None:
    clock, events, lasted = ManualClock(), list[ev.Event](), dict[UtteranceId, tuple[int, int]]()
    words = CallerWords(clock, events.append, overdue=lambda utterance, hints: None, lasted=lasted.get)
    words.began(FIRST)
    lasted[FIRST] = (0, 1_000)
    clock.advance(1_200)
    words.wait_for(FIRST, ())
    clock.advance(8_000)
    words.began(SECOND)
    words.withhold_latest()
    words.came(CallerTranscribed("I have a visit", final=True))
    assert finals(events) == [(FIRST, "I have a visit")]


def test_words_that_go_on_are_not_lost_over_such_a_cough() -> None:
    clock, events, lasted = ManualClock(), list[ev.Event](), {FIRST: (0, 400), SECOND: (1_000, 1_800)}
    words = CallerWords(clock, events.append, overdue=lambda utterance, hints: None, lasted=lasted.get)
    for utterance in (FIRST, SECOND):
        words.began(utterance)
        words.wait_for(utterance, ())
    words.came(CallerTranscribed("Listen and be quick", final=True))  # taken for all that was said
    words.began(THIRD)
    words.withhold_latest()
    words.came(CallerTranscribed("please", final=True))
    assert finals(events) == [(FIRST, "Listen and be quick"), (SECOND, ""), (SECOND, "please")]


def test_words_of_somebody_whom_only_the_model_has_noticed_are_not_lost_over_such_a_cough_either() -> None:
    events: list[ev.Event] = []
    words = CallerWords(ManualClock(), events.append, overdue=lambda utterance, hints: None, lasted=lambda _: None)
    words.began(FIRST)
    words.withhold_latest()
    words.came(CallerTranscribed("I have a visit", final=True))
    assert finals(events) == [(UtteranceId("m1"), "I have a visit")]


def test_what_a_model_makes_of_the_beginning_of_what_is_heard_elsewhere_does_not_count_however_often_it_says_it() -> (
    None
):
    events: list[ev.Event] = []
    words = CallerWords(
        ManualClock(), events.append, overdue=lambda utterance, hints: None, lasted=lambda _: (0, 2_000)
    )
    words.began(FIRST)
    words.wait_for(FIRST, ())
    words.withhold(FIRST)
    words.asked_elsewhere(FIRST, heard_to_ms=600)
    words.came(CallerTranscribed("I have", final=True))
    words.came(CallerTranscribed("a", final=True))
    assert finals(events) == []


def finals(events: list[ev.Event]) -> list[tuple[UtteranceId, str]]:
    return [(event.utterance, event.text) for event in events if isinstance(event, ev.TranscriptFinal)]


def test_words_that_were_all_taken_for_the_next_utterances_are_not_added_again() -> None:
    clock, events, lasted = ManualClock(), list[ev.Event](), {FIRST: (0, 900), SECOND: (2_000, 2_900)}
    words = CallerWords(clock, events.append, overdue=lambda utterance, hints: None, lasted=lasted.get)
    for utterance, noticed_ms in ((FIRST, 1_100), (SECOND, 3_100)):
        clock.advance(noticed_ms - clock.now_ms())
        words.began(utterance)
        words.wait_for(utterance, ())
    clock.advance(900)
    words.came(CallerTranscribed("I have a visit", final=True))
    words.began(THIRD)
    words.came(CallerTranscribed("What counters are there?", final=True))
    assert finals(events)[-2:] == [(SECOND, "I have a visit"), (THIRD, "What counters are there?")]
    assert [*words.give_up()] == [FIRST, SECOND]
    assert words.came_from_elsewhere(FIRST, "I have a visit.") == ""
    assert words.came_from_elsewhere(SECOND, "what counters are there") == ""
