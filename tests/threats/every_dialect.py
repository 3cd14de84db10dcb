"""Every dialect as its carrier speaks it in a call of a given name, and how its carrier proves itself."""

from __future__ import annotations

import asyncio
import base64
import json
import socket
import time
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from uuid import NAMESPACE_OID, uuid5

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.telephony.wire_examples import packet
from tests.threats import served
from tests.threats.served import PUBLIC, RawCarrier, serving
from voiceagent.telephony.settings import AudioSocketLine, CarrierKeys
from voiceagent.telephony.signature import fonoster_signature, sign

__all__ = [
    "BY_WEBSOCKET",
    "CODECS",
    "KEYS",
    "PASSWORD",
    "SPEAKERS",
    "OpenDesk",
    "PacketCarrier",
    "Speaker",
    "audiosocket_line",
    "ending_of",
    "open_desk",
    "proof_of_a_socket",
    "proof_of_a_webhook",
]

PASSWORD = "s3cret"
PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
KEYS: Mapping[str, Any] = {
    "twilio_auth_token": served.SECRET,
    "asterisk_password": PASSWORD,
    "keys": CarrierKeys(
        signalwire_signing_key=PASSWORD,
        signalwire_bearer=PASSWORD,
        telnyx_public_key=base64.b64encode(PRIVATE.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)).decode(),
        cloudonix_secret=PASSWORD,
        fonoster_secret=PASSWORD,
        browser_secret=PASSWORD,
        auto_secret=PASSWORD,
    ),
}
"""A server that every carrier can prove itself to."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """One dialect, in messages about a call."""

    start: Callable[[str], str | bytes]
    media: Callable[[str, bytes], str | bytes]
    digit: Callable[[str, str], str | bytes]
    silence: bytes
    """One frame of the caller's."""
    query: str = ""
    """Where the carrier says in the address which call it is."""

    def path(self, name: str, call: str, *, agent: str = "desk") -> str:
        return f"/media/{name}/{agent}{self.query.format(call=call)}"


_TWILIO = Speaker(served.start, served.media, served.digit, b"\xff" * 160)


def _telnyx_start(call: str) -> str:
    media_format = {"encoding": "PCMU", "sample_rate": 8000, "channels": 1}
    start = {"call_control_id": call, "media_format": media_format}
    return json.dumps({"event": "start", "stream_id": f"S-{call}", "start": start})


def _telnyx_media(call: str, audio: bytes) -> str:
    media = {"track": "inbound", "payload": base64.b64encode(audio).decode()}
    return json.dumps({"event": "media", "stream_id": f"S-{call}", "media": media})


def _telnyx_digit(call: str, key: str) -> str:
    return json.dumps({"event": "dtmf", "stream_id": f"S-{call}", "dtmf": {"digit": key}})


def _asterisk_start(call: str) -> str:
    return f"MEDIA_START connection_id:c channel:x channel_id:{call} format:ulaw optimal_frame_size:160 ptime:20"


SPEAKERS: Mapping[str, Speaker] = {
    "twilio": _TWILIO,
    "signalwire": _TWILIO,
    "cloudonix": _TWILIO,
    "fonoster": _TWILIO,
    "telnyx": Speaker(_telnyx_start, _telnyx_media, _telnyx_digit, b"\xff" * 160),
    "browser": Speaker(
        lambda call: json.dumps({"type": "start", "call": call, "rate_hz": 8_000}),
        lambda _, audio: audio,
        lambda _, key: json.dumps({"type": "digit", "digit": key}),
        bytes(320),
    ),
    "asterisk": Speaker(
        _asterisk_start,
        lambda _, audio: audio,
        lambda _, key: f"DTMF_END digit:{key}",
        b"\xff" * 160,
        query="?call={call}",
    ),
    "auto": Speaker(_telnyx_start, _telnyx_media, _telnyx_digit, b"\xff" * 160),
    "audiosocket": Speaker(
        lambda call: packet(0x01, uuid5(NAMESPACE_OID, call).bytes) + packet(0x10, bytes(320)),
        lambda _, audio: packet(0x10, audio),
        lambda _, key: packet(0x03, key.encode()),
        bytes(320),
    ),
}
CODECS = ["twilio", "telnyx", "browser", "asterisk", "auto", "audiosocket"]
"""One dialect of every codec: the other three are Twilio's."""
BY_WEBSOCKET = [name for name in SPEAKERS if name != "audiosocket"]


