"""AudioSocket: a telephone exchange sends us its caller as packets on a plain TCP connection.

Facts from Asterisk's source (`res_audiosocket.c`, `res_audiosocket.h`) and from version 22.10.1 itself: a packet is its
kind, the length of what follows as two bytes (big-endian), and that; audio is signed 16-bit little-endian, and its kind
says the rate. The first packet is an id that the dial plan has chosen. A caller who hangs up is the end of the
connection. The exchange plays what comes the moment it comes: nothing waits there, so nothing can be taken back and no
mark set; any kind from us but audio and hanging up makes it end the call.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import assert_never
from uuid import UUID

from voiceagent.audio import FRAME_MS
from voiceagent.ports import AudioFormat, LegFeatures
from voiceagent.telephony.codec import (
    Answer,
    ClearAudio,
    Command,
    Digit,
    HangUp,
    Media,
    PlayAudio,
    Refused,
    SendDigits,
    SetMark,
    Started,
    Stopped,
    WireEvent,
)

__all__ = ["AUDIOSOCKET_FEATURES", "HEAD_BYTES", "ID_PACKET_BYTES", "AudioSocketDialect", "id_of", "length_of"]

HEAD_BYTES = 3
ID_PACKET_BYTES = HEAD_BYTES + 16

AUDIOSOCKET_FEATURES = LegFeatures(
    dialect="audiosocket",
    clear=False,
    marks=False,
    marks_return_on_clear=False,
    digits_out="no",
    transfer="no",
    hang_up="in_band",
    digits_in="in_band",
    position="clock",
    stop_reason=False,
    close_is_hang_up=True,
)

_HANG_UP, _ID, _DIGIT, _ERROR = 0x00, 0x01, 0x03, 0xFF
_RATES_HZ: Mapping[int, int] = {0x10: 8_000, 0x12: 16_000}
"""What every ear and voice here can do; there are also 12, 24, 32, 44.1, 48, 96 and 192 kHz."""
_TOO_WIDE = frozenset(range(0x11, 0x19)) - _RATES_HZ.keys()
_BUFFER_MS = 4 * FRAME_MS  # a frame that is heard and one that is ready may be under way, and as much is in the phone
_MAX_MEDIA_MS = 1_000
_DIGITS = frozenset("0123456789*#ABCD")


def length_of(head: bytes) -> int:
    """Return how many bytes follow a packet's head."""
    return int.from_bytes(head[1:HEAD_BYTES], "big")


def id_of(packet: bytes) -> UUID | None:
    """Return the id that a connection begins with; None for any other packet."""
    if len(packet) != ID_PACKET_BYTES or packet[0] != _ID or length_of(packet) != ID_PACKET_BYTES - HEAD_BYTES:
        return None
    return UUID(bytes=packet[HEAD_BYTES:])


class AudioSocketDialect:
    """The codec of one connection, after its id; a message is a packet. It starts with the caller's first audio, which
    alone says at what rate both sides speak."""

    __slots__ = ("_audio", "_call", "_kind")

    def __init__(self, call: str) -> None:
        self._call = call
        self._audio: AudioFormat | None = None
        self._kind = 0

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return AUDIOSOCKET_FEATURES

    @property
    def buffer_ms(self) -> int:
        """Four frames."""
        return _BUFFER_MS

    # --- in ----------------------------------------------------------------------------------------------------------

    def receive(self, message: str | bytes) -> Sequence[WireEvent]:
        """Return what a packet says; the first audio is the start as well."""
        if isinstance(message, str) or len(message) < HEAD_BYTES or length_of(message) != len(message) - HEAD_BYTES:
            return (Refused("not a packet"),)
        kind, body = message[0], message[HEAD_BYTES:]
        if kind in _RATES_HZ:
            return self._media(kind, body)
        return (self._event(kind, body),)

    def _media(self, kind: int, body: bytes) -> Sequence[WireEvent]:
        audio = AudioFormat("pcm16", _RATES_HZ[kind])
        if not 0 < len(body) <= _MAX_MEDIA_MS * audio.bytes_per_ms or len(body) % audio.sample_bytes:
            return (Refused("audio of no possible length"),)
        if self._audio is None:
            self._audio, self._kind = audio, kind
            started = Started(
                stream=self._call,
                call=self._call,
                caller=None,
                called=None,
                parameters={},
                audio_in=audio,
                audio_out=audio,
            )
            return (started, Media(body))
        return (Media(body) if kind == self._kind else Refused("another audio format"),)

    def _event(self, kind: int, body: bytes) -> WireEvent:
        if kind == _HANG_UP:
            return Stopped("caller hung up") if self._audio is not None else Refused("before start", fatal=True)
        if kind == _DIGIT:
            digit = body.decode("ascii", "replace")
            return Digit(digit) if digit in _DIGITS else Refused("not a digit")
        if kind in _TOO_WIDE:
            return Refused("audio format not agreed", fatal=self._audio is None)
        if kind == _ERROR:
            return Refused("error reported")
        return Refused("second id" if kind == _ID else "unknown kind")

    # --- out ---------------------------------------------------------------------------------------------------------

    def send(self, command: Command) -> Sequence[bytes]:
        """Return the packets of a command: audio frame by frame."""
        match command:
            case PlayAudio(audio):
                return self._frames(audio)
            case HangUp():
                return (bytes(HEAD_BYTES),)
            case SetMark() | ClearAudio() | Answer() | SendDigits():
                return ()
        assert_never(command)

    def _frames(self, audio: bytes) -> Sequence[bytes]:
        if self._audio is None:
            return ()
        step = FRAME_MS * self._audio.bytes_per_ms
        return tuple(
            bytes([self._kind]) + len(frame).to_bytes(2, "big") + frame
            for frame in (audio[at : at + step] for at in range(0, len(audio), step))
        )
