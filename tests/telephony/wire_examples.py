"""Every dialect with messages as its carrier writes them: what tests and the fuzzer begin from."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from voiceagent.ports import AudioFormat
from voiceagent.telephony.asterisk import AsteriskDialect
from voiceagent.telephony.audiosocket import AudioSocketDialect
from voiceagent.telephony.browser import BrowserDialect
from voiceagent.telephony.cloudonix import cloudonix_dialect
from voiceagent.telephony.codec import Dialect
from voiceagent.telephony.detecting import DetectingDialect
from voiceagent.telephony.fonoster import fonoster_dialect
from voiceagent.telephony.signalwire import signalwire_dialect
from voiceagent.telephony.telnyx import TelnyxDialect
from voiceagent.telephony.twilio import TwilioDialect

__all__ = ["EXAMPLES", "MORE_EXAMPLES", "Example", "packet", "telnyx_media", "telnyx_start", "twilio_start"]


@dataclass(frozen=True, slots=True)
class Example:
    """One dialect's codec and its messages in the order of a call."""

    codec: Callable[[], Dialect]
    opening: Sequence[str | bytes]
    during: Sequence[str | bytes]

    def started(self) -> Dialect:
        """Return a codec whose stream has begun."""
        dialect = self.codec()
        for message in self.opening:
            dialect.receive(message)
        return dialect


def twilio_start(encoding: str = "audio/x-mulaw", rate: object = 8000, **changes: object) -> str:
    body = {
        "streamSid": "MZ0",
        "accountSid": "AC0",
        "callSid": "CA0",
        "tracks": ["inbound"],
        "mediaFormat": {"encoding": encoding, "sampleRate": rate, "channels": 1},
        "customParameters": {"tenant": "t1"},
    }
    return json.dumps({"event": "start", "sequenceNumber": "1", "streamSid": "MZ0", "start": body | changes})


def telnyx_start(encoding: object = "PCMU", rate: object = 8000, **changes: object) -> str:
    body = {
        "user_id": "u",
        "call_control_id": "v3:c",
        "from": "+1",
        "to": "+2",
        "custom_parameters": {"tenant": "t1"},
        "media_format": {"encoding": encoding, "sample_rate": rate, "channels": 1},
    }
    return json.dumps({"event": "start", "sequence_number": "1", "stream_id": "S1", "start": body | changes})


def telnyx_media(payload: str = "//8=", chunk: object = "2", timestamp: object = "20") -> str:
    media = {"track": "inbound", "chunk": chunk, "timestamp": timestamp, "payload": payload}
    fields = {name: value for name, value in media.items() if value is not None}
    return json.dumps({"event": "media", "sequence_number": "4", "stream_id": "S1", "media": fields})


def packet(kind: int, body: bytes = b"") -> bytes:
    """Return one of AudioSocket's packets."""
    return bytes([kind]) + len(body).to_bytes(2, "big") + body


_CONNECTED = '{"event":"connected","protocol":"Call","version":"1.0.0"}'
_TWILIO = (
    '{"event":"media","streamSid":"MZ0","media":{"track":"inbound","chunk":"1","timestamp":"0","payload":"//8="}}',
    '{"event":"dtmf","streamSid":"MZ0","sequenceNumber":"9","dtmf":{"track":"inbound_track","digit":"5"}}',
    '{"event":"mark","sequenceNumber":"4","streamSid":"MZ0","mark":{"name":"0.1"}}',
    '{"event":"stop","sequenceNumber":"99","streamSid":"MZ0","stop":{"accountSid":"AC0","callSid":"CA0"}}',
)
_SIGNALWIRE = (
    '{"event":"media","sequenceNumber":2,"media":{"track":"inbound","chunk":1,"timestamp":0,"payload":"AAEAAgADAAQ="}}',
    '{"event":"dtmf","streamSid":"MZ0","sequenceNumber":9,"dtmf":{"digit":"D","duration":200}}',
    '{"event":"mark","sequenceNumber":"4","streamSid":"MZ0","mark":{"name":"0.1"}}',
    '{"event":"stop","sequenceNumber":"99"}',
)
_TELNYX = (
    telnyx_media(),
    '{"event":"dtmf","stream_id":"S1","sequence_number":"7","dtmf":{"digit":"1"}}',
    '{"event":"mark","stream_id":"S1","sequence_number":"8","mark":{"name":"0.1"}}',
    '{"event":"error","payload":{"code":100002,"title":"unknown_error"},"stream_id":"S1"}',
    '{"event":"stop","sequence_number":"9","stream_id":"S1","stop":{"call_control_id":"v3:c"}}',
)
_BROWSER_START = '{"type":"start","call":"c1","rate_hz":16000,"parameters":{"tenant":"t1"}}'
_BROWSER = (
    bytes(640),
    '{"type":"digit","digit":"5"}',
    '{"type":"mark","name":"0.1"}',
    '{"type":"stop"}',
)
_ASTERISK_START = (
    '{"event":"MEDIA_START","connection_id":"bank","channel":"WebSocket/bank/0x1","channel_id":"179.2",'
    '"format":"ulaw","optimal_frame_size":160,"ptime":20,"channel_variables":{}}'
)
_ASTERISK = (
    bytes(160),
    '{"event":"DTMF_END","channel_id":"179.2","digit":"#"}',
    '{"event":"MEDIA_MARK_PROCESSED","channel_id":"179.2","correlation_id":"0.1"}',
    '{"event":"MEDIA_XOFF","channel_id":"179.2"}',
    "MEDIA_XON channel_id:179.2",
)

