"""The browser: a softphone on a web page, with samples as binary messages and everything else as JSON.

The protocol is our own and described in `docs/telephony.md`. The page plays what it is sent in the order it came,
sends a mark back when everything before it has been played, and on a `clear` forgets audio and marks alike.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import assert_never, cast

from voiceagent.ports import AudioFormat, LegFeatures
from voiceagent.telephony.codec import (
    Answer,
    ClearAudio,
    Command,
    Digit,
    HangUp,
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
from voiceagent.telephony.wire_json import DIGITS, as_number, as_parameters, as_text, is_id, read_object

__all__ = ["BROWSER_FEATURES", "BROWSER_RATES_HZ", "BrowserDialect"]

BROWSER_FEATURES = LegFeatures(
    dialect="browser",
    clear=True,
    marks=True,
    marks_return_on_clear=False,
    digits_out="no",
    transfer="no",
    hang_up="close",
    digits_in="in_band",
    position="marks",
    stop_reason=False,
)

BROWSER_RATES_HZ = (8_000, 16_000, 24_000, 48_000)

_BUFFER_MS = 60_000
_MAX_MEDIA_MS = 500


class BrowserDialect:
    """The codec of one page's connection."""

    __slots__ = ("_audio",)

    def __init__(self) -> None:
        self._audio: AudioFormat | None = None

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return BROWSER_FEATURES

    @property
    def buffer_ms(self) -> int:
        """A minute."""
        return _BUFFER_MS

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return the one event of a message."""
        if isinstance(message, bytes):
            return (self._media(message),)
        fields = read_object(message)
        return (fields if isinstance(fields, Refused) else self._control(fields),)

    def _media(self, samples: bytes) -> WireEvent:
        if self._audio is None:
            return Refused("before start")
        if not samples:
            return Refused("audio is empty")
        if len(samples) % 2:
            return Refused("half a sample")
        if len(samples) > _MAX_MEDIA_MS * self._audio.bytes_per_ms:
            return Refused("audio too long")
        return Media(samples)

    def _control(self, fields: Mapping[str, object]) -> WireEvent:
        kind = fields.get("type")
        if kind == "start":
            return self._start(fields)
        if kind not in ("mark", "digit", "stop"):
            return Refused("unknown type")
        if self._audio is None:
            return Refused("before start")
        if kind == "stop":
            return Stopped("caller hung up")
        if kind == "mark":
            name = fields.get("name")
            return Mark(name) if isinstance(name, str) else Refused("mark without name")
        digit = fields.get("digit")
        return Digit(digit) if isinstance(digit, str) and digit in DIGITS else Refused("not a digit")

    def _start(self, fields: Mapping[str, object]) -> WireEvent:
        if self._audio is not None:
            return Refused("second start")
        call, rate_hz = fields.get("call"), as_number(fields.get("rate_hz"))
        if not is_id(call):
            return Refused("start without ids", fatal=True)
        if rate_hz is None or rate_hz not in BROWSER_RATES_HZ:
            return Refused("audio format not agreed", fatal=True)
        self._audio = AudioFormat("pcm16", rate_hz)
        return Started(
            stream=cast("str", call),
            call=cast("str", call),
            caller=as_text(fields.get("caller")),
            called=None,
            parameters=as_parameters(fields.get("parameters")),
            audio_in=self._audio,
            audio_out=self._audio,
        )

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> Sequence[str | bytes]:
        """Return the message of a command; nothing before the page has said what it plays."""
        if self._audio is None:
            return ()
        match command:
            case PlayAudio(audio):
                return (audio,)
            case SetMark(name):
                return (json.dumps({"type": "mark", "name": name}),)
            case ClearAudio():
                return ('{"type":"clear"}',)
            case Answer() | HangUp():  # the page has nothing that rings, and closing the socket ends the call
                return ()
            case SendDigits():  # behind a page there is nobody who would hear keys
                return ()
        assert_never(command)
