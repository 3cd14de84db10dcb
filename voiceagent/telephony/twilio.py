"""Twilio Media Streams: a telephone call as JSON messages on a WebSocket.

Facts from Twilio's documentation (`voice/media-streams/websocket-messages`, errors 31924, 31930, 31931): sequence
numbers, chunks and timestamps are strings, sample rate and channels are numbers; `dtmf.track` is `inbound_track` where
`media.track` is `inbound`; a `clear` sends pending marks back as if they had been played; any other outbound event is a
protocol error. Relatives of the dialect leave fields out (the track, the stream's id), add `from` and `to`, or differ
as a `TwilioVariant` says.
"""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import assert_never, cast

from voiceagent.ports import MULAW_8K, AudioFormat, LegFeatures
from voiceagent.telephony.byte_order import ByteOrder
from voiceagent.telephony.codec import (
    Answer,
    ClearAudio,
    Command,
    Digit,
    HangUp,
    Ignored,
    Mark,
    Media,
    PlayAudio,
    Refused,
    SendDigits,
    SetMark,
    Started,
    Stopped,
    WireEvent,
)
from voiceagent.telephony.media_shape import MediaShape
from voiceagent.telephony.wire_json import (
    DIGITS,
    MAX_MESSAGE_CHARS,
    as_mapping,
    as_number,
    as_parameters,
    as_text,
    decoded,
    is_id,
    read_object,
    read_payload,
    read_samples,
)

__all__ = ["MAX_MEDIA_MS", "MAX_MESSAGE_CHARS", "TWILIO", "TWILIO_FEATURES", "TwilioDialect", "TwilioVariant"]

MAX_MEDIA_MS = 1_000
"""Audio in one message; Twilio sends 20 ms."""

TWILIO_FEATURES = LegFeatures(
    dialect="twilio",
    clear=True,
    marks=True,
    marks_return_on_clear=True,
    digits_out="no",
    transfer="redirect",
    hang_up="close",
    digits_in="in_band",
    position="marks",
    stop_reason=False,
    announce="redirect",
    record="rest",
)

_BUFFER_MS = 600_000  # more than ten minutes: warning 31931, and the audio is discarded


@dataclass(frozen=True, slots=True)
class TwilioVariant:
    """In what a relative of the dialect differs."""

    features: LegFeatures
    l16_rates_hz: frozenset[int] = frozenset()
    """Rates at which it may carry 16-bit samples instead of µ-law."""
    ignores_the_unknown: bool = False
    """It passes over messages that it does not know, and so are its own passed over: nobody is at fault."""


TWILIO = TwilioVariant(TWILIO_FEATURES)