def proof_of_a_socket(name: str, path: str) -> dict[str, str]:
    """Return the headers by which a carrier proves itself as it asks for a media socket; none where a token does."""
    match name:
        case "twilio":
            return {"X-Twilio-Signature": served.signature(path)}
        case "signalwire":
            return {"Authorization": f"Bearer {PASSWORD}"}
        case "fonoster":
            at_s = str(int(time.time()))
            signature = fonoster_signature(PASSWORD, at_s, PUBLIC.replace("https", "wss") + path)
            return {"x-fonoster-timestamp": at_s, "x-fonoster-signature": signature}
        case "asterisk":
            return {"Authorization": "Basic " + base64.b64encode(f"asterisk:{PASSWORD}".encode()).decode()}
        case _:
            return {}


def proof_of_a_webhook(name: str, body: bytes, *, at_s: int, form: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return the headers by which it proves a webhook to `/<name>/desk/answer`."""
    match name:
        case "twilio":
            return {"X-Twilio-Signature": sign(served.SECRET, f"{PUBLIC}/twilio/desk/answer", (form or {}).items())}
        case "signalwire":
            return {"X-SignalWire-Signature": sign(PASSWORD, f"{PUBLIC}/signalwire/desk/answer", (form or {}).items())}
        case "telnyx":
            signature = base64.b64encode(PRIVATE.sign(f"{at_s}|".encode() + body)).decode()
            return {"telnyx-signature-ed25519": signature, "telnyx-timestamp": str(at_s)}
        case _:
            return {"Authorization": f"Bearer {PASSWORD}"}


# --- AudioSocket, which has a port of its own ------------------------------------------------------------------------


def audiosocket_line() -> AudioSocketLine:
    """Return a line for the desk on a port that is free."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return AudioSocketLine("desk", int(listener.getsockname()[1]))


class PacketCarrier:
    """One connection to that port."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self.writer = reader, writer

    @classmethod
    async def connects(cls, port: int) -> PacketCarrier:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    def sends(self, message: bytes) -> None:
        self.writer.write(message)

    async def message(self) -> None:
        """Wait until something of the agent is heard."""
        await self._reader.readexactly(3 + 320)

    async def hung_up_on(self) -> bool:
        """Read to the end; return whether the agent has hung up in so many words."""
        try:
            async with asyncio.timeout(20):
                return (await self._reader.read()).endswith(packet(0))
        except ConnectionError:
            return False
        finally:
            self.breaks()

    def breaks(self) -> None:
        self.writer.close()
        self.writer.transport.abort()


# --- a desk that anybody may call ------------------------------------------------------------------------------------

Ending = Literal["in good order", "refused"]


class OpenDesk:
    """A server that lets anybody in, and calls to it in one dialect."""

    def __init__(self, name: str, port: int, line: AudioSocketLine) -> None:
        self.speaker = SPEAKERS[name]
        self._name, self._port, self._line = name, port, line

    async def connected(self, call: str) -> RawCarrier | PacketCarrier:
        """Connect, and say nothing yet."""
        if self._name == "audiosocket":
            return await PacketCarrier.connects(self._line.port)
        carrier = await RawCarrier.asks(self._port, path=self.speaker.path(self._name, call))
        assert carrier.status == 101
        return carrier

    async def called(self, call: str) -> RawCarrier | PacketCarrier:
        """Connect and begin a call."""
        carrier = await self.connected(call)
        carrier.sends(self.speaker.start(call))
        return carrier


@asynccontextmanager
async def open_desk(name: str, journals: Path) -> AsyncGenerator[OpenDesk]:
    line = audiosocket_line()
    async with serving(journals, insecure=True, audiosockets=(line,)) as server:
        yield OpenDesk(name, server.port, line)


async def ending_of(carrier: RawCarrier | PacketCarrier) -> Ending | int | None:
    """Wait for the end of a call, and return how it was."""
    if isinstance(carrier, PacketCarrier):
        return "in good order" if await carrier.hung_up_on() else "refused"
    code = await carrier.close_code()
    return {1000: "in good order", 1008: "refused"}.get(code or 0, code)
