"""A Gemini Live server on this machine: what it hears is recorded, what it says is scripted, frame by frame."""

from __future__ import annotations

import asyncio
import base64
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

from websockets.asyncio.server import Request, Response, ServerConnection, serve
from websockets.exceptions import ConnectionClosed

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.gemini_live import GeminiLiveModels
from voiceagent.models.gemini_live.generations import PCM_16K, PCM_24K
from voiceagent.ports import OfferedTool, SessionSetup, SpeechModelEvent, SpeechSession

Frame = Mapping[str, Any]
KEY = "key-that-nobody-may-read"

VERIFY = OfferedTool(
    "verify_caller",
    "Check who is calling.",
    {
        "type": "object",
        "properties": {"pin": {"type": "string", "maxLength": 8}},
        "additionalProperties": False,
        "required": ["pin"],
    },
)
BALANCE = OfferedTool(
    "get_balance",
    "Look up the balance.",
    {"type": "object", "properties": {"account": {"enum": ["checking", "savings"], "type": "string"}}},
)
GOODBYE = OfferedTool("say_goodbye", "The caller is done.", {"type": "object", "properties": {}})


def phase(epoch: int, prompt: str, *tools: OfferedTool, late_facts: str = "", voice: str | None = None) -> SessionSetup:
    return SessionSetup(Epoch(epoch), prompt, late_facts, tools, voice, PCM_16K, PCM_24K)


WHO = phase(1, "Ask who is calling.", VERIFY, GOODBYE)
WHAT = phase(2, "Help with the account.", BALANCE, GOODBYE, late_facts="The caller is Ada.")


def message(role: str, text: str, *, number: int = 1, **rest: Any) -> Message:
    return Message(number, role, text, Epoch(1), **rest)  # type: ignore[arg-type] - fields by their names


def result(request: str, text: str, *, tool: str = "verify_caller", **rest: Any) -> Message:
    return message("tool_result", text, request=request, tool=tool, **rest)


# --- what a server says ----------------------------------------------------------------------------------------------

SETUP_COMPLETE: Frame = {"setupComplete": {}}
TURN_COMPLETE: Frame = {"serverContent": {"turnComplete": True}}
INTERRUPTED: Frame = {"serverContent": {"interrupted": True}}
GENERATED: Frame = {"serverContent": {"generationComplete": True}}
THOUGHT: Frame = {"serverContent": {"modelTurn": {"parts": [{"text": "**Greeting**", "thought": True}]}}}


def audio(pcm: bytes, *, kind: str = "audio/pcm;rate=24000") -> Frame:
    blob = {"mimeType": kind, "data": base64.b64encode(pcm).decode()}
    return {"serverContent": {"modelTurn": {"parts": [{"inlineData": blob}]}}}


def said(text: str) -> Frame:
    return {"serverContent": {"outputTranscription": {"text": text}}}


def heard(text: str, **rest: Any) -> Frame:
    return {"serverContent": {"inputTranscription": {"text": text, **rest}}}


def done(taken: int = 0, made: int = 0, thought: int = 0, *, cached: int = 0) -> Frame:
    usage = {"promptTokenCount": taken, "responseTokenCount": made, "thoughtsTokenCount": thought}
    if cached:
        usage["cachedContentTokenCount"] = cached
    return {**TURN_COMPLETE, "usageMetadata": usage}


def calls(*calls: tuple[str | None, str, Mapping[str, Any]]) -> Frame:
    functions = [{"id": id_, "name": name, "args": args} for id_, name, args in calls]
    return {"toolCall": {"functionCalls": [{k: v for k, v in f.items() if v is not None} for f in functions]}}


def cancels(*ids: str) -> Frame:
    return {"toolCallCancellation": {"ids": list(ids)}}


def go_away(left: str) -> Frame:
    return {"goAway": {"timeLeft": left}}


# --- the server ------------------------------------------------------------------------------------------------------


