"""Twilio's messages: what they say, and that nothing a stranger sends can do harm."""

from __future__ import annotations

import base64
import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.ports import MULAW_8K
from voiceagent.telephony.codec import (
    ClearAudio,
    Digit,
    Ignored,
    Mark,
    Media,
    PlayAudio,
    Refused,
    SetMark,
    Started,
    Stopped,
)
from voiceagent.telephony.twilio import MAX_MESSAGE_CHARS, TwilioDialect

CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
START = {
    "event": "start",
    "sequenceNumber": "1",
    "streamSid": "MZ0",
    "start": {
        "streamSid": "MZ0",
        "accountSid": "AC0",
        "callSid": "CA0",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {"tenant": "t1"},
    },
}
MEDIA = (
    '{"event":"media","sequenceNumber":"2","streamSid":"MZ0",'
    '"media":{"track":"inbound","chunk":"1","timestamp":"20","payload":"//8="}}'
)
DTMF = '{"event":"dtmf","streamSid":"MZ0","sequenceNumber":"9","dtmf":{"track":"inbound_track","digit":"5"}}'
MARK = '{"event":"mark","sequenceNumber":"4","streamSid":"MZ0","mark":{"name":"0.1"}}'
STOP = '{"event":"stop","sequenceNumber":"99","streamSid":"MZ0","stop":{"accountSid":"AC0","callSid":"CA0"}}'
GOOD = [CONNECTED, json.dumps(START), MEDIA, DTMF, MARK, STOP]


def one(dialect, message):
    (event,) = dialect.receive(message)
    return event


def started(**changes):
    dialect = TwilioDialect()
    assert isinstance(one(dialect, json.dumps(START | changes)), Started)
    return dialect


def refused(message, dialect=None):
    event = one(dialect or started(), message)
    assert isinstance(event, Refused), event
    return event.why


def start_with(**changes):
    return json.dumps(START | {"start": START["start"] | changes})


def test_a_call_starts_with_its_ids_format_and_parameters():
    dialect = TwilioDialect()
    assert one(dialect, CONNECTED) == Ignored("connected")
    assert one(dialect, json.dumps(START)) == Started(
        stream="MZ0",
        call="CA0",
        caller=None,
        called=None,
        parameters={"tenant": "t1"},
        audio_in=MULAW_8K,
        audio_out=MULAW_8K,
    )


def test_a_relative_of_the_dialect_names_caller_and_called_and_leaves_channels_out():
    message = start_with(
        **{"from": "+4930", "to": "+4940", "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": "8000"}}
    )
    event = one(TwilioDialect(), message)
    assert (event.caller, event.called) == ("+4930", "+4940")


def test_audio_is_decoded():
    assert one(started(), MEDIA) == Media(b"\xff\xff")


def test_audio_without_track_stream_or_timestamp_is_still_audio():
    assert one(started(), '{"event":"media","media":{"payload":"//8="}}') == Media(b"\xff\xff")


def test_digits_marks_and_the_end_are_understood():
    dialect = started()
    assert [one(dialect, m) for m in (DTMF, MARK, STOP)] == [Digit("5"), Mark("0.1"), Stopped("caller hung up")]


def test_our_own_audio_sent_back_is_not_the_caller():
    assert one(started(), MEDIA.replace('"inbound"', '"outbound"')) == Ignored("our own audio")


@pytest.mark.parametrize("message", [MEDIA, DTMF, MARK, STOP])
def test_nothing_comes_before_the_start(message):
    assert refused(message, TwilioDialect()) == "before start"


@pytest.mark.parametrize("message", [MEDIA, DTMF, MARK, STOP])
def test_what_belongs_to_another_stream_is_refused(message):
    assert refused(message.replace("MZ0", "MZ1")) == "another stream"


def test_a_second_start_is_refused_and_changes_nothing():
    dialect = started()
    assert refused(start_with(callSid="CA9"), dialect) == "second start"
    assert one(dialect, MEDIA) == Media(b"\xff\xff")


@pytest.mark.parametrize(
    "media_format",
    [
        {"encoding": "audio/x-mulaw", "sampleRate": 16000, "channels": 1},
        {"encoding": "audio/x-L16", "sampleRate": 8000, "channels": 1},
        {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 2},
        {"encoding": "audio/x-mulaw", "sampleRate": True},
        {"encoding": "audio/x-mulaw", "sampleRate": 8000.0},
        {},
        None,
        "audio/x-mulaw",
    ],
)
def test_an_audio_format_that_was_not_agreed_ends_the_connection(media_format):
    dialect = TwilioDialect()
    assert one(dialect, start_with(mediaFormat=media_format)) == Refused("audio format not agreed", fatal=True)
    assert dialect.send(ClearAudio()) == ()


@pytest.mark.parametrize("call", ["../../etc/passwd", "", "CA\n0", "CA" * 60, 7, None, "C\ud800"])
def test_ids_that_are_no_ids_end_the_connection(call):
    assert one(TwilioDialect(), start_with(callSid=call)) == Refused("start without ids", fatal=True)


def test_two_different_stream_ids_in_one_start_end_the_connection():
    assert one(TwilioDialect(), start_with(streamSid="MZ9")) == Refused("start without ids", fatal=True)


def test_parameters_that_could_not_be_stored_are_made_readable_or_left_out():
    message = start_with(customParameters={"a": "x\ud800y", "b": 7, "c": "z" * 2000, "d": "ok"})
    assert one(TwilioDialect(), message).parameters == {"a": "x?y", "d": "ok"}


