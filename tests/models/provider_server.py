"""A provider's HTTP server on this machine, which answers as it is told to, down to the byte."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

Body = dict[str, Any]
Frame = str
"""One server-sent event as it goes on the wire."""
Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

STREAM_HEAD = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\n\r\n"


class ProviderServer:
    """Answers one request after the other as its script says, the last answer again and again."""

    def __init__(self, answer: Callable[[int, Body], Answer]) -> None:
        self.url = ""
        self.bodies: list[Body] = []
        self.heads: list[str] = []
        self.connections = 0
        self.asked = asyncio.Event()
        self.left = asyncio.Event()
        """The client has closed its connection."""
        self.serving: set[asyncio.Task[Any]] = set()
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = asyncio.current_task()
        assert task is not None
        self.serving.add(task)
        try:
            while head := await _head(reader):
                self.heads.append(head)
                length = next(int(line.split(":")[1]) for line in head.splitlines() if "content-length" in line.lower())
                body = json.loads(await reader.readexactly(length))
                self.bodies.append(body)
                self.asked.set()
                await self._answer(len(self.bodies), body)(reader, writer)
                await writer.drain()
                if writer.is_closing():
                    break
        except ConnectionError:
            pass
        finally:
            self.left.set()
            self.serving.discard(task)
            writer.close()


async def _head(reader: asyncio.StreamReader) -> str:
    try:
        return (await reader.readuntil(b"\r\n\r\n")).decode()
    except asyncio.IncompleteReadError:
        return ""


@asynccontextmanager
async def _listening(server: ProviderServer) -> AsyncGenerator[ProviderServer]:
    listening = await asyncio.start_server(server.serve, "127.0.0.1", 0)
    server.url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listening.close()
        if server.serving:  # let it notice that the client has gone
            await asyncio.wait(server.serving, timeout=2)
        await listening.wait_closed()


@asynccontextmanager
async def provider_server(*answers: Answer) -> AsyncGenerator[ProviderServer]:
    server = ProviderServer(lambda number, _: answers[min(number, len(answers)) - 1])
    async with _listening(server):
        yield server


@contextmanager
def provider_elsewhere(answer: Callable[[Body], Answer]) -> Generator[ProviderServer]:
    """Serve in a thread of its own: for calls that hold up their own loop, or have none."""
    ready, over = threading.Event(), asyncio.Event()
    server = ProviderServer(lambda _, body: answer(body))
    loop = asyncio.new_event_loop()

    async def serve() -> None:
        async with _listening(server):
            ready.set()
            await over.wait()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    ready.wait()
    try:
        yield server
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join()
        loop.close()


# --- answers ---------------------------------------------------------------------------------------------------------


def frame(data: dict[str, Any] | str, *, event: str | None = None) -> Frame:
    named = f"event: {event}\n" if event else ""
    return f"{named}data: {data if isinstance(data, str) else json.dumps(data)}\n\n"


def _on_the_wire(frame: Frame) -> bytes:
    text = frame.encode()
    return f"{len(text):x}\r\n".encode() + text + b"\r\n"


def streams(frames: Sequence[Frame | asyncio.Event]) -> Answer:
    """A whole stream; an event among the frames is waited for."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD)
        for frame in frames:
            if isinstance(frame, asyncio.Event):
                await writer.drain()
                await frame.wait()
            else:
                writer.write(_on_the_wire(frame))
        writer.write(b"0\r\n\r\n")

    return answer


def breaks_off_after(frames: Sequence[Frame]) -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"".join(map(_on_the_wire, frames)))
        await writer.drain()
        writer.close()

    return answer


def stalls_after(frames: Sequence[Frame]) -> Answer:
    """Sends these and then nothing, until the client goes away."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(STREAM_HEAD + b"".join(map(_on_the_wire, frames)))
        await reader.read()
        writer.close()

    return answer


async def never_answers(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read()
    writer.close()


def refuses(status: int, error: Body | None = None, *, header: str = "x-nothing: 0") -> Answer:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        body = json.dumps({"type": "error", "error": error or {"message": "no"}}).encode()
        writer.write(
            f"HTTP/1.1 {status} No\r\n{header}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\n\r\n".encode()
            + body
        )

    return answer
