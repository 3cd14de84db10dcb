"""Connecting to an exchange that waits for us, instead of being connected to."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException
from websockets.typing import Subprotocol

from voiceagent.errors import CallLost
from voiceagent.telephony.port import MAX_MESSAGE_BYTES

__all__ = ["reached"]

_OPEN_S = 5
_CLOSE_S = 2


class _Straight(connect):
    """Goes where it was told to go, and not where whoever answers there would send it."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


@asynccontextmanager
async def reached(url: str) -> AsyncGenerator[ClientConnection]:
    """Connect, and cut the connection off in the end. Raises CallLost where nobody answers as they should."""
    try:
        connection = await _Straight(
            url,
            subprotocols=[Subprotocol("media")],
            compression=None,
            max_size=MAX_MESSAGE_BYTES,
            open_timeout=_OPEN_S,
            close_timeout=_CLOSE_S,
            user_agent_header=None,
            proxy=None,
        )
    except (OSError, TimeoutError, WebSocketException) as exc:
        raise CallLost(f"the exchange cannot be reached: {type(exc).__name__}") from exc
    try:
        yield connection
    finally:
        connection.transport.abort()
