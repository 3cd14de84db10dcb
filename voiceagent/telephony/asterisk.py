"""Asterisk: a telephone exchange hands us its caller on a WebSocket (the channel driver `chan_websocket`).

Facts from Asterisk's source (`channels/chan_websocket.c`) and from version 22.10.1 itself: audio is binary, control is
text, as JSON or as plain words, whichever MEDIA_START came in. A command longer than 128 bytes is ignored; audio beyond
a multiple of the frame is dropped; a flush drops marks and says nothing of them; HANGUP and the end of the socket alike
cut off what waits to be played. No audio comes while the caller's side is silent. What `v(…)` adds to the address stays
with the client, which all calls share: a call that is dialled without it, or in the same instant as another, connects
with what was said of another call. Among JSON's variables is the dial string of this very one.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import assert_never, cast

from voiceagent.ports import AudioFormat, LegFeatures
from voiceagent.telephony.codec import (
    Answer,
    BufferFree,
    BufferFull,
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
    WireEvent,
)
from voiceagent.telephony.query import query_parameters

__all__ = ["ASTERISK_FEATURES", "MAX_AUDIO_BYTES", "MAX_COMMAND_BYTES", "AsteriskDialect"]

MAX_AUDIO_BYTES = 8_000
"""In one message of ours: Asterisk reads a longer one in so many pieces that behind a proxy it gives up on it."""
MAX_COMMAND_BYTES = 128
"""What is longer is ignored there, with a line in Asterisk's own log."""
MAX_TEXT_CHARS = 65_536
"""A longer message is refused unread; MEDIA_START carries every variable of the channel."""

ASTERISK_FEATURES = LegFeatures(
    dialect="asterisk",
    clear=True,
    marks=True,
    marks_return_on_clear=False,
    digits_out="rest",
    key_ms=350,  # what `SendDTMF` takes if it is not told: a tone of 100 ms, and 250 ms until the next
    transfer="rest",
    hang_up="in_band",
    digits_in="in_band",
    position="marks",
    stop_reason=False,
    close_is_hang_up=True,
)

_BUFFER_MS = 16_000  # 800 frames: at 900 it asks for a pause, at 1000 it drops all that comes
_MAX_MEDIA_MS = 1_000
_MAX_EARLY_BYTES = 64_000
_MAX_FRAME_MS = 100
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_DIGITS = frozenset("0123456789*#ABCD")
_OPTION = re.compile(r"([A-Za-z])(?:\(([^)]*)\))?")
_FORMATS: Mapping[str, AudioFormat] = {
    "ulaw": AudioFormat("mulaw", 8_000),
    "alaw": AudioFormat("alaw", 8_000),
    "slin": AudioFormat("pcm16", 8_000),
    "slin16": AudioFormat("pcm16", 16_000),
}
"""What every ear and voice here can do; what is wider is refused rather than not understood in the call."""
_UNINTERESTING = frozenset({"STATUS", "QUEUE_DRAINED", "MEDIA_BUFFERING_COMPLETED"})


