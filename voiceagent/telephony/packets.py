"""Packets on a plain TCP connection, as the driver sees them: its messages."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress

from voiceagent.ports import Clock
from voiceagent.telephony.audiosocket import HEAD_BYTES, length_of
from voiceagent.telephony.websocket import CLOSE_DEADLINE_MS, bound_sending

__all__ = ["PacketSocket"]


class PacketSocket:
    """Fulfils `LegSocket`: each message is one packet, with its head."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, clock: Clock) -> None:
        self._reader = reader
        self._writer = writer
        self._clock = clock
        self._ended_between_packets = False
        bound_sending(writer.get_extra_info("socket"))

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield packets until the connection is over, in good order or not."""
        try:
            while True:
                yield await self._packet()
        except asyncio.IncompleteReadError as exc:
            self._ended_between_packets = not exc.partial
        except ConnectionError:
            # It was closed over there before all that we have sent was read: whoever hangs up on somebody who speaks.
            self._ended_between_packets = True
        except OSError:
            return

    async def _packet(self) -> bytes:
        head = await self._reader.readexactly(HEAD_BYTES)
        try:
            return head + await self._reader.readexactly(length_of(head))
        except asyncio.IncompleteReadError as exc:
            raise asyncio.IncompleteReadError(head + exc.partial, exc.expected) from exc

    def write(self, message: str | bytes) -> None:
        """Write a packet at once; nothing if the connection is over."""
        if isinstance(message, bytes) and not self._writer.is_closing():
            self._writer.write(message)

    @property
    def unsent_bytes(self) -> int:
        """What lies in the transport's buffer because the operating system takes no more."""
        return self._writer.transport.get_write_buffer_size()

    @property
    def end(self) -> str:
        """Whether the far side ended it between two packets, or it broke."""
        return "connection closed" if self._ended_between_packets else "connection lost"

    @property
    def closed_in_order(self) -> bool:
        """Whether the far side has ended it, and not within a packet."""
        return self._ended_between_packets

    async def close(self, code: int, reason: str) -> None:
        """Close once everything is sent, or cut the connection off at the deadline: there are no codes here."""
        del code, reason
        cut_off = self._clock.call_at(self._clock.now_ms() + CLOSE_DEADLINE_MS, self.abort)
        try:
            self._writer.close()
            with suppress(OSError):
                await self._writer.wait_closed()
        finally:
            cut_off()

    def abort(self) -> None:
        """Cut the connection off."""
        self._writer.transport.abort()
