"""Telnyx media streaming: a telephone call as JSON messages in which the two directions may be coded differently.

Facts from Telnyx's documentation (`media-streaming`, `streaming_start`) and the types of its SDK: what comes in is what
`stream_codec` asked for, or what the telephone network has chosen, where that cannot be made of it;
`start.media_format` names it. What goes out is what `stream_bidirectional_codec` asked for, raw, without RTP headers,
in pieces of 20 ms to 30 s. Media may come in any order: `chunk` and `timestamp` put it right. Nobody has said whether a
clear sends pending marks back; the row takes it that it may. Closing the socket ends the stream and not the call.
"""

from __future__ import annotations

import json
import re
from binascii import b2a_base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, assert_never, cast

from voiceagent.audio import ALAW_SILENCE, FRAME_MS, MULAW_SILENCE, pad_to_multiple
from voiceagent.ports import MULAW_8K, AudioFormat, LegFeatures
from voiceagent.telephony.byte_order import ByteOrder, L16Order
from voiceagent.telephony.codec import (
    Answer,
    ClearAudio,
    Command,
    Digit,
    HangUp,
    Ignored,
    Mark,
    Media,
    Place,
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

__all__ = ["TELNYX_FEATURES", "TELNYX_RATES_HZ", "TelnyxCodec", "TelnyxDialect", "telnyx_audio"]

TELNYX_FEATURES = LegFeatures(
    dialect="telnyx",
    clear=True,
    marks=True,
    marks_return_on_clear=True,
    digits_out="rest",
    key_ms=350,  # `duration_millis` of `send_dtmf` is 250 if it is not said; of the pause no document says anything
    transfer="rest",
    hang_up="rest",
    digits_in="in_band",
    position="marks",
    stop_reason=False,
    announce="rest",
    record="rest",
)

TelnyxCodec = Literal["PCMU", "PCMA", "L16"]
TELNYX_RATES_HZ = (8_000, 16_000, 24_000, 48_000)
"""Of L16, as far as a millisecond of it has a whole number of samples."""

_BUFFER_MS = 600_000  # nobody has named a limit
_MAX_MEDIA_MS = 1_000
_CALL = re.compile(r"[A-Za-z0-9:._=+-]{1,256}")


def telnyx_audio(codec: object, rate_hz: int | None) -> AudioFormat | None:
    """Return the audio that a codec's name and rate mean; None for what is not spoken here."""
    match codec:
        case "PCMU" if rate_hz == MULAW_8K.rate_hz:
            return MULAW_8K
        case "PCMA" if rate_hz == MULAW_8K.rate_hz:
            return AudioFormat("alaw", MULAW_8K.rate_hz)
        case "L16" if rate_hz in TELNYX_RATES_HZ:
            return AudioFormat("pcm16", rate_hz)
        case _:
            return None


@dataclass(frozen=True, slots=True)
class _Open:
    stream: str
    audio_in: AudioFormat

    @property
    def most_bytes(self) -> int:
        return _MAX_MEDIA_MS * self.audio_in.bytes_per_ms


class TelnyxDialect:
    """The codec of one media stream."""

    __slots__ = ("_audio_out", "_numbered", "_open", "_order", "_shape", "_silence")

    def __init__(self, audio_out: AudioFormat = MULAW_8K, *, l16_order: L16Order = "measured") -> None:
        """`audio_out` is what our answer to the call has asked for."""
        self._audio_out = audio_out
        self._silence = {"mulaw": MULAW_SILENCE, "alaw": ALAW_SILENCE, "pcm16": 0}[audio_out.encoding]
        self._order = ByteOrder(l16_order)
        self._shape = MediaShape(stream="stream_id", sequence="sequence_number")
        self._open: _Open | None = None
        self._numbered: bool | None = None
        """Whether audio is put in order by its numbers: by them or by its times, whichever the first piece has."""

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return TELNYX_FEATURES

    @property
    def buffer_ms(self) -> int:
        """More than anybody is ahead."""
        return _BUFFER_MS

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return what a message says; never raises."""
        if isinstance(message, bytes):
            return (Refused("binary message"),)
        by_shape = self._by_shape(message, self._open) if self._open is not None else None
        return by_shape or self._parsed(message)

    def _by_shape(self, message: str, leg: _Open) -> Sequence[Media | Refused] | None:
        """Return what a message of the known shape says; None where the parser has to decide."""
        slots = self._shape.read(message)
        if slots is None:
            return None
        payload, stream, chunk, timestamp = slots
        audio = decoded(payload, most_bytes=leg.most_bytes)
        if isinstance(audio, Refused) or (stream and stream != leg.stream):
            return None
        return self._heard(audio, leg, int(chunk) if chunk else None, int(timestamp) if timestamp else None)

    def _parsed(self, message: str) -> Sequence[WireEvent]:
        fields = read_object(message)
        if isinstance(fields, Refused):
            return (fields,)
        event = fields.get("event")
        match event:
            case "start":
                return (self._start(fields),)
            case "connected":
                return (Ignored("connected"),)
            case "error":
                return (Ignored("error of the carrier's"),)
            case "media" | "mark" | "dtmf" | "stop":
                return self._read(str(event), fields, message)
            case _:
                return (Refused("unknown event"),)

    def _read(self, event: str, fields: Mapping[str, object], message: str) -> Sequence[WireEvent]:
        leg = self._open
        if leg is None:
            return (Refused("before start"),)
        if fields.get("stream_id", leg.stream) != leg.stream:
            return (Refused("another stream"),)
        if event == "media":
            heard = self._media(as_mapping(fields.get("media")), leg)
            if isinstance(heard[0], Media):
                self._shape.learn(message, fields)
            return heard
        if event == "stop":
            return (Stopped("caller hung up"),)
        if event == "mark":
            name = (as_mapping(fields.get("mark")) or {}).get("name")
            return (Mark(name) if isinstance(name, str) else Refused("mark without name"),)
        digit = (as_mapping(fields.get("dtmf")) or {}).get("digit")
        return (Digit(digit) if isinstance(digit, str) and digit in DIGITS else Refused("not a digit"),)

    def _media(self, media: Mapping[str, object] | None, leg: _Open) -> Sequence[WireEvent]:
        if media is None:
            return (Refused("media without body"),)
        if media.get("track", "inbound") not in ("inbound", "inbound_track"):
            return (Ignored("our own audio"),)
        audio = read_payload(media, most_bytes=leg.most_bytes)
        if isinstance(audio, Refused):
            return (audio,)
        return self._heard(audio, leg, as_number(media.get("chunk")), as_number(media.get("timestamp")))

    def _heard(
        self, sent: bytes, leg: _Open, number: int | None, timestamp_ms: int | None
    ) -> Sequence[Media | Refused]:
        audio = read_samples(sent, self._order) if leg.audio_in.encoding == "pcm16" else sent
        if isinstance(audio, Refused):
            return (audio,)
        if self._numbered is None:
            self._numbered = number is not None
        if self._numbered:
            place = Place(number) if number is not None else None
        else:
            length_ms = max(1, len(audio) // leg.audio_in.bytes_per_ms)
            place = Place(timestamp_ms, length_ms) if timestamp_ms is not None else None
        return (Media(audio, place),)

    def _start(self, fields: Mapping[str, object]) -> WireEvent:
        if self._open is not None:
            return Refused("second start")
        start = as_mapping(fields.get("start"))
        if start is None:
            return Refused("start without body", fatal=True)
        stream, call = fields.get("stream_id", start.get("stream_id")), start.get("call_control_id")
        if not is_id(stream) or not isinstance(call, str) or not _CALL.fullmatch(call):
            return Refused("start without ids", fatal=True)
        media_format = as_mapping(start.get("media_format")) or {}
        audio_in = telnyx_audio(media_format.get("encoding"), as_number(media_format.get("sample_rate")))
        if audio_in is None or as_number(media_format.get("channels", 1)) != 1:
            return Refused("audio format not agreed", fatal=True)
        self._open = _Open(cast("str", stream), audio_in)
        return Started(
            stream=self._open.stream,
            call=call,
            caller=as_text(start.get("from")),
            called=as_text(start.get("to")),
            parameters=as_parameters(start.get("custom_parameters")),
            audio_in=audio_in,
            audio_out=self._audio_out,
        )

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> Sequence[str]:
        """Return the message of a command; nothing before the stream has begun."""
        if self._open is None:
            return ()
        match command:
            case PlayAudio(audio):
                # A piece shorter than a frame is played in no defined way.
                whole = pad_to_multiple(audio, FRAME_MS * self._audio_out.bytes_per_ms, silence=self._silence)
                if self._audio_out.encoding == "pcm16":
                    whole = self._order.outgoing(whole)
                payload = b2a_base64(whole, newline=False).decode("ascii")
                return (f'{{"event":"media","media":{{"payload":"{payload}"}}}}',)
            case SetMark(name):
                return (json.dumps({"event": "mark", "mark": {"name": name}}),)
            case ClearAudio():
                return ('{"event":"clear"}',)
            case Answer() | HangUp():  # REST commands as well
                return ()
            case SendDigits():  # there is a REST command for it
                return ()
        assert_never(command)
