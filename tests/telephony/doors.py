"""The ways by which calls come to a server: its own port, that with TLS, and somebody else's app."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import ssl
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp

from tests.telephony.certificates import new_pair
from voiceagent.console.lines import open_lines
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["Door", "opened", "web_server"]


@dataclass(frozen=True, slots=True)
class Door:
    """Where to call."""

    media: MediaServer
    url: str
    """Of the media sockets, up to `/media`."""
    trust: ssl.SSLContext | None = None


@asynccontextmanager
async def opened(door: str, settings: TelephonySettings, *, folder: Path, **parts: Any) -> AsyncGenerator[Door]:
    """Open lines with this door: `own port`, `own port, TLS`, or `in an app, WAY` as uvicorn calls its way."""
    if door == "own port":
        async with open_lines(settings, **parts) as (media, port):
            yield Door(media, f"ws://127.0.0.1:{port}")
    elif door == "own port, TLS":
        pair = await asyncio.to_thread(new_pair, folder)
        async with open_lines(replace(settings, tls_cert=pair.cert, tls_key=pair.key), **parts) as (media, port):
            yield Door(media, f"wss://127.0.0.1:{port}", pair.trusting())
    else:
        apps: list[ASGIApp] = []
        async with open_lines(settings, mount=apps.append, **parts) as (media, _):
            way = door.partition(", ")[2]
            async with web_server(Starlette(routes=[Mount("/phone", app=apps[0])]), way=way) as (port, _):
                yield Door(media, f"ws://127.0.0.1:{port}/phone")


@asynccontextmanager
async def web_server(
    app: ASGIApp,
    *,
    way: str = "websockets-sansio",
    lifespan: str = "off",
    kind: type[uvicorn.Server] = uvicorn.Server,
    port: int = 0,
    access_log: bool = False,
) -> AsyncGenerator[tuple[int, uvicorn.Server]]:
    """Serve an app by uvicorn."""
    if way == "wsproto" and importlib.util.find_spec("wsproto") is None:
        pytest.skip("wsproto is not installed")
    config = uvicorn.Config(app, ws=way, lifespan=lifespan, log_config=None, access_log=access_log)  # pyright: ignore[reportArgumentType] - one of uvicorn's names
    server = kind(config)
    with socket.create_server(("127.0.0.1", port)) as listening:
        serving = asyncio.ensure_future(server.serve(sockets=[listening]))
        while not (server.started or serving.done()):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.01)
        try:
            yield int(listening.getsockname()[1]), server
        finally:
            server.should_exit = True
            await serving
