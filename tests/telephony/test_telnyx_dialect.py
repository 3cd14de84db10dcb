"""Telnyx: two codecs in one call, and audio with its place."""

from __future__ import annotations

import base64
import json

import pytest

from tests.telephony.wire_examples import telnyx_media, telnyx_start
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.telephony.codec import (
    ClearAudio,
    Digit,
    Ignored,
    Place,
    PlayAudio,
    Refused,
    SendDigits,
    SetMark,
    Started,
)
from voiceagent.telephony.telnyx import TelnyxDialect

ALAW_8K = AudioFormat("alaw", 8000)


def started(audio_out=MULAW_8K, **start):
    dialect = TelnyxDialect(audio_out)
    dialect.receive(telnyx_start(**start))
    return dialect


def frame(number, **changes):
    payload = base64.b64encode(bytes([number]) * 160).decode()
    return telnyx_media(payload, **({"chunk": str(number), "timestamp": str(number * 20)} | changes))


def test_what_comes_in_is_as_the_network_has_it_and_what_goes_out_as_we_asked():
    dialect = TelnyxDialect(AudioFormat("pcm16", 16_000))
    assert dialect.receive(telnyx_start("PCMA")) == (
        Started("S1", "v3:c", "+1", "+2", {"tenant": "t1"}, ALAW_8K, AudioFormat("pcm16", 16_000)),
    )


@pytest.mark.parametrize(
    ("encoding", "rate"),
    [("G722", 8000), ("OPUS", 48000), ("AMR-WB", 16000), ("PCMU", 16000), ("L16", 22050), ("L16", None), (7, 8000)],
)
def test_audio_that_is_not_spoken_here_ends_the_connection(encoding, rate):
    assert TelnyxDialect().receive(telnyx_start(encoding, rate)) == (Refused("audio format not agreed", fatal=True),)


@pytest.mark.parametrize("call", ["", "v3 c", "../x\n", None, 7, "x" * 300])
def test_a_call_without_a_name_ends_the_connection(call):
    assert TelnyxDialect().receive(telnyx_start(call_control_id=call)) == (Refused("start without ids", fatal=True),)


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ({}, Place(7)),
        ({"chunk": None, "timestamp": "60"}, Place(60, 20)),
        ({"chunk": None, "timestamp": None}, None),
    ],
)
def test_audio_has_its_place_by_its_number_or_else_by_its_time(named, place):
    (heard,) = started().receive(frame(7, **named))
    assert heard.place == place


def test_times_and_numbers_are_not_mixed():
    dialect = started()
    (_,) = dialect.receive(frame(7))
    (heard,) = dialect.receive(frame(8, chunk=None))
    assert heard.place is None


def test_commands_carry_no_ids_and_a_short_tail_is_filled_up():
    dialect = started(ALAW_8K)
    sent = [json.loads(m) for c in (PlayAudio(b"\x11" * 250), SetMark("0.1"), ClearAudio()) for m in dialect.send(c)]
    assert base64.b64decode(sent[0]["media"]["payload"]) == b"\x11" * 250 + b"\xd5" * 70
    assert sent[0] == {"event": "media", "media": {"payload": sent[0]["media"]["payload"]}}
    assert sent[1:] == [{"event": "mark", "mark": {"name": "0.1"}}, {"event": "clear"}]
    assert dialect.send(SendDigits("1")) == ()


def test_sixteen_bit_audio_goes_out_in_the_networks_order():
    dialect = started(AudioFormat("pcm16", 8_000))
    (message,) = dialect.send(PlayAudio(b"\x01\x02" * 160))
    assert base64.b64decode(json.loads(message)["media"]["payload"]) == b"\x02\x01" * 160


def test_another_stream_is_refused_and_an_error_is_passed_over():
    dialect = started()
    assert dialect.receive(telnyx_media().replace("S1", "S2")) == (Refused("another stream"),)
    assert dialect.receive('{"event":"error","payload":{"code":7}}') == (Ignored("error of the carrier's"),)
    assert dialect.receive('{"event":"dtmf","stream_id":"S1","dtmf":{"digit":"1"}}') == (Digit("1"),)
