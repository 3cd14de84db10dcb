"""The telephone lines of a server: media sockets and the control plane, put together behind one port."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager

from voiceagent.console.app import control_plane
from voiceagent.ports import CallHandler, Clock
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.limits import CallLimits, CallsInMemory
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.transfers import Transfers

__all__ = ["open_lines"]


@asynccontextmanager
async def open_lines(
    settings: TelephonySettings, *, handler: CallHandler, healthy: Callable[[], bool], clock: Clock
) -> AsyncGenerator[tuple[MediaServer, int]]:
    """Listen until the block is left; gives the media server and the port bound.

    `handler` is awaited for every call; no new one is taken unless the engines are `healthy`. Raises OperatorError
    where the port cannot be opened.
    """
    tokens = CallTokens(clock)
    transfers = Transfers(settings.transfer_targets, clock)
    limits = CallLimits(settings, counts=CallsInMemory(clock))
    app = control_plane(
        settings,
        tokens=tokens,
        transfers=transfers,
        limits=limits,
        ready=lambda: media.ready and healthy(),
        takes=lambda agent: media.takes(agent),  # noqa: PLW0108 - it is made below, of this app
    )
    media = MediaServer(
        settings, handler=handler, app=app, clock=clock, tokens=tokens, transfers=transfers, limits=limits
    )
    async with media.serving() as port:
        yield media, port
