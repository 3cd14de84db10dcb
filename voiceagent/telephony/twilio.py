"""Twilio Media Streams: a telephone call as JSON messages on a WebSocket.

Facts from Twilio's documentation (`voice/media-streams/websocket-messages`, errors 31924, 31930, 31931): sequence
numbers, chunks and timestamps are strings, sample rate and channels are numbers; `dtmf.track` is `inbound_track` where
`media.track` is `inbound`; a `clear` sends pending marks back as if they had been played; any other outbound event is a
protocol error. Relatives of the dialect leave fields out (the track, the stream's id) or add `from` and `to`.
"""

from __future__ import annotations

import json
import re
from binascii import a2b_base64, b2a_base64
from collections.abc import Mapping, Sequence
from typing import NoReturn, assert_never, cast

from voiceagent.ports import MULAW_8K, LegFeatures
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
    SetMark,
    Started,
    Stopped,
    WireEvent,
)

__all__ = ["MAX_MEDIA_MS", "MAX_MESSAGE_CHARS", "TWILIO_FEATURES", "TwilioDialect"]

MAX_MESSAGE_CHARS = 65_536
"""A longer message is refused unread; a frame of the caller's takes about 300."""
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
)

_BUFFER_MS = 600_000  # more than ten minutes: warning 31931, and the audio is discarded
_MAX_MEDIA_BYTES = MAX_MEDIA_MS * MULAW_8K.bytes_per_ms
_MAX_PARAMETERS = 64
_MAX_PARAMETER_CHARS = 1_024
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_DIGITS = frozenset("0123456789*#ABCD")


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(constant)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)  # NaN and Infinity are not JSON


class TwilioDialect:
    """The codec of one media stream."""

    __slots__ = ("_clear", "_media_head", "_stream")

    def __init__(self) -> None:
        self._stream = ""
        self._media_head = ""
        self._clear = ""

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return TWILIO_FEATURES

    @property
    def buffer_ms(self) -> int:
        """Ten minutes."""
        return _BUFFER_MS

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return the one event of a message."""
        return (self._read(message),)

    def _read(self, message: str | bytes) -> WireEvent:
        if isinstance(message, bytes):
            return Refused("binary message")
        if len(message) > MAX_MESSAGE_CHARS:
            return Refused("message too long")
        try:
            parsed: object = _DECODER.decode(message)
        except (ValueError, RecursionError):  # brackets 10^5 deep end in the second
            return Refused("not JSON")
        fields = _mapping(parsed)
        if fields is None:
            return Refused("not an object")
        match fields.get("event"):
            case "media":
                return self._media(fields)
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
                return Refused("unknown event")

    def _media(self, fields: Mapping[str, object]) -> WireEvent:
        if (foreign := self._foreign(fields)) is not None:
            return foreign
        media = _mapping(fields.get("media"))
        if media is None:
            return Refused("media without body")
        if media.get("track", "inbound") != "inbound":
            return Ignored("our own audio")
        payload = media.get("payload")
        if not isinstance(payload, str):
            return Refused("media without payload")
        try:
            audio = a2b_base64(payload, strict_mode=True)
        except ValueError:
            return Refused("payload is not base64")
        if not 0 < len(audio) <= _MAX_MEDIA_BYTES:
            return Refused("payload too long" if audio else "payload is empty")
        return Media(audio, _milliseconds(media.get("timestamp")))

    def _mark(self, fields: Mapping[str, object]) -> WireEvent:
        if (foreign := self._foreign(fields)) is not None:
            return foreign
        name = (_mapping(fields.get("mark")) or {}).get("name")
        return Mark(name) if isinstance(name, str) else Refused("mark without name")

    def _digit(self, fields: Mapping[str, object]) -> WireEvent:
        if (foreign := self._foreign(fields)) is not None:
            return foreign
        digit = (_mapping(fields.get("dtmf")) or {}).get("digit")
        return Digit(digit) if isinstance(digit, str) and digit in _DIGITS else Refused("not a digit")

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
        start = _mapping(fields.get("start"))
        if start is None:
            return Refused("start without body", fatal=True)
        stream = start.get("streamSid", fields.get("streamSid"))
        call = start.get("callSid")
        if not _is_id(stream) or not _is_id(call) or fields.get("streamSid", stream) != stream:
            return Refused("start without ids", fatal=True)
        if not _is_mulaw_8k(_mapping(start.get("mediaFormat"))):
            return Refused("audio format not agreed", fatal=True)
        self._open(cast("str", stream))
        return Started(
            stream=cast("str", stream),
            call=cast("str", call),
            caller=_text(start.get("from")),
            called=_text(start.get("to")),
            parameters=_parameters(_mapping(start.get("customParameters"))),
            audio_in=MULAW_8K,
            audio_out=MULAW_8K,
        )

    def _open(self, stream: str) -> None:
        # The id holds no character that JSON would escape.
        self._stream = stream
        self._media_head = f'{{"event":"media","streamSid":"{stream}","media":{{"payload":"'
        self._clear = f'{{"event":"clear","streamSid":"{stream}"}}'

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> Sequence[str]:
        """Return the message of a command; nothing before the stream has a name."""
        if not self._stream:
            return ()
        match command:
            case PlayAudio(audio):
                payload = b2a_base64(audio, newline=False).decode("ascii")
                return (f'{self._media_head}{payload}"}}}}',)
            case SetMark(name):
                return (json.dumps({"event": "mark", "streamSid": self._stream, "mark": {"name": name}}),)
            case ClearAudio():
                return (self._clear,)
            case Answer() | HangUp():  # the answer document has answered; closing the socket leads on
                return ()
        assert_never(command)


# --- fields of unknown type ------------------------------------------------------------------------------------------


def _mapping(value: object) -> Mapping[str, object] | None:
    return cast("Mapping[str, object]", value) if isinstance(value, dict) else None


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _is_mulaw_8k(media_format: Mapping[str, object] | None) -> bool:
    if media_format is None:
        return False
    return (
        media_format.get("encoding") == "audio/x-mulaw"
        and _milliseconds(media_format.get("sampleRate")) == MULAW_8K.rate_hz
        and _milliseconds(media_format.get("channels", 1)) == 1
    )


def _milliseconds(value: object) -> int | None:
    """Return a number that came as one or as a string of digits; anything else is None."""
    if isinstance(value, str) and len(value) <= 15 and value.isascii() and value.isdecimal():
        return int(value)
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15:
        return value
    return None


def _text(value: object) -> str | None:
    """Return text that can be encoded again: a lone surrogate cannot, and would break whoever stores it."""
    if not isinstance(value, str) or not value or len(value) > _MAX_PARAMETER_CHARS:
        return None
    return value.encode("utf-8", "replace").decode("utf-8")


def _parameters(given: Mapping[str, object] | None) -> Mapping[str, str]:
    parameters: dict[str, str] = {}
    for name, value in list((given or {}).items())[:_MAX_PARAMETERS]:
        readable_name, readable = _text(name), _text(value)
        if readable_name is not None and readable is not None:
            parameters[readable_name] = readable
    return parameters