EXAMPLES = {
    "twilio": Example(TwilioDialect, [_CONNECTED, twilio_start()], _TWILIO),
    "signalwire": Example(
        lambda: signalwire_dialect("measured"),
        [_CONNECTED.replace("1.0.0", "0.2.0"), twilio_start("audio/x-L16", 16000)],
        _SIGNALWIRE,
    ),
    "cloudonix": Example(cloudonix_dialect, [_CONNECTED, twilio_start()], _TWILIO),
    "fonoster": Example(fonoster_dialect, [_CONNECTED, twilio_start()], _TWILIO),
    "telnyx": Example(TelnyxDialect, ['{"event":"connected","version":"1.0.0"}', telnyx_start()], _TELNYX),
    "browser": Example(BrowserDialect, [_BROWSER_START], _BROWSER),
    "asterisk": Example(lambda: AsteriskDialect({"caller": "+4930"}), [_ASTERISK_START], _ASTERISK),
}
EXAMPLES["auto"] = Example(
    lambda: DetectingDialect({name: each.codec for name, each in EXAMPLES.items() if name != "auto"}),
    EXAMPLES["telnyx"].opening,
    _TELNYX,
)

_ASTERISK_WORDS = (
    bytes(640),
    "DTMF_END channel_id:179.2 digit:#",
    "MEDIA_MARK_PROCESSED 0.1",
    "MEDIA_MARK_PROCESSED channel_id:179.2 correlation_id:0.1",
    "MEDIA_XOFF",
    "MEDIA_XON channel_id:179.2",
    "STATUS queue_length:43 xon_level:800 xoff_level:900 queue_full:false bulk_media:false media_paused:false",
)

MORE_EXAMPLES = {
    "signalwire in µ-law": Example(
        lambda: signalwire_dialect("big"), [_CONNECTED.replace("1.0.0", "0.2.0"), twilio_start()], _SIGNALWIRE
    ),
    "telnyx in L16": Example(
        lambda: TelnyxDialect(AudioFormat("pcm16", 16_000), l16_order="measured"),
        ['{"event":"connected","version":"1.0.0"}', telnyx_start("L16", 16000)],
        (telnyx_media("AAEAAgADAAQ="), *_TELNYX[1:]),
    ),
    "asterisk in words": Example(
        lambda: AsteriskDialect({}),
        ["MEDIA_START connection_id:b channel:x channel_id:1.2 format:slin16 optimal_frame_size:640 ptime:20"],
        _ASTERISK_WORDS,
    ),
    "audiosocket": Example(
        lambda: AudioSocketDialect("7f9f5d2e"),
        [packet(0x10, bytes(320))],
        (packet(0x10, b"\1\2" * 160), packet(0x03, b"5"), packet(0x12, bytes(640)), packet(0x01, bytes(16)), packet(0)),
    ),
    "auto, whatever comes": Example(
        EXAMPLES["auto"].codec,
        EXAMPLES["twilio"].opening,
        [
            message
            for name, example in EXAMPLES.items()
            if name != "asterisk"
            for message in (*example.opening, *example.during)
        ],
    ),
}
"""The same in other formats and words, and what has a port of its own: for whoever needs messages of every kind."""
