"""A service on this machine for tools to talk to."""

from __future__ import annotations

import asyncio
import importlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field

import pytest


@dataclass
class Seen:
    """One request as it arrived."""

    method: str
    target: str
    headers: dict[str, str]
    body: str


Answer = Callable[[Seen], Awaitable[tuple[int, object] | None]]
"""Returns status and JSON body; None hangs up without an answer."""


@dataclass
class LocalService:
    """What the service has seen, and where it is."""

    url: str
    seen: list[Seen] = field(default_factory=list)


@pytest.fixture(autouse=True, scope="session")
def http_library() -> None:
    """Import it as a server does when it starts: the files are read before there is an event loop to block."""
    importlib.import_module("httpx")


@pytest.fixture
def serve() -> Callable[[Answer], AbstractAsyncContextManager[LocalService]]:
    """Return a function that runs an HTTP service on the test's own event loop."""
    return _serve


@asynccontextmanager
async def _serve(answer: Answer) -> AsyncIterator[LocalService]:
    service = LocalService("")

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await _read(reader)) is not None:
                service.seen.append(request)
                answered = await answer(request)
                if answered is None:
                    break
                body = json.dumps(answered[1]).encode()
                writer.write(
                    f"HTTP/1.1 {answered[0]} X\r\ncontent-type: application/json\r\n"
                    f"set-cookie: session=of-one-caller\r\ncontent-length: {len(body)}\r\n\r\n".encode()
                    + body
                )
                await writer.drain()
        finally:
            writer.close()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    service.url = f"http://127.0.0.1:{port}"
    try:
        yield service
    finally:
        server.close()


async def _read(reader: asyncio.StreamReader) -> Seen | None:
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    method, target, _ = head[0].split(" ")
    headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Seen(method, target, headers, body.decode())
