"""OpenAI Realtime without a socket: the words of the caller, bit by bit and for good."""

from __future__ import annotations

import pytest

from voiceagent.ports import CallerTranscribed

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import began_to_speak, heard, heard_all, not_heard, open_wire, stopped_speaking


def test_the_callers_words_come_bit_by_bit_and_then_for_good():
    wire = open_wire()

    events = wire.receive(
        heard("item_1", "I would"), heard("item_1", " like"), heard_all("item_1", "I would like to pay.")
    )

    assert events == [
        CallerTranscribed("I would", final=False),
        CallerTranscribed("I would like", final=False),
        CallerTranscribed("I would like to pay.", final=True),
    ]


def test_p14_empty_transcripts_are_not_events():
    wire = open_wire()

    assert wire.receive(heard("item_1", ""), heard("item_1", " "), heard_all("item_1", " \n")) == []


def test_a_final_is_said_once_and_ends_its_partials():
    wire = open_wire()

    events = wire.receive(heard_all("item_1", "Yes"), heard("item_1", "Yes"), heard_all("item_1", "Yes"))

    assert events == [CallerTranscribed("Yes", final=True)]


def test_a_transcription_that_fails_leaves_what_had_come_of_it():
    wire = open_wire()

    assert wire.receive(heard("item_1", "My number"), not_heard("item_1"), not_heard("item_2")) == [
        CallerTranscribed("My number", final=False),
        CallerTranscribed("My number", final=True),
    ]


def test_two_utterances_are_transcribed_side_by_side():
    wire = open_wire()

    events = wire.receive(heard("a", "One"), heard("b", "Two"), heard_all("a", "One."), heard_all("b", "Two."))

    assert [(event.text, event.final) for event in events if isinstance(event, CallerTranscribed)] == [
        ("One", False),
        ("Two", False),
        ("One.", True),
        ("Two.", True),
    ]


def test_words_come_with_the_audio_that_they_are():
    wire = open_wire()

    # As recorded: the words of an item come when the next one has begun.
    events = wire.receive(
        began_to_speak("item_1", 1_556),
        stopped_speaking("item_1", 4_224),
        began_to_speak("item_2", 5_100),
        heard_all("item_1", "I would like to pay."),
        stopped_speaking("item_2", 6_000),
        heard_all("item_2", "Now."),
    )

    assert events == [
        CallerTranscribed("I would like to pay.", final=True, heard_ms=(1_556, 4_224)),
        CallerTranscribed("Now.", final=True, heard_ms=(5_100, 6_000)),
    ]


def test_words_come_without_it_where_a_server_does_not_tell():
    wire = open_wire()

    assert wire.receive(began_to_speak("item_1", 0), stopped_speaking("item_1", 0), heard_all("item_1", "Yes")) == [
        CallerTranscribed("Yes", final=True)
    ]
