"""Amazon Bedrock's bidirectional stream on this machine: HTTP/2 over TLS, AWS event-stream frames, a scripted model.

The client is AWS's own SDK; only who answers is ours. Frames are read and written with AWS's codec. A frame of the
client's is signed: its payload is a frame of its own, empty at the end. Nothing is known here of the adapter.
"""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
import time
from collections import deque
from collections.abc import Awaitable, Callable
from io import BytesIO
from typing import Any, Self

import trustme
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    RequestReceived,
    StreamEnded,
    StreamReset,
    WindowUpdated,
)
from smithy_aws_event_stream.events import Event, EventMessage
from smithy_http.aio.crt import AWSCRTHTTPClient, AWSCRTHTTPClientConfig

Brain = Callable[["FakeSession"], Awaitable[None]]


class FakeSession:
    """One stream of a client: what has come, and what the brain makes of it."""

    def __init__(self, connection: _Connection, number: int, path: str) -> None:
        self._connection = connection
        self._number = number
        self._coming: asyncio.Queue[tuple[str, dict[str, Any]] | None] = asyncio.Queue()
        self._received = b""
        self._contents = 0
        self._head_sent = False
        self.path = path
        self.number_in_call = 0
        """1 for the first session that the server was asked for."""
        self.events: list[tuple[str, dict[str, Any]]] = []
        """All that the client has sent, in order."""
        self.came_at: list[float] = []
        self.audio = bytearray()
        """The caller's audio, as it came."""
        self.ended = False
        """The client has closed its side with an empty frame."""
        self.reset = False
        self.brain: asyncio.Task[None] | None = None

    # --- what the client sends ---------------------------------------------------------------------------------------

    def take(self, data: bytes) -> None:
        self._received += data
        while len(self._received) >= 4 and len(self._received) >= (size := int.from_bytes(self._received[:4], "big")):
            frame, self._received = self._received[:size], self._received[size:]
            signed = Event.decode(BytesIO(frame))
            assert signed is not None
            assert ":chunk-signature" in signed.message.headers
            if not signed.message.payload:
                self.ended = True
                self._coming.put_nowait(None)
                return
            inner = Event.decode(BytesIO(signed.message.payload))
            assert inner is not None
            assert inner.message.headers[":event-type"] == "chunk"
            payload = base64.b64decode(json.loads(inner.message.payload)["bytes"])
            ((name, body),) = json.loads(payload)["event"].items()
            self.events.append((name, body))
            self.came_at.append(time.monotonic())
            if name == "audioInput":
                self.audio += base64.b64decode(body["content"], validate=True)
            self._coming.put_nowait((name, body))

    @property
    def names(self) -> list[str]:
        """The kinds of what has come, audio once for a run of frames."""
        names: list[str] = []
        for name, _ in self.events:
            if name != "audioInput" or names[-1:] != ["audioInput"]:
                names.append(name)
        return names

    @property
    def texts(self) -> list[tuple[str, bool, str]]:
        """Role, interactive, words, of every text that has come whole."""
        started: dict[str, dict[str, Any]] = {}
        words: dict[str, str] = {}
        texts: list[tuple[str, bool, str]] = []
        for name, body in self.events:
            if name == "contentStart" and body["type"] == "TEXT":
                started[body["contentName"]] = body
            elif name == "textInput":
                words[body["contentName"]] = words.get(body["contentName"], "") + body["content"]
            elif name == "contentEnd" and body["contentName"] in started:
                start = started[body["contentName"]]
                texts.append((start["role"], start["interactive"], words[body["contentName"]]))
        return texts

    async def event(self) -> tuple[str, dict[str, Any]] | None:
        """Return the next event of the client's, or None after the last."""
        return await self._coming.get()

    async def until(self, wanted: Callable[[str, dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the first event that is wanted; those before it are passed over."""
        while (event := await self.event()) is not None:
            if wanted(*event):
                return event[1]
        raise EOFError

    async def until_heard(self, size: int) -> None:
        """Return once so many bytes of the caller's audio have come."""
        while len(self.audio) < size:
            if await self.event() is None:
                raise EOFError

    async def until_asked(self) -> str:
        """Return the words of the next interactive text."""
        start = await self.until(
            lambda name, body: name == "contentStart" and body["type"] == "TEXT" and body["interactive"]
        )
        words = ""
        while (event := await self.event()) is not None:
            if event[1].get("contentName") == start["contentName"]:
                if event[0] == "contentEnd":
                    return words
                words += event[1]["content"]
        raise EOFError

    # --- what the model does -----------------------------------------------------------------------------------------

    def head(self) -> None:
        """Answer the request."""
        if not self._head_sent:
            self._head_sent = True
            self._connection.headers(
                self._number, [(":status", "200"), ("content-type", "application/vnd.amazon.eventstream")]
            )

    def refuse(self, status: int, error: str, message: str = "no", **headers: str) -> None:
        """Answer the request with a failure."""
        more = [(name.replace("_", "-"), value) for name, value in headers.items()]
        self._connection.headers(
            self._number,
            [(":status", str(status)), ("content-type", "application/json"), ("x-amzn-errortype", error), *more],
        )
        self._connection.data(self._number, json.dumps({"message": message}).encode(), end=True)

    def send(self, name: str, **body: Any) -> None:
        """Send one output event."""
        self.head()
        payload = json.dumps({"bytes": base64.b64encode(json.dumps({"event": {name: body}}).encode()).decode()})
        headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
        self._connection.data(self._number, EventMessage(headers=headers, payload=payload.encode()).encode())

    def content(self, kind: str, role: str, stage: str | None = None) -> str:
        """Start a content and return its id."""
        self._contents += 1
        identity = f"content-{self._contents}"
        more = {} if stage is None else {"additionalModelFields": json.dumps({"generationStage": stage})}
        self.send("contentStart", contentId=identity, type=kind, role=role, **more)
        return identity

    def say(self, text: str, audio: bytes, *, last: bool = True) -> None:
        """Say one sentence: announced, spoken in two pieces, and told again as it was said."""
        self.text("ASSISTANT", "SPECULATIVE", text)
        identity = self.content("AUDIO", "ASSISTANT")
        half = len(audio) // 4 * 2
        for piece in (audio[:half], audio[half:]):
            self.send("audioOutput", contentId=identity, content=base64.b64encode(piece).decode())
        self.send("contentEnd", contentId=identity, type="AUDIO", stopReason="END_TURN" if last else "PARTIAL_TURN")
        self.text("ASSISTANT", "FINAL", text, stop="END_TURN" if last else "PARTIAL_TURN")

    def text(self, role: str, stage: str, text: str, stop: str = "PARTIAL_TURN") -> None:
        """Send a text of the caller's or the model's."""
        identity = self.content("TEXT", role, stage)
        self.send("textOutput", contentId=identity, role=role, content=text)
        self.send("contentEnd", contentId=identity, type="TEXT", stopReason=stop)

    def use_tool(self, request: str, name: str, **arguments: Any) -> None:
        """Ask for a tool."""
        identity = self.content("TOOL", "TOOL")
        self.send("toolUse", contentId=identity, toolUseId=request, toolName=name, content=json.dumps(arguments))
        self.send("contentEnd", contentId=identity, type="TOOL", stopReason="TOOL_USE")

    def fail(self, exception: str, message: str) -> None:
        """Break off with one of the service's exceptions."""
        self.head()
        headers = {":exception-type": exception, ":content-type": "application/json", ":message-type": "exception"}
        payload = json.dumps({"message": message}).encode()
        self._connection.data(self._number, EventMessage(headers=headers, payload=payload).encode(), end=True)

    def end(self) -> None:
        """End the response."""
        self.head()
        self._connection.data(self._number, b"", end=True)

    def drop(self) -> None:
        """Drop the connection."""
        self._connection.drop()


class _Connection(asyncio.Protocol):
    """One client, over HTTP/2."""

    def __init__(self, server: FakeNova) -> None:
        self._server = server
        self._h2 = H2Connection(H2Configuration(client_side=False))
        self._sessions: dict[int, FakeSession] = {}
        self._waiting: dict[int, deque[tuple[bytes, bool]]] = {}
        self._transport: Any = None

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        self._server.connections.add(self)
        self._h2.initiate_connection()
        self._write()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.connections.discard(self)
        self._server.closed_connections += 1
        for session in self._sessions.values():
            if session.brain is not None:
                session.brain.cancel()

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            match event:
                case RequestReceived():
                    self._begin(event)
                case DataReceived():
                    if not self._server.deaf:
                        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        self._sessions[event.stream_id].take(event.data)
                case WindowUpdated():
                    for number in list(self._waiting):
                        self._push(number)
                case StreamReset():
                    self._sessions[event.stream_id].reset = True
                case StreamEnded() | ConnectionTerminated():
                    pass
                case _:
                    pass
        self._write()

    def _begin(self, event: RequestReceived) -> None:
        headers = {name.decode(): value.decode() for name, value in event.headers or []}
        assert headers["authorization"].startswith("AWS4-HMAC-SHA256 ")
        session = FakeSession(self, event.stream_id, headers[":path"])
        self._sessions[event.stream_id] = session
        self._server.sessions.append(session)
        session.number_in_call = len(self._server.sessions)
        session.brain = asyncio.ensure_future(self._server.brain(session))
        session.brain.add_done_callback(self._server.note)

    def headers(self, number: int, headers: list[tuple[str, str]]) -> None:
        self._h2.send_headers(number, headers)
        self._write()

    def data(self, number: int, data: bytes, *, end: bool = False) -> None:
        self._waiting.setdefault(number, deque()).append((data, end))
        self._push(number)
        self._write()

    def _push(self, number: int) -> None:
        waiting = self._waiting.get(number)
        while waiting:
            data, end = waiting[0]
            room = min(self._h2.local_flow_control_window(number), self._h2.max_outbound_frame_size)
            if room < len(data):
                if room <= 0:
                    return
                self._h2.send_data(number, data[:room])
                waiting[0] = (data[room:], end)
                continue
            waiting.popleft()
            self._h2.send_data(number, data, end_stream=end)

    def _write(self) -> None:
        if self._transport is not None and (data := self._h2.data_to_send()):
            self._transport.write(data)

    def drop(self) -> None:
        self._transport.abort()


class FakeNova:
    """The service: `async with FakeNova(brain) as nova`; each stream is given to the brain."""

    def __init__(self, brain: Brain) -> None:
        self.brain = brain
        self.sessions: list[FakeSession] = []
        self.connections: set[_Connection] = set()
        self.closed_connections = 0
        self.deaf = False
        """Read from the socket, but grant no room for more and understand nothing."""
        self.failures: list[BaseException] = []
        self.endpoint = ""

    async def __aenter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("localhost").configure_cert(context)
        context.set_alpn_protocols(["h2"])
        loop = asyncio.get_running_loop()
        self._listening = await loop.create_server(lambda: _Connection(self), "127.0.0.1", 0, ssl=context)
        self.endpoint = f"https://localhost:{self._listening.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exc: object) -> None:
        for connection in list(self.connections):
            connection.drop()
        self._listening.close()
        await self._listening.wait_closed()
        assert not self.failures, self.failures

    def note(self, brain: asyncio.Future[None]) -> None:
        if not brain.cancelled() and (failure := brain.exception()) and not isinstance(failure, EOFError):
            self.failures.append(failure)


class TrustingTransport(AWSCRTHTTPClient):
    """AWS's transport without the check of certificates, which it offers no way to switch off."""

    def __init__(self, eventloop: Any = None, client_config: Any = None) -> None:
        super().__init__(eventloop, client_config or AWSCRTHTTPClientConfig(force_http_2=True))
        from awscrt.io import ClientTlsContext, TlsContextOptions

        options = TlsContextOptions()
        options.verify_peer = False
        self._tls_ctx = ClientTlsContext(options)

    def __deepcopy__(self, memo: Any) -> TrustingTransport:
        return TrustingTransport(self._eventloop, self._config)