class AsteriskDialect:
    """The codec of one channel.

    `parameters` is what the dial plan says of the call, `call`, `caller` and `called`, unless its start knows better.
    """

    __slots__ = ("_audio", "_early", "_frame_bytes", "_in_json", "_parameters")

    def __init__(self, parameters: Mapping[str, str]) -> None:
        self._parameters = parameters
        self._audio: AudioFormat | None = None
        self._early = bytearray()
        """Audio that came before MEDIA_START, which a busy Asterisk sends late."""
        self._in_json = False
        self._frame_bytes = 0

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return ASTERISK_FEATURES

    @property
    def buffer_ms(self) -> int:
        """Sixteen seconds."""
        return _BUFFER_MS

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return what a message says; the start brings the audio that came before it."""
        if isinstance(message, bytes):
            return self._media(message)
        if len(message) > MAX_TEXT_CHARS:
            return (Refused("message too long"),)
        in_json = message.lstrip()[:1] in {"{", "["}
        fields = _from_json(message) if in_json else _from_words(message)
        if isinstance(fields, Refused):
            return (fields,)
        if fields.get("event") == "MEDIA_START":
            return self._start(fields, in_json=in_json)
        return (self._event(fields),)

    def _media(self, audio: bytes) -> Sequence[WireEvent]:
        if self._audio is None:
            if len(self._early) + len(audio) > _MAX_EARLY_BYTES:
                return (Refused("too much audio before start"),)
            self._early += audio
            return ()
        if not 0 < len(audio) <= _MAX_MEDIA_MS * self._audio.bytes_per_ms:
            return (Refused("payload too long" if audio else "payload is empty"),)
        whole = len(audio) - len(audio) % self._audio.sample_bytes
        return (Media(audio[:whole]),) if whole else (Refused("half a sample"),)

    def _start(self, fields: Mapping[str, object], *, in_json: bool) -> Sequence[WireEvent]:
        if self._audio is not None:
            return (Refused("second start"),)
        stream, channel = fields.get("connection_id"), fields.get("channel_id")
        if not _is_id(stream) or not _is_id(channel):
            return (Refused("start without ids", fatal=True),)
        audio = _FORMATS.get(str(fields.get("format")))
        frame_ms = _frame_ms(fields, audio)
        if audio is None or frame_ms is None:
            return (Refused("audio format not agreed", fatal=True),)
        self._audio, self._in_json, self._frame_bytes = audio, in_json, frame_ms * audio.bytes_per_ms
        said = _said_in_dial(fields, self._parameters)
        call = said.get("call")
        started = Started(
            stream=cast("str", stream),
            call=cast("str", call if _is_id(call) else channel),
            caller=said.get("caller") or None,
            called=said.get("called") or None,
            parameters=said,
            audio_in=audio,
            audio_out=audio,
            frame_ms=frame_ms,
        )
        of_another = () if said == self._parameters else (Ignored("query of another call"),)
        return (started, *of_another, *self._came_early(audio))

    def _came_early(self, audio: AudioFormat) -> Sequence[WireEvent]:
        early, self._early = bytes(self._early), bytearray()
        step = _MAX_MEDIA_MS * audio.bytes_per_ms
        return tuple(event for at in range(0, len(early), step) for event in self._media(early[at : at + step]))

    def _event(self, fields: Mapping[str, object]) -> WireEvent:
        event = fields.get("event")
        if self._audio is None:
            return Refused("before start")
        match event:
            case "MEDIA_MARK_PROCESSED":
                name = fields.get("correlation_id")
                return Mark(name) if isinstance(name, str) and name else Refused("mark without name")
            case "DTMF_END":
                digit = fields.get("digit")
                return Digit(digit) if isinstance(digit, str) and digit in _DIGITS else Refused("not a digit")
            case "MEDIA_XOFF":
                return BufferFull()
            case "MEDIA_XON":
                return BufferFree()
            case "ERROR":
                return Ignored("error reported")
            case str() if event in _UNINTERESTING:
                return Ignored(event)
            case _:
                return Refused("unknown event")

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Return the messages of a command; nothing before the start, whose spelling tells ours."""
        if self._audio is None:
            return ()
        match command:
            case PlayAudio(audio):
                step = MAX_AUDIO_BYTES // self._frame_bytes * self._frame_bytes
                return tuple(audio[at : at + step] for at in range(0, len(audio), step))
            case SetMark(name):
                return self._command("MARK_MEDIA", name)
            case ClearAudio():
                return self._command("FLUSH_MEDIA")
            case Answer():
                return self._command("ANSWER")
            case HangUp():
                return self._command("HANGUP")
            case SendDigits():  # there is no command for it: ARI has
                return ()
        assert_never(command)

    def _command(self, command: str, name: str = "") -> Sequence[str]:
        if not self._in_json:
            return (f"{command} {name}".rstrip(),)
        return (json.dumps({"command": command, "correlation_id": name} if name else {"command": command}),)


# --- control messages ------------------------------------------------------------------------------------------------


def _from_json(message: str) -> Mapping[str, object] | Refused:
    try:
        parsed: object = json.loads(message)
    except (ValueError, RecursionError):  # brackets 10^5 deep end in the second
        return Refused("not JSON")
    return cast("Mapping[str, object]", parsed) if isinstance(parsed, dict) else Refused("not an object")


def _from_words(message: str) -> Mapping[str, object] | Refused:
    """Read `EVENT key:value key:value`; a word without a key is the name of a mark."""
    words = message.split()
    if not words:
        return Refused("empty message")
    fields: dict[str, object] = {"event": words[0]}
    for word in words[1:]:
        key, colon, value = word.partition(":")
        fields[key if colon else "correlation_id"] = value if colon else word
    return fields


def _said_in_dial(start: Mapping[str, object], in_query: Mapping[str, str]) -> Mapping[str, str]:
    """Return what the dial string says of this call; the query where it is not known, or where we have connected."""
    variables = start.get("channel_variables")
    dialled = cast("Mapping[str, object]", variables).get("DIALEDPEERNUMBER") if isinstance(variables, dict) else None
    if not isinstance(dialled, str):
        return in_query
    client, _, options = dialled.partition("/")
    if client.upper() == "INCOMING":
        return in_query
    said = [argument for letter, argument in _OPTION.findall(options) if letter == "v"]
    return (query_parameters(said[0].replace(",", "&")) if len(said) == 1 else None) or {}


def _is_id(value: object) -> bool:
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def _frame_ms(fields: Mapping[str, object], audio: AudioFormat | None) -> int | None:
    """Return how long a frame is; None where its length in bytes says otherwise (a compressed format has none)."""
    frame_ms, frame_bytes = _number(fields.get("ptime")), _number(fields.get("optimal_frame_size"))
    if audio is None or frame_ms is None or not 0 < frame_ms <= _MAX_FRAME_MS:
        return None
    return frame_ms if frame_bytes == frame_ms * audio.bytes_per_ms else None


def _number(value: object) -> int | None:
    """Return a number that came as one or, among words, as digits."""
    if isinstance(value, str) and len(value) <= 9 and value.isascii() and value.isdecimal():
        return int(value)
    return value if isinstance(value, int) and not isinstance(value, bool) else None
