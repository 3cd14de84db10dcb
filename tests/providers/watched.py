"""A WebSocket between a client and a server of somebody else's that passes every frame on, and checks it on the way."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from pydantic import ValidationError
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from tests.models.realtime_frames import from_client, from_server, heard, heard_all
from voiceagent.ports import SpeechModelEvent

_TRANSCRIPT_MS = 200
_NUMBERS = count(1)


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
async def watched(
    server_url: str, *, confirms_after_ms: int = 0, ears: Callable[[bytes], Sequence[str]] | None = None
) -> AsyncGenerator[Watched]:
    """Yield a way to the server on which every frame is checked; what a client sends must be right.

    With `confirms_after_ms` what the server sends from the confirmation of an update on takes so much longer. `ears`
    hear for a server that has none, and return the words of every turn that is over: it is told and asked.
    """
    seen = Watched()

    async def pass_on(client: ServerConnection) -> None:
        assert client.request is not None
        address = f"{server_url}{client.request.path}"
        async with connect(address, compression=None, proxy=None) as server, asyncio.TaskGroup() as both:
            both.create_task(outwards(client, server, both))
            both.create_task(inwards(server, client))

    updates: list[float] = []

    async def outwards(client: ServerConnection, server: ClientConnection, both: asyncio.TaskGroup) -> None:
        with suppress(ConnectionClosed):
            async for message in client:
                frame = from_client(str(message))
                seen.frames.append(("sent", frame))
                if frame["type"] == "session.update":
                    updates.append(time.perf_counter())
                await server.send(message)
                if ears is not None and frame["type"] == "input_audio_buffer.append":
                    for words in ears(b64decode(frame["audio"])):
                        await _ask_to_answer(words, server)
                        both.create_task(_tell_late(words, client))
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


async def _ask_to_answer(words: str, server: ClientConnection) -> None:
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": words}]}
    await server.send(json.dumps({"type": "conversation.item.create", "item": item}))
    await server.send(json.dumps({"type": "response.create"}))


async def _tell_late(words: str, client: ServerConnection) -> None:
    """Tell what the caller said once the reply to it has begun, as the provider often does."""
    await asyncio.sleep(_TRANSCRIPT_MS / 1_000)
    item = f"item_of_the_caller_{next(_NUMBERS)}"
    with suppress(ConnectionClosed):
        for frame in (heard(item, words), heard_all(item, words)):
            await client.send(from_server(frame))


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
