"""The WebSocket of a speech model, as `Exchange` takes it."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from voiceagent.models.failures import ModelUnavailable

__all__ = ["SocketWire"]


class SocketWire:
    """Fulfils `Wire`; `why` says in words that may be recorded why a socket was closed."""

    def __init__(self, socket: ClientConnection, why: Callable[[ConnectionClosed], ModelUnavailable]) -> None:
        self._socket = socket
        self._why = why

    async def send(self, frame: str) -> None:
        """Send. On a socket that is closed nothing happens: whoever reads learns why."""
        with suppress(ConnectionClosed):
            await self._socket.send(frame)

    async def receive(self) -> str | bytes:
        """Return the next message. Raises ModelUnavailable."""
        try:
            return await self._socket.recv()
        except ConnectionClosed as exc:
            raise self._why(exc) from None  # its text has the provider's words

    async def part(self) -> None:
        """Close, and wait for the far side to."""
        await self._socket.close()

    async def drop(self) -> None:
        """Cut it off."""
        self._socket.transport.abort()
