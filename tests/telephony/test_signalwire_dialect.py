"""SignalWire and other relatives of Twilio's: what they do differently."""

from __future__ import annotations

import base64
import json

import pytest

from tests.telephony.wire_examples import EXAMPLES, twilio_start
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.telephony.codec import Digit, Ignored, Media, PlayAudio, Refused, SendDigits, Stopped
from voiceagent.telephony.signalwire import signalwire_dialect
from voiceagent.telephony.twilio import TwilioDialect

VOICE = b"".join((1_000 * sign).to_bytes(2, "little", signed=True) * 8 for sign in (1, -1)) * 10


def swapped(audio):
    return b"".join(audio[at : at + 2][::-1] for at in range(0, len(audio), 2))


def media(audio):
    return json.dumps({"event": "media", "media": {"payload": base64.b64encode(audio).decode()}})


def started(rate=16_000, order="measured"):
    dialect = signalwire_dialect(order)
    dialect.receive(twilio_start("audio/x-L16", rate))
    return dialect


def payload_of(dialect, audio):
    (message,) = dialect.send(PlayAudio(audio))
    return base64.b64decode(json.loads(message)["media"]["payload"])


@pytest.mark.parametrize(
    ("encoding", "rate", "audio"),
    [
        ("audio/x-mulaw", 8000, MULAW_8K),
        ("audio/x-mulaw", "8000", MULAW_8K),
        ("audio/x-L16", 16000, AudioFormat("pcm16", 16_000)),
        ("audio/x-L16", "24000", AudioFormat("pcm16", 24_000)),
    ],
)
def test_audio_may_be_wide_band_and_numbers_may_be_text(encoding, rate, audio):
    (start,) = signalwire_dialect("measured").receive(twilio_start(encoding, rate))
    assert (start.audio_in, start.audio_out) == (audio, audio)


@pytest.mark.parametrize(
    ("encoding", "rate"), [("audio/x-L16", 8000), ("audio/x-L16", 48000), ("audio/x-mulaw", 16000)]
)
def test_audio_that_nobody_offers_ends_the_connection(encoding, rate):
    assert signalwire_dialect("measured").receive(twilio_start(encoding, rate)) == (
        Refused("audio format not agreed", fatal=True),
    )


def test_twilio_itself_has_no_wide_band_audio():
    assert TwilioDialect().receive(twilio_start("audio/x-L16", 16000)) == (
        Refused("audio format not agreed", fatal=True),
    )


def test_keys_go_out_one_by_one():
    sent = [json.loads(message) for message in started().send(SendDigits("5#"))]
    assert sent == [
        {"event": "dtmf", "streamSid": "MZ0", "dtmf": {"digit": "5"}},
        {"event": "dtmf", "streamSid": "MZ0", "dtmf": {"digit": "#"}},
    ]


def test_messages_without_the_streams_id_belong_to_the_stream():
    dialect = EXAMPLES["signalwire"].started()
    assert dialect.receive('{"event":"dtmf","streamSid":"MZ0","dtmf":{"digit":"A","duration":200}}') == (Digit("A"),)
    assert dialect.receive('{"event":"stop","sequenceNumber":"99"}') == (Stopped("caller hung up"),)


@pytest.mark.parametrize("carriers", [bytes, swapped])
def test_the_order_of_bytes_is_heard_and_spoken_as_the_carrier_does(carriers):
    dialect = started()
    assert dialect.receive(media(carriers(VOICE))) == (Media(VOICE),)
    assert payload_of(dialect, VOICE) == carriers(VOICE)


def test_until_the_caller_is_heard_the_networks_order_is_spoken():
    dialect = started()
    assert dialect.receive(media(bytes(640))) == (Media(bytes(640)),)
    assert payload_of(dialect, VOICE) == swapped(VOICE)


def test_an_order_that_was_set_is_kept_and_a_wrong_one_is_said_once():
    dialect = started(order="big")
    assert dialect.receive(media(VOICE)) == (Refused("audio sounds like the other byte order"),)
    assert dialect.receive(media(VOICE)) == (Media(swapped(VOICE)),)
    assert started(order="little").receive(media(VOICE)) == (Media(VOICE),)


def test_half_a_sample_is_refused():
    assert started().receive(media(b"\0\1\2")) == (Refused("half a sample"),)


def test_what_fonoster_passes_over_is_passed_over():
    dialect = EXAMPLES["fonoster"].started()
    assert dialect.receive('{"event":"news"}') == (Ignored("unknown event"),)
    assert dialect.receive(b"\0") == (Ignored("binary message"),)
    assert EXAMPLES["cloudonix"].started().receive(b"\0") == (Refused("binary message"),)
