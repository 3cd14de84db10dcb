"""The softphone's protocol: samples as they are, and a few words about them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.ports import AudioFormat
from voiceagent.telephony.browser import BrowserDialect
from voiceagent.telephony.codec import (
    ClearAudio,
    Digit,
    Mark,
    Media,
    PlayAudio,
    Refused,
    SendDigits,
    SetMark,
    Started,
    Stopped,
)

START = {"type": "start", "call": "c1", "rate_hz": 16000, "caller": "Ann", "parameters": {"order": "17"}}


def started(**changes):
    dialect = BrowserDialect()
    dialect.receive(json.dumps(START | changes))
    return dialect


def test_a_page_names_the_call_its_rate_and_what_it_passes_on():
    audio = AudioFormat("pcm16", 16_000)
    assert BrowserDialect().receive(json.dumps(START)) == (
        Started("c1", "c1", "Ann", None, {"order": "17"}, audio, audio),
    )


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"rate_hz": 44_100}, "audio format not agreed"),
        ({"rate_hz": None}, "audio format not agreed"),
        ({"rate_hz": 1e4}, "audio format not agreed"),
        ({"call": "../x"}, "start without ids"),
        ({"call": None}, "start without ids"),
    ],
)
def test_a_start_that_cannot_become_a_call_ends_the_connection(changes, why):
    assert BrowserDialect().receive(json.dumps(START | changes)) == (Refused(why, fatal=True),)


@given(st.binary(min_size=2, max_size=16_000).map(lambda audio: audio[: len(audio) // 2 * 2]))
def test_samples_go_both_ways_as_they_are(samples):
    dialect = started()
    assert dialect.receive(samples) == (Media(samples),)
    assert dialect.send(PlayAudio(samples)) == (samples,)


@pytest.mark.parametrize(
    ("samples", "why"), [(b"", "audio is empty"), (b"\0", "half a sample"), (bytes(16_002), "audio too long")]
)
def test_samples_that_are_none_are_refused(samples, why):
    assert started().receive(samples) == (Refused(why),)


def test_keys_marks_and_the_end():
    dialect = started()
    messages = ('{"type":"digit","digit":"5"}', '{"type":"mark","name":"0.1"}', '{"type":"stop"}')
    assert [dialect.receive(message) for message in messages] == [
        (Digit("5"),),
        (Mark("0.1"),),
        (Stopped("caller hung up"),),
    ]


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ('{"type":"digit","digit":"55"}', "not a digit"),
        ('{"type":"digit"}', "not a digit"),
        ('{"type":"mark","name":7}', "mark without name"),
        ('{"type":"news"}', "unknown type"),
        ('{"event":"media"}', "unknown type"),
        ("[]", "not an object"),
    ],
)
def test_a_message_that_says_nothing_is_refused(message, why):
    assert started().receive(message) == (Refused(why),)


def test_what_a_page_is_told():
    dialect = started()
    assert [json.loads(m) for c in (SetMark("0.1"), ClearAudio()) for m in dialect.send(c)] == [
        {"type": "mark", "name": "0.1"},
        {"type": "clear"},
    ]
    assert dialect.send(SendDigits("1")) == ()
