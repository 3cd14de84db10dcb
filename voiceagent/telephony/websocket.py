"""A carrier's WebSocket as the driver sees it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

from websockets.asyncio.connection import Connection, broadcast
from websockets.exceptions import ConcurrencyError, ConnectionClosed

from voiceagent.ports import Clock
from voiceagent.telephony.direct_connection import DirectConnection

__all__ = ["CLOSE_DEADLINE_MS", "SEND_BUFFER_BYTES", "WebSocket", "bound_sending"]

CLOSE_DEADLINE_MS = 2_000
_MOST_REASON_BYTES = 123  # RFC 6455, 5.5: a control frame carries 125 bytes, two of them the code
"""A far side that does not answer a close in this time is cut off."""
SEND_BUFFER_BYTES = 32_768
"""What the operating system may hold back: three seconds of speech. Left to itself it would take minutes of it from us
before we noticed that nobody reads, and a clear would wait behind all that."""
_UNACKNOWLEDGED_MS = 20_000
"""Also how long the far side's window may stay shut (Linux: tcp(7), TCP_USER_TIMEOUT): as long as the driver waits."""


class WebSocket:
    """Fulfils `LegSocket` and `HandsOver` over a connection of the `websockets` library."""

    __slots__ = ("_clock", "_connection", "_direct")

    def __init__(self, connection: Connection, *, clock: Clock) -> None:
        self._connection = connection
        self._direct = connection if isinstance(connection, DirectConnection) else None
        self._clock = clock
        bound_sending(connection.transport.get_extra_info("socket"))

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield messages until the connection is closed, in good order or not."""
        receive = self._connection.recv
        try:
            while True:
                yield await receive()
        except ConnectionClosed:
            return

    def hand_to(self, receive: Callable[[str | bytes], None] | None) -> None:
        """Give messages to `receive` where they come in, if the connection can; None: no longer."""
        if self._direct is not None:
            self._direct.hand_to(receive)

    def write(self, message: str | bytes) -> None:
        """Write a message at once: `broadcast` is the library's way to send without waiting."""
        if self._direct is not None:
            self._direct.write_message(message)
        else:
            broadcast((self._connection,), message)

    @property
    def unsent_bytes(self) -> int:
        """What lies in the transport's buffer because the operating system takes no more."""
        return self._connection.transport.get_write_buffer_size()

    @property
    def end(self) -> str:
        """The close code and what it was called, e.g. `connection lost (1006)`."""
        return f"connection {'closed' if self.closed_in_order else 'lost'} ({self._connection.close_code})"

    @property
    def closed_in_order(self) -> bool:
        """Whether there was a close frame that names no fault."""
        return self._connection.close_code in {1000, 1001, 1005}

    async def close(self, code: int, reason: str) -> None:
        """Close in good order, or cut the connection off at the deadline."""
        cut_off = self._clock.call_at(self._clock.now_ms() + CLOSE_DEADLINE_MS, self.abort)
        try:
            async with asyncio.TaskGroup() as tasks:
                discarding = tasks.create_task(self._discard())
                await self._connection.close(code, reason.encode()[:_MOST_REASON_BYTES].decode(errors="ignore"))
                discarding.cancel()
        except asyncio.CancelledError:
            self.abort()  # nobody is left who would see to it that it ends
            raise
        finally:
            cut_off()

    async def _discard(self) -> None:
        """Read what still comes: behind messages that nobody reads, the far side's own close would not be noticed."""
        with suppress(ConcurrencyError):  # the driver still reads: then it does
            async for _ in self:
                pass

    def abort(self) -> None:
        """Cut the connection off."""
        self._connection.transport.abort()


def bound_sending(wire: socket.socket) -> None:
    """Keep little in the kernel, and let it give up on a far side that acknowledges nothing (where it can)."""
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
    if hasattr(socket, "TCP_USER_TIMEOUT"):
        wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
