"""The other end of AudioSocket: an exchange that sends packets over TCP, and plays what comes the moment it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from websockets.exceptions import ConnectionClosedOK

from tests.telephony.provider_side import AsTheirs
from tests.telephony.wire_examples import packet
from voiceagent.audio import FRAME_MS
from voiceagent.ports import AudioFormat

__all__ = ["AudioSocketWire", "PacketConnection"]

_KINDS = {8_000: 0x10, 16_000: 0x12}


@dataclass
class AudioSocketWire:
    """There are no marks, nothing is taken back, and hanging up is the end of the connection."""

    rate_hz: int = 8_000
    clears: bool = False
    echoes_on_clear: bool = False

    @property
    def audio_in(self) -> AudioFormat:
        return AudioFormat("pcm16", self.rate_hz)

    @property
    def audio_out(self) -> AudioFormat:
        return self.audio_in

    def opening(self) -> Sequence[str | bytes]:
        return [packet(0x01, b"\x7f" * 16)]

    def media(self, frames: Sequence[bytes]) -> Sequence[str | bytes]:
        return [packet(_KINDS[self.rate_hz], frame) for frame in frames]

    def mark(self, name: str) -> str:
        raise AssertionError(name)

    def stop(self) -> None:
        return None

    def read(self, message: str | bytes) -> AsTheirs:
        assert isinstance(message, bytes)
        if message == packet(0x00):
            return "hang up", None
        assert message[0] == _KINDS[self.rate_hz], "any other kind ends the call"
        assert len(message) - 3 == FRAME_MS * self.audio_out.bytes_per_ms, "it plays frames"
        return "audio", message[3:]


@dataclass
class PacketConnection:
    """A connection whose messages are packets, with the words of a WebSocket."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    close_code: int | None = field(default=None, init=False)
    """None: there are no codes here."""

    @classmethod
    async def to(cls, port: int) -> PacketConnection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, message: str | bytes) -> None:
        assert isinstance(message, bytes)
        self.writer.write(message)

    async def recv(self) -> bytes:
        try:
            head = await self.reader.readexactly(3)
            return head + await self.reader.readexactly(int.from_bytes(head[1:], "big"))
        except (asyncio.IncompleteReadError, ConnectionError) as exc:
            raise ConnectionClosedOK(None, None) from exc

    async def close(self) -> None:
        self.writer.close()
