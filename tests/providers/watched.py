"""A WebSocket between a client and a server of somebody else's that passes every frame on, and checks it on the way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.models.realtime_frames import from_client, from_server
from voiceagent.ports import SpeechModelEvent


@dataclass(slots=True)
class Watched:
    """What has gone by, in both directions."""

    url: str = ""
    frames: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    """`sent` or `received`, as the client sees it, and the frame."""
    irregular: set[str] = field(default_factory=set)
    """Kinds that the server sends otherwise than OpenAI's own types say."""
    swaps_ms: list[float] = field(default_factory=list)
    """From each `session.update` to its `session.updated`."""

    def kinds(self, direction: str) -> Sequence[str]:
        return [frame["type"] for way, frame in self.frames if way == direction]


@asynccontextmanager
async def watched(server_url: str, *, confirms_after_ms: int = 0) -> AsyncGenerator[Watched]:
    """Yield a way to the server on which every frame is checked; what a client sends must be right.

    With `confirms_after_ms` what the server sends from the confirmation of an update on takes so much longer.
    """
    seen = Watched()

    async def pass_on(client: ServerConnection) -> None:
        assert client.request is not None
        address = f"{server_url}{client.request.path}"
        async with connect(address, compression=None, proxy=None) as server, asyncio.TaskGroup() as both:
            both.create_task(outwards(client, server))
            both.create_task(inwards(server, client))

    updates: list[float] = []

    async def outwards(client: ServerConnection, server: ClientConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in client:
                frame = from_client(str(message))
                seen.frames.append(("sent", frame))
                if frame["type"] == "session.update":
                    updates.append(time.perf_counter())
                await server.send(message)
        await server.close()

    async def inwards(server: ClientConnection, client: ServerConnection) -> None:
        with suppress(ConnectionClosed):
            async for message in server:
                frame = json.loads(message)
                seen.frames.append(("received", frame))
                if frame["type"] == "session.updated":
                    seen.swaps_ms.append(1_000 * (time.perf_counter() - updates.pop(0)))
                    await asyncio.sleep(confirms_after_ms / 1_000)
                try:
                    from_server(frame)
                except ValidationError:
                    seen.irregular.add(frame["type"])
                await client.send(message)
        await client.close(server.close_code or 1000, server.close_reason or "")

    async with serve(pass_on, "127.0.0.1", 0, compression=None) as proxy:
        seen.url = f"http://127.0.0.1:{proxy.sockets[0].getsockname()[1]}/v1"
        yield seen


class Posted:
    """What a session has posted, to be waited for."""

    def __init__(self) -> None:
        self.events: list[SpeechModelEvent] = []
        self._more = asyncio.Event()

    def __call__(self, event: SpeechModelEvent) -> None:
        self.events.append(event)
        self._more.set()

    async def until(self, kind: type[SpeechModelEvent], *, times: int = 1) -> Any:
        """Return the event of this kind that is the n-th, once it is there."""
        while len(seen := [event for event in self.events if isinstance(event, kind)]) < times:
            self._more.clear()
            await self._more.wait()
        return seen[times - 1]


@contextmanager
def program(*command: str) -> Generator[subprocess.Popen[str]]:
    """Run a server of somebody else's for as long as it is needed."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603 - our own
    try:
        yield process
    finally:
        process.terminate()
        process.wait(10)
        if process.stdout is not None:
            process.stdout.close()
