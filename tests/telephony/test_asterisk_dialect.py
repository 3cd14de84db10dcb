"""Asterisk's messages, in JSON and in plain words: what they say, what we answer, and that no message does harm."""

from __future__ import annotations

import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from voiceagent.ports import AudioFormat
from voiceagent.telephony.asterisk import MAX_AUDIO_BYTES, MAX_COMMAND_BYTES, AsteriskDialect
from voiceagent.telephony.codec import (
    Answer,
    BufferFree,
    BufferFull,
    ClearAudio,
    Digit,
    HangUp,
    Ignored,
    Mark,
    Media,
    PlayAudio,
    Refused,
    SetMark,
    Started,
)
from voiceagent.telephony.ledger import PlayoutLedger

START_JSON = (
    '{"event":"MEDIA_START","connection_id":"bot","channel":"WebSocket/bot/0x1","channel_id":"179.2",'
    '"format":"ulaw","optimal_frame_size":160,"ptime":20,"channel_variables":{}}'
)
START_WORDS = (
    "MEDIA_START connection_id:bot channel:WebSocket/bot/0x1 channel_id:179.2 format:ulaw optimal_frame_size:160 "
    "ptime:20"
)
EVENTS = {  # one event in both spellings, and what it says
    "mark": (
        '{"event":"MEDIA_MARK_PROCESSED","channel_id":"179.2","correlation_id":"0.1"}',
        "MEDIA_MARK_PROCESSED 0.1",
        Mark("0.1"),
    ),
    "digit": (
        '{"event":"DTMF_END","channel_id":"179.2","digit":"#"}',
        "DTMF_END digit:# channel_id:179.2",
        Digit("#"),
    ),
    "full": ('{"event":"MEDIA_XOFF","channel_id":"179.2"}', "MEDIA_XOFF", BufferFull()),
    "free": ('{"event":"MEDIA_XON","channel_id":"179.2"}', "MEDIA_XON", BufferFree()),
    "drained": ('{"event":"QUEUE_DRAINED","channel_id":"179.2"}', "QUEUE_DRAINED", Ignored("QUEUE_DRAINED")),
    "error": (
        '{"event":"ERROR","channel_id":"179.2","error_text":"Unable to parse JSON command"}',
        "ERROR channel_id:179.2 error_text:Unable to parse JSON command",
        Ignored("error reported"),
    ),
    "status": (
        '{"event":"STATUS","channel_id":"1.2","queue_length":0,"xon_level":800,"xoff_level":900,"queue_full":false}',
        "STATUS channel_id:1.2 queue_length:0 xon_level:800 xoff_level:900 queue_full:false",
        Ignored("STATUS"),
    ),
}
GOOD = [START_JSON, START_WORDS, *(spelling for event in EVENTS.values() for spelling in event[:2])]


def one(dialect, message):
    (event,) = dialect.receive(message)
    return event


def started(message=START_JSON, **parameters):
    dialect = AsteriskDialect(parameters)
    assert isinstance(one(dialect, message), Started)
    return dialect


def start_with(**changes):
    return json.dumps(json.loads(START_JSON) | changes)


@pytest.mark.parametrize("message", [START_JSON, START_WORDS])
def test_both_spellings_of_the_start_say_the_same(message):
    ulaw = AudioFormat("mulaw", 8_000)
    assert one(AsteriskDialect({}), message) == Started("bot", "179.2", None, None, {}, ulaw, ulaw, frame_ms=20)


def test_what_the_dial_plan_knows_of_the_call_comes_with_the_start():
    dialect = AsteriskDialect({"call": "1700.17", "caller": "+49301234", "called": "1000", "tenant": "t1"})
    event = one(dialect, START_WORDS)
    assert (event.call, event.caller, event.called) == ("1700.17", "+49301234", "1000")
    assert event.parameters["tenant"] == "t1"


def dialled(string, **in_query):
    """What the start of a call says that was dialled by this string, and connects with this query."""
    return AsteriskDialect(in_query).receive(start_with(channel_variables={"DIALEDPEERNUMBER": string}))