class TwilioDialect:
    """The codec of one media stream."""

    __slots__ = ("_audio", "_clear", "_media_head", "_most_bytes", "_order", "_shape", "_stream", "_variant")

    def __init__(self, variant: TwilioVariant = TWILIO, *, l16_order: ByteOrder | None = None) -> None:
        self._variant = variant
        self._order = l16_order or ByteOrder("measured")
        self._audio = MULAW_8K
        self._most_bytes = 0
        self._shape = MediaShape(stream="streamSid", sequence="sequenceNumber")
        self._stream = ""
        self._media_head = ""
        self._clear = ""

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return self._variant.features

    @property
    def buffer_ms(self) -> int:
        """Ten minutes."""
        return _BUFFER_MS

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return the one event of a message."""
        if isinstance(message, bytes):
            return (self._unknown("binary message"),)
        return (self._by_shape(message) or self._parsed(message),)

    def _by_shape(self, message: str) -> Media | Refused | None:
        """Return what a message of the known shape says; None where the parser has to decide."""
        slots = self._shape.read(message)
        if slots is None:
            return None
        payload, stream, _, _ = slots
        audio = decoded(payload, most_bytes=self._most_bytes)
        if isinstance(audio, Refused) or (stream and stream != self._stream):
            return None
        return self._heard(audio)

    def _parsed(self, message: str) -> WireEvent:
        fields = read_object(message)
        if isinstance(fields, Refused):
            return fields
        match fields.get("event"):
            case "media":
                heard = self._media(fields)
                if isinstance(heard, Media):
                    self._shape.learn(message, fields)
                return heard
            case "mark":
                return self._mark(fields)
            case "dtmf":
                return self._digit(fields)
            case "start":
                return self._start(fields)
            case "stop":
                return self._stop(fields)
            case "connected":
                return Ignored("connected")
            case _:
                return self._unknown("unknown event")

    def _unknown(self, what: str) -> Ignored | Refused:
        return Ignored(what) if self._variant.ignores_the_unknown else Refused(what)

    def _media(self, fields: Mapping[str, object]) -> WireEvent:
        if (foreign := self._foreign(fields)) is not None:
            return foreign
        media = as_mapping(fields.get("media"))
        if media is None:
            return Refused("media without body")
        if media.get("track", "inbound") != "inbound":
            return Ignored("our own audio")
        audio = read_payload(media, most_bytes=self._most_bytes)
        return audio if isinstance(audio, Refused) else self._heard(audio)

    def _heard(self, audio: bytes) -> Media | Refused:
        if self._audio.encoding == "pcm16":
            samples = read_samples(audio, self._order)
            return samples if isinstance(samples, Refused) else Media(samples)
        return Media(audio)

    def _mark(self, fields: Mapping[str, object]) -> WireEvent:
        if (foreign := self._foreign(fields)) is not None:
            return foreign
        name = (as_mapping(fields.get("mark")) or {}).get("name")
        return Mark(name) if isinstance(name, str) else Refused("mark without name")

    def _digit(self, fields: Mapping[str, object]) -> WireEvent:
        if (foreign := self._foreign(fields)) is not None:
            return foreign
        digit = (as_mapping(fields.get("dtmf")) or {}).get("digit")
        return Digit(digit) if isinstance(digit, str) and digit in DIGITS else Refused("not a digit")

    def _stop(self, fields: Mapping[str, object]) -> WireEvent:
        return self._foreign(fields) or Stopped("caller hung up")

    def _foreign(self, fields: Mapping[str, object]) -> Refused | None:
        """Return a refusal for what comes before a start or belongs to another stream."""
        if not self._stream:
            return Refused("before start")
        if fields.get("streamSid", self._stream) != self._stream:
            return Refused("another stream")
        return None

    def _start(self, fields: Mapping[str, object]) -> WireEvent:
        if self._stream:
            return Refused("second start")
        start = as_mapping(fields.get("start"))
        if start is None:
            return Refused("start without body", fatal=True)
        stream = start.get("streamSid", fields.get("streamSid"))
        call = start.get("callSid")
        if not is_id(stream) or not is_id(call) or fields.get("streamSid", stream) != stream:
            return Refused("start without ids", fatal=True)
        audio = self._agreed(as_mapping(start.get("mediaFormat")) or {})
        if audio is None:
            return Refused("audio format not agreed", fatal=True)
        self._open(cast("str", stream), audio)
        return Started(
            stream=cast("str", stream),
            call=cast("str", call),
            caller=as_text(start.get("from")),
            called=as_text(start.get("to")),
            parameters=as_parameters(start.get("customParameters")),
            audio_in=audio,
            audio_out=audio,
        )

    def _agreed(self, media_format: Mapping[str, object]) -> AudioFormat | None:
        rate_hz = as_number(media_format.get("sampleRate"))
        if rate_hz is None or as_number(media_format.get("channels", 1)) != 1:
            return None
        match media_format.get("encoding"):
            case "audio/x-mulaw" if rate_hz == MULAW_8K.rate_hz:
                return MULAW_8K
            case "audio/x-L16" if rate_hz in self._variant.l16_rates_hz:
                return AudioFormat("pcm16", rate_hz)
            case _:
                return None

    def _open(self, stream: str, audio: AudioFormat) -> None:
        # The id holds no character that JSON would escape.
        self._stream = stream
        self._audio = audio
        self._most_bytes = MAX_MEDIA_MS * audio.bytes_per_ms
        self._media_head = f'{{"event":"media","streamSid":"{stream}","media":{{"payload":"'
        self._clear = f'{{"event":"clear","streamSid":"{stream}"}}'

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> Sequence[str]:
        """Return the messages of a command; none before the stream has a name."""
        if not self._stream:
            return ()
        match command:
            case PlayAudio(audio):
                if self._audio.encoding == "pcm16":
                    audio = self._order.outgoing(audio)
                payload = b2a_base64(audio, newline=False).decode("ascii")
                return (f'{self._media_head}{payload}"}}}}',)
            case SetMark(name):
                return (json.dumps({"event": "mark", "streamSid": self._stream, "mark": {"name": name}}),)
            case ClearAudio():
                return (self._clear,)
            case Answer() | HangUp():  # the answer document has answered; closing the socket leads on
                return ()
            case SendDigits(digits):
                if self.features.digits_out != "in_band":
                    return ()
                return tuple(
                    json.dumps({"event": "dtmf", "streamSid": self._stream, "dtmf": {"digit": digit}})
                    for digit in digits
                )
        assert_never(command)