@dataclass
class Line:
    """One connection, from the server's side."""

    connection: ServerConnection
    changed: asyncio.Event
    received: list[Frame] = field(default_factory=list)
    sent: list[Frame] = field(default_factory=list)
    heard: bytearray = field(default_factory=bytearray)

    @property
    def setup(self) -> Mapping[str, Any]:
        return self.received[0]["setup"]

    @property
    def kinds(self) -> list[str]:
        """The kinds of what came, in order, one for any number of audio frames in a row."""
        kinds: list[str] = []
        for frame in self.received:
            (kind,) = frame
            if kind == "realtimeInput":
                (kind,) = frame["realtimeInput"]
            if not (kinds and kind == kinds[-1] == "audio"):
                kinds.append(kind)
        return kinds

    @property
    def key(self) -> str | None:
        assert self.connection.request is not None
        return self.connection.request.headers.get("x-goog-api-key")

    @property
    def path(self) -> str:
        assert self.connection.request is not None
        return self.connection.request.path

    async def next(self) -> Frame:
        """Receive one frame."""
        frame: Frame = json.loads(await self.connection.recv())
        self.received.append(frame)
        blob = frame.get("realtimeInput", {}).get("audio")
        if blob is not None:
            assert blob["mimeType"] == "audio/pcm;rate=16000"
            self.heard += base64.b64decode(blob["data"], validate=True)
        self.changed.set()
        return frame

    async def until(self, kind: str) -> Any:
        """Receive up to a frame of this kind, and return its body."""
        while kind not in (frame := await self.next()):
            pass
        return frame[kind]

    async def until_heard(self, size: int) -> None:
        while len(self.heard) < size:
            await self.next()

    async def all_that_comes(self) -> None:
        """Receive until the client hangs up."""
        try:
            while True:
                await self.next()
        except ConnectionClosed:
            pass

    async def send(self, *frames: Frame | str | bytes) -> None:
        """Send frames as the service does: JSON in binary messages."""
        for frame in frames:
            if isinstance(frame, Mapping):
                self.sent.append(frame)
            await self.connection.send(json.dumps(frame).encode() if isinstance(frame, Mapping) else frame)

    async def confirm(self) -> None:
        await self.until("setup")
        await self.send(SETUP_COMPLETE)


Script = Callable[[Line], Awaitable[None]]


@dataclass
class Server:
    """Where a client finds it, and what has happened on every connection."""

    url: str
    lines: list[Line] = field(default_factory=list)
    mistakes: list[BaseException] = field(default_factory=list)
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until something that was received makes this true."""
        while not condition():
            self.changed.clear()
            async with asyncio.timeout(10):
                await self.changed.wait()

    def models(self, model: str = "gemini-3.8-live", **options: Any) -> GeminiLiveModels:
        return GeminiLiveModels(model, **{"api_key": KEY, "url": self.url, **options})


@asynccontextmanager
async def gemini_live_server(
    *scripts: Script, status: tuple[int, dict[str, str]] | None = None
) -> AsyncIterator[Server]:
    """Serve; the nth connection follows the nth script, the last one is for all that come after."""

    async def follow(connection: ServerConnection) -> None:
        line = Line(connection, server.changed)
        server.lines.append(line)
        try:
            await scripts[min(len(server.lines), len(scripts)) - 1](line)
        except ConnectionClosed:
            pass
        except BaseException as mistake:
            server.mistakes.append(mistake)
            raise

    def answer(connection: ServerConnection, request: Request) -> Response | None:
        if status is None:
            return None
        code, headers = status
        response = connection.respond(HTTPStatus(code), f"the key {KEY} is not good")
        response.headers.update(headers)
        return response

    async with serve(
        follow, "127.0.0.1", 0, process_request=answer, ping_interval=None, close_timeout=0.1
    ) as listening:
        port = listening.sockets[0].getsockname()[1]
        server = Server(f"ws://127.0.0.1:{port}/ws/live")
        yield server
    assert server.mistakes == []


class Posted:
    """What a session has posted."""

    def __init__(self) -> None:
        self.events: list[SpeechModelEvent] = []
        self._came = asyncio.Event()

    def __call__(self, event: SpeechModelEvent) -> None:
        self.events.append(event)
        self._came.set()

    async def until(self, wanted: type[SpeechModelEvent] | SpeechModelEvent, *, count: int = 1) -> Any:
        """Return the nth event of a kind, or like this one."""
        while True:
            found = [e for e in self.events if (isinstance(e, wanted) if isinstance(wanted, type) else e == wanted)]
            if len(found) >= count:
                return found[count - 1]
            self._came.clear()
            async with asyncio.timeout(10):
                await self._came.wait()


OLD_MODEL = "gemini-2.5-flash-native-audio-preview-12-2025"
SECOND = 32_000
"""Bytes of caller audio in a second."""


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(20):
            await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set(), "a task was left behind"

    asyncio.run(timed())


def speech(start_ms: int, end_ms: int) -> bytes:
    """Caller audio whose every sample says where it stands."""
    return struct.pack(f"<{16 * (end_ms - start_ms)}H", *(n % 65_536 for n in range(16 * start_ms, 16 * end_ms)))


async def speak(session: SpeechSession, start_ms: int, end_ms: int) -> None:
    """Speak in frames of 20 ms, letting everybody else have their turn in between."""
    for at_ms in range(start_ms, end_ms, 20):
        session.hear(speech(at_ms, at_ms + 20))
        await asyncio.sleep(0)


async def listen(line: Line) -> None:
    await line.confirm()
    await line.all_that_comes()