def test_a_call_is_what_it_was_dialled_as_whatever_asterisk_says_in_its_query():
    of_another = {"call": "1700.17", "caller": "+49301234", "called": "1000"}
    event, noted = dialled("bot/c(ulaw)f(json)v(call=1700.23,caller=+4940,note=a%20b)", **of_another)
    assert (event.call, event.caller, event.called) == ("1700.23", "+4940", None)
    assert event.parameters == {"call": "1700.23", "caller": "+4940", "note": "a b"}
    assert noted == Ignored("query of another call")


@pytest.mark.parametrize("string", ["bot/c(ulaw)f(json)n()", "bot", "bot/v(call=1,call=2)", "bot/v(call=1)v(call=2)"])
def test_a_call_of_which_its_dial_string_says_nothing_is_nobody_elses(string):
    event, _ = dialled(string, call="1700.17", caller="+49301234")
    assert (event.call, event.caller, event.parameters) == ("179.2", None, {})


def test_where_we_have_connected_the_dial_string_says_nothing_and_the_question_all():
    (event,) = dialled("INCOMING/c(ulaw)f(json)", call="1700.17", caller="+49301234")
    assert (event.call, event.caller) == ("1700.17", "+49301234")


def test_what_query_and_dial_string_agree_on_is_nothing_to_note():
    (event,) = dialled("bot/c(ulaw)f(json)v(call=1700.17,caller=,called=1000)", call="1700.17", called="1000")
    assert (event.call, event.called) == ("1700.17", "1000")


def test_a_call_that_is_no_id_is_named_by_its_channel():
    assert one(AsteriskDialect({"call": "a b/c", "caller": ""}), START_WORDS).call == "179.2"


@pytest.mark.parametrize(
    ("name", "frame_bytes", "audio"),
    [("slin16", 640, AudioFormat("pcm16", 16_000)), ("alaw", 160, AudioFormat("alaw", 8_000))],
)
def test_the_audio_is_what_the_channel_was_given(name, frame_bytes, audio):
    event = one(AsteriskDialect({}), start_with(format=name, optimal_frame_size=frame_bytes))
    assert event.audio_in == event.audio_out == audio


@pytest.mark.parametrize(
    "changes",
    [
        {"format": "opus", "optimal_frame_size": 0},
        {"format": "slin48", "optimal_frame_size": 1920},
        {"format": "ulaw", "optimal_frame_size": 320},
        {"optimal_frame_size": 0, "ptime": 0},
        {"optimal_frame_size": 160_000, "ptime": 20_000},
        {"ptime": None},
        {"optimal_frame_size": True},
    ],
)
def test_a_format_that_cannot_be_cut_into_frames_is_no_call(changes):
    assert one(AsteriskDialect({}), start_with(**changes)) == Refused("audio format not agreed", fatal=True)


@pytest.mark.parametrize("changes", [{"connection_id": None}, {"channel_id": "a b"}, {"channel_id": 7}])
def test_a_start_without_names_is_no_call(changes):
    assert one(AsteriskDialect({}), start_with(**changes)) == Refused("start without ids", fatal=True)


@pytest.mark.parametrize("spelling", [0, 1])
@pytest.mark.parametrize("event", EVENTS)
def test_events_say_the_same_in_both_spellings(event, spelling):
    assert one(started(), EVENTS[event][spelling]) == EVENTS[event][2]


def test_a_second_start_is_refused():
    assert one(started(), START_WORDS) == Refused("second start")


def test_audio_is_binary_and_may_be_short():
    assert one(started(), bytes(3)) == Media(bytes(3))


def test_half_a_sample_is_left_out():
    dialect = started(start_with(format="slin16", optimal_frame_size=640))
    assert one(dialect, b"\1\2\3") == Media(b"\1\2")
    assert one(dialect, b"\1") == Refused("half a sample")


def test_audio_that_overtakes_the_start_is_not_lost():
    dialect = AsteriskDialect({})
    assert dialect.receive(b"\1" * 160) == dialect.receive(b"\2" * 160) == ()
    start, early = dialect.receive(START_WORDS)
    assert isinstance(start, Started)
    assert early == Media(b"\1" * 160 + b"\2" * 160)