@pytest.mark.parametrize(
    ("message", "why"),
    [
        ("", "not JSON"),
        ('{"event":"media"', "not JSON"),
        ("[" * 60_000, "not JSON"),
        ('{"a":' * 10_000, "not JSON"),
        ('{"event":NaN}', "not JSON"),
        ('{"event":-Infinity}', "not JSON"),
        ("9" * 5_000, "not JSON"),
        ("[" * 100_000, "message too long"),
        (" " * (MAX_MESSAGE_CHARS + 1), "message too long"),
        ("[]", "not an object"),
        ("7", "not an object"),
        ("null", "not an object"),
        ('"\\ud800"', "not an object"),
        ("{}", "unknown event"),
        ('{"event":["media"]}', "unknown event"),
        ('{"event":"\\ud800"}', "unknown event"),
        ('{"event":"media","media":7}', "media without body"),
        ('{"event":"media","media":{}}', "media without payload"),
        ('{"event":"media","media":{"payload":7}}', "media without payload"),
        ('{"event":"media","media":{"payload":"/8="}}', "payload is not base64"),
        ('{"event":"media","media":{"payload":"//8=="}}', "payload is not base64"),
        ('{"event":"media","media":{"payload":"\\ud800"}}', "payload is not base64"),
        ('{"event":"media","media":{"payload":"ü8=="}}', "payload is not base64"),
        ('{"event":"media","media":{"payload":""}}', "payload is empty"),
        (json.dumps({"event": "media", "media": {"payload": "/" * 40_000}}), "payload too long"),
        ('{"event":"mark","mark":{"name":null}}', "mark without name"),
        ('{"event":"mark"}', "mark without name"),
        ('{"event":"dtmf","dtmf":{"digit":"55"}}', "not a digit"),
        ('{"event":"dtmf","dtmf":{"digit":5}}', "not a digit"),
        ('{"event":"dtmf","dtmf":[]}', "not a digit"),
        (b"\xff\xff", "binary message"),
    ],
)
def test_a_malformed_message_is_refused_with_its_reason(message, why):
    dialect = started()
    assert refused(message, dialect) == why
    assert one(dialect, MEDIA) == Media(b"\xff\xff")


def test_of_two_equal_keys_the_last_one_counts():
    assert one(started(), '{"event":"stop","event":"dtmf","dtmf":{"digit":"1","digit":"2"}}') == Digit("2")


def test_commands_become_the_three_messages_that_the_carrier_allows():
    dialect = started()
    sent = [json.loads(m) for c in (PlayAudio(b"\xff\xff"), SetMark("0.1"), ClearAudio()) for m in dialect.send(c)]
    assert sent == [
        {"event": "media", "streamSid": "MZ0", "media": {"payload": "//8="}},
        {"event": "mark", "streamSid": "MZ0", "mark": {"name": "0.1"}},
        {"event": "clear", "streamSid": "MZ0"},
    ]


# --- properties ------------------------------------------------------------------------------------------------------


@given(st.binary(min_size=1, max_size=8000))
def test_audio_sent_out_comes_back_unchanged(audio):
    dialect = started()
    (message,) = dialect.send(PlayAudio(audio))
    assert one(dialect, message) == Media(audio)


@given(st.text(), st.text())
def test_any_mark_name_and_digit_survive_or_are_refused(name, digit):
    dialect = started()
    (message,) = dialect.send(SetMark(name))
    assert one(dialect, message) == Mark(name)
    pressed = one(dialect, json.dumps({"event": "dtmf", "dtmf": {"digit": digit}}))
    assert isinstance(pressed, Digit if len(digit) == 1 and digit in "0123456789*#ABCD" else Refused)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("MZ0"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(
    [
        "event",
        "streamSid",
        "start",
        "media",
        "mark",
        "dtmf",
        "payload",
        "name",
        "digit",
        "callSid",
        "track",
        "timestamp",
    ]
)
bodies = st.dictionaries(keys, json_values | st.dictionaries(keys, json_values, max_size=4), max_size=5)


@given(
    st.sampled_from(["start", "media", "mark", "dtmf", "stop", "connected", "x"]),
    bodies,
    st.booleans(),
)
def test_messages_of_any_shape_give_exactly_one_event_and_never_raise(event, body, after_start):
    dialect = started() if after_start else TwilioDialect()
    assert len(dialect.receive(json.dumps(body | {"event": event}))) == 1


@settings(max_examples=300)
@given(st.text() | st.binary())
def test_noise_is_refused(noise):
    assert isinstance(one(started(), noise), Refused)


def mutated(message: str, rng: random.Random) -> str:
    at = rng.randrange(len(message))
    change = rng.randrange(5)
    if change == 0:
        return message[:at]
    if change == 1:
        return message[:at] + rng.choice('{}[]",:\\u0000NaN-1e9\ud800\x00é') + message[at + 1 :]
    if change == 2:
        return message[:at] + message[at:] * 2
    if change == 3:
        end = rng.randrange(at, len(message))
        return message[:at] + message[end:]
    return message.replace('"', rng.choice(["", "'", '""']), rng.randrange(1, 4))


def test_twenty_thousand_damaged_messages_do_no_harm():
    rng = random.Random(7)  # noqa: S311  the same damage every time
    dialect = started()
    for _ in range(20_000):
        (event,) = dialect.receive(mutated(rng.choice(GOOD), rng))
        assert not isinstance(event, Started)
    audio = base64.b64encode(bytes(160)).decode()
    assert one(dialect, json.dumps({"event": "media", "media": {"payload": audio}})) == Media(bytes(160))
