"""Connecting to an exchange that waits for us, instead of being connected to."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from voiceagent.errors import CallLost
from voiceagent.telephony.freed import FreedConnection, forget_failures
from voiceagent.telephony.port import MAX_MESSAGE_BYTES

__all__ = ["ReachingLine"]

_OPEN_S = 5
_CLOSE_S = 2


class _Connection(FreedConnection, ClientConnection):
    """One that we have made."""


class _Straight(connect):
    """Goes where it was told to go, and not where whoever answers there would send it."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


class ReachingLine:
    """A line to an exchange, from before it is there until it is cut off."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._connection: ClientConnection | None = None
        self._connecting: asyncio.Timeout | None = None
        self._closed = False

    @asynccontextmanager
    async def reached(self) -> AsyncGenerator[ClientConnection]:
        """Connect, and cut the connection off in the end.

        Raises CallLost where nobody answers as they should, or the line is closed before they have.
        """
        try:
            async with asyncio.timeout(0 if self._closed else _OPEN_S) as self._connecting:
                self._connection = connection = await self._connect()
        except (OSError, TimeoutError, WebSocketException) as exc:
            raise CallLost(f"the exchange cannot be reached: {type(exc).__name__}") from exc
        finally:
            self._connecting = None
        try:
            yield connection
        finally:
            connection.transport.abort()
            forget_failures(connection.protocol)

    async def _connect(self) -> ClientConnection:
        return await _Straight(
            self._url,
            subprotocols=[Subprotocol("media")],
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=None,
            close_timeout=_CLOSE_S,
            user_agent_header=None,
            proxy=None,
            create_connection=_Connection,
        )

    async def close(self, code: int, reason: str) -> None:
        """Close in good order, within a bounded time; connect no more."""
        self._closed = True
        if self._connection is not None:
            await self._connection.close(code, reason)
        elif self._connecting is not None:
            self._connecting.reschedule(0)