def test_audio_without_a_start_is_not_kept_for_ever():
    dialect = AsteriskDialect({})
    kept = [dialect.receive(bytes(8_000)) for _ in range(9)]
    assert kept[-1] == (Refused("too much audio before start"),)
    assert sum(len(event.audio) for event in dialect.receive(START_WORDS)[1:]) == 64_000


def test_commands_are_spelt_as_the_start_was():
    json_side, words_side = started(), started(START_WORDS)
    for command, name in [(ClearAudio(), "FLUSH_MEDIA"), (Answer(), "ANSWER"), (HangUp(), "HANGUP")]:
        assert words_side.send(command) == (name,)
        assert json.loads(json_side.send(command)[0]) == {"command": name}
    assert words_side.send(SetMark("0.7")) == ("MARK_MEDIA 0.7",)
    assert json.loads(json_side.send(SetMark("0.7"))[0]) == {"command": "MARK_MEDIA", "correlation_id": "0.7"}


def test_nothing_is_said_before_the_start():
    assert AsteriskDialect({}).send(ClearAudio()) == ()


@given(st.sampled_from(["ulaw", "slin", "slin16"]), st.sampled_from([10, 20, 60]), st.integers(1, 60))
def test_audio_goes_out_whole_in_messages_of_whole_frames(name, frame_ms, frames):
    frame_bytes = {"ulaw": 8, "slin": 16, "slin16": 32}[name] * frame_ms
    dialect = started(start_with(format=name, optimal_frame_size=frame_bytes, ptime=frame_ms))
    audio = random.Random(frames).randbytes(frames * frame_bytes)  # noqa: S311 - the same sound every time
    messages = dialect.send(PlayAudio(audio))
    assert b"".join(messages) == audio
    assert all(len(m) <= MAX_AUDIO_BYTES and len(m) % frame_bytes == 0 for m in messages)


@pytest.mark.parametrize("start", [START_JSON, START_WORDS])
def test_the_longest_mark_there_can_be_is_still_short_enough(start):
    ledger = PlayoutLedger(bytes_per_ms=8)
    name = ledger.end_line(0)
    assert len(name) < 10
    (command,) = started(start).send(SetMark("9" * 9 + "." + "9" * 9))
    assert len(command.encode()) <= MAX_COMMAND_BYTES


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just("ulaw"),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
keys = st.sampled_from(["event", "connection_id", "channel_id", "format", "optimal_frame_size", "ptime", "digit"])
names = st.sampled_from(["MEDIA_START", "MEDIA_MARK_PROCESSED", "DTMF_END", "MEDIA_XOFF", "STATUS", "ERROR", "x"])


@given(names, st.dictionaries(keys, json_values, max_size=6), st.booleans())
def test_messages_of_any_shape_give_exactly_one_event_and_never_raise(event, body, after_start):
    dialect = started() if after_start else AsteriskDialect({})
    assert len(dialect.receive(json.dumps(body | {"event": event}))) == 1
    assert len(dialect.receive(" ".join([event, *(f"{key}:{value}" for key, value in body.items())]))) == 1


@settings(max_examples=300)
@given(st.text())
def test_noise_is_refused(noise):
    event = one(started(), noise)
    assert isinstance(event, Refused) or noise.split()[0].startswith(("MEDIA_", "ERROR", "STATUS", "QUEUE_", "DTMF"))


def mutated(message: str, rng: random.Random) -> str:
    at = rng.randrange(len(message))
    change = rng.randrange(4)
    if change == 0:
        return message[:at]
    if change == 1:
        return message[:at] + rng.choice('{}[]",:\\u0000NaN-1e9\ud800\x00é') + message[at + 1 :]
    if change == 2:
        return message[:at] + message[at:] * 2
    return message[:at] + message[rng.randrange(at, len(message)) :]


def test_twenty_thousand_damaged_messages_do_no_harm():
    rng = random.Random(7)  # noqa: S311  the same damage every time
    dialect = started()
    for _ in range(20_000):
        (event,) = dialect.receive(mutated(rng.choice(GOOD), rng))
        assert not isinstance(event, Started)
    assert one(dialect, bytes(160)) == Media(bytes(160))
