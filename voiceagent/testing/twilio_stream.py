"""The messages of a Twilio media stream, as the carrier writes and reads them.

Facts from Twilio's documentation (`voice/media-streams/websocket-messages`, `voice/twiml/stream`, `usage/security`):
sequence numbers, chunks and timestamps are strings, sample rate and channels are numbers; `dtmf.track` is
`inbound_track` where `media.track` is `inbound`; the upgrade request is signed with HMAC-SHA1 over the exact URL; the
query of a stream's URL is dropped.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, assert_never
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, Field, TypeAdapter, ValidationError

from voiceagent.errors import OperatorError

__all__ = [
    "AgentMessage",
    "Clear",
    "Mark",
    "Media",
    "NotUnderstood",
    "TwilioStream",
    "check_url",
    "new_call",
    "twilio_signature",
]


def check_url(url: str) -> None:
    """Raise OperatorError for what Twilio could not call."""
    parts = _parts(url)
    if parts is None or parts.scheme not in {"ws", "wss"} or not parts.hostname or parts.fragment:
        raise OperatorError(f"{url!r} is no media URL: use ws://… or wss://…")
    if parts.query:
        raise OperatorError(f"{url!r} has a query, which Twilio drops from stream URLs: use parameters instead")


def _parts(url: str) -> SplitResult | None:
    """Return the parts of a URL; None where brackets, port or host could stand in none."""
    try:
        parts = urlsplit(url)
        _ = parts.port, (parts.hostname or "").encode("idna")
    except ValueError:
        return None
    return parts


def twilio_signature(url: str, auth_token: str) -> str:
    """Return the X-Twilio-Signature of a WebSocket upgrade to exactly this URL."""
    digest = hmac.new(auth_token.encode(), url.encode(), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def new_call() -> str:
    """Return the id of a call, as Twilio makes them."""
    return f"CA{secrets.token_hex(16)}"


# --- from the agent --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Media:
    """Audio to play: µ-law at 8 kHz, any length."""

    audio: bytes


@dataclass(frozen=True, slots=True)
class Mark:
    """A tag to send back once everything before it was heard."""

    name: str


@dataclass(frozen=True, slots=True)
class Clear:
    """Play nothing of what has not been played."""


@dataclass(frozen=True, slots=True)
class NotUnderstood:
    """A message that is none of the three."""

    reason: str


AgentMessage = Media | Mark | Clear | NotUnderstood


class _Payload(BaseModel):
    payload: str


class _Name(BaseModel):
    name: str


class _MediaMessage(BaseModel):
    event: Literal["media"]
    stream: str = Field(alias="streamSid")
    media: _Payload


class _MarkMessage(BaseModel):
    event: Literal["mark"]
    stream: str = Field(alias="streamSid")
    mark: _Name


class _ClearMessage(BaseModel):
    event: Literal["clear"]
    stream: str = Field(alias="streamSid")


_Message = _MediaMessage | _MarkMessage | _ClearMessage
_MESSAGE: TypeAdapter[_Message] = TypeAdapter(Annotated[_Message, Field(discriminator="event")])


# --- the stream ------------------------------------------------------------------------------------------------------


class TwilioStream:
    """One media stream: writes its messages, numbered, and reads the agent's."""

    __slots__ = ("_account", "_call", "_chunk", "_sequence", "_sid")

    def __init__(self, call: str | None = None) -> None:
        """Begin the stream of a call; one that no webhook was asked about gets an id of its own."""
        self._sid = f"MZ{secrets.token_hex(16)}"
        self._call = call or new_call()
        self._account = f"AC{secrets.token_hex(16)}"
        self._sequence = 0
        self._chunk = 0

    def read(self, message: str | bytes) -> AgentMessage:
        """Return what the agent wants."""
        if isinstance(message, bytes):
            return NotUnderstood("a binary message")
        try:
            read = _MESSAGE.validate_json(message)
        except ValidationError as exc:
            return NotUnderstood(exc.errors(include_url=False)[0]["msg"])
        if read.stream != self._sid:
            return NotUnderstood(f"a {read.event} for another stream")
        match read:
            case _MediaMessage(media=media):
                return _decoded(media.payload)
            case _MarkMessage(mark=mark):
                return Mark(mark.name)
            case _ClearMessage():
                return Clear()
            case _:
                assert_never(read)

    def connected(self) -> str:
        """Return the first message, which belongs to no stream."""
        return json.dumps({"event": "connected", "protocol": "Call", "version": "1.0.0"})

    def start(self, parameters: Mapping[str, str]) -> str:
        """Return the message that opens the stream."""
        media_format = {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1}
        start = {
            "streamSid": self._sid,
            "accountSid": self._account,
            "callSid": self._call,
            "tracks": ["inbound"],
            "mediaFormat": media_format,
            "customParameters": dict(parameters),
        }
        return self._numbered("start", start)

    def media(self, frame: bytes, at_ms: int) -> str:
        """Return caller audio that began `at_ms` after the stream."""
        self._chunk += 1
        payload = base64.b64encode(frame).decode("ascii")
        media = {"track": "inbound", "chunk": str(self._chunk), "timestamp": str(at_ms), "payload": payload}
        return self._numbered("media", media)

    def digit(self, digit: str) -> str:
        """Return a key that the caller pressed."""
        return self._numbered("dtmf", {"track": "inbound_track", "digit": digit})

    def mark(self, name: str) -> str:
        """Return the echo of a mark."""
        return self._numbered("mark", {"name": name})

    def stop(self) -> str:
        """Return the last message: the caller has hung up."""
        return self._numbered("stop", {"accountSid": self._account, "callSid": self._call})

    def _numbered(self, event: str, body: Mapping[str, object]) -> str:
        self._sequence += 1
        message = {"event": event, "sequenceNumber": str(self._sequence), "streamSid": self._sid, event: body}
        return json.dumps(message, separators=(",", ":"))


def _decoded(payload: str) -> Media | NotUnderstood:
    try:
        return Media(base64.b64decode(payload, validate=True))
    except ValueError:
        return NotUnderstood("a payload that is not base64")
