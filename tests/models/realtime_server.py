"""A server that speaks OpenAI Realtime as a script has it, and what a session with it posts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import SpeechModelEvent, SpeechSession

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import from_client, from_server, session_created, session_updated, setup

KEY = "sk-very-secret"

Script = Callable[["Far"], Awaitable[None]]


@dataclass(slots=True)
class Far:
    """The provider's end of one session."""

    socket: ServerConnection
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, kind: str) -> dict[str, Any]:
        """Read up to the next frame of this kind."""
        while True:
            frame = from_client(str(await self.socket.recv()))
            self.heard.append(frame)
            if frame["type"] == kind:
                return frame

    async def say(self, *frames: Any) -> None:
        for frame in frames:
            await self.socket.send(from_server(frame))

    async def set_up(self) -> None:
        await self.say(session_created())
        await self.next("session.update")
        await self.say(session_updated())

    async def stay(self) -> None:
        """Read until the client has gone."""
        async for message in self.socket:
            self.heard.append(from_client(str(message)))


@dataclass(slots=True)
class Provider:
    """A server that plays a script for every session."""

    url: str
    requests: list[Request] = field(default_factory=list)
    far: list[Far] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def provider(script: Script, *, answer: Callable[[], Response | None] | None = None) -> AsyncGenerator[Provider]:
    async def meet(socket: ServerConnection) -> None:
        far = Far(socket)
        here.far.append(far)
        here.met.set()
        try:
            await script(far)
        except ConnectionClosed:
            pass
        finally:
            here.gone.set()

    def admit(_: ServerConnection, request: Request) -> Response | None:
        here.requests.append(request)
        return answer() if answer is not None else None

    here = Provider("")
    async with serve(meet, "127.0.0.1", 0, process_request=admit, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        here.url = f"ws://127.0.0.1:{port}/v1"
        yield here


class Posted:
    """What a session has posted, to be waited for."""

    def __init__(self) -> None:
        self.events: list[SpeechModelEvent] = []
        self._more = asyncio.Event()

    def __call__(self, event: SpeechModelEvent) -> None:
        self.events.append(event)
        self._more.set()

    async def until(self, kind: type[SpeechModelEvent], *, times: int = 1) -> SpeechModelEvent:
        while len(seen := [event for event in self.events if isinstance(event, kind)]) < times:
            self._more.clear()
            await self._more.wait()
        return seen[-1]


@asynccontextmanager
async def session(script: Script) -> AsyncGenerator[tuple[SpeechSession, Posted, Provider]]:
    posted = Posted()
    async with provider(script) as here:
        models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=here.url))
        live = await models.connect(setup(), posted)
        try:
            yield live, posted, here
        finally:
            await live.close()


async def until_set_up(far: Far) -> None:
    await far.set_up()
    await far.stay()


def nothing_left() -> bool:
    return all(task is asyncio.current_task() for task in asyncio.all_tasks())
