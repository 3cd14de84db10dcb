"""A media socket that comes by somebody else's web server: a call like any other, whose connection speaks ASGI."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import cast
from urllib.parse import quote

from starlette.datastructures import Headers
from starlette.routing import WebSocketRoute
from starlette.types import Message, Receive, Scope, Send

from voiceagent.logs import log_failure
from voiceagent.ports import Clock
from voiceagent.telephony.leg_socket import MAX_WAITING_BYTES
from voiceagent.telephony.port import MAX_MESSAGE_BYTES
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.websocket import CLOSE_DEADLINE_MS

__all__ = ["AsgiSocket", "media_route", "target_of"]

_log = logging.getLogger(__name__)

_TOO_BIG = 1009
_LOST = 1006
_IN_ORDER = {1000, 1001}
"""Not 1005, a close that gives no code: web servers say it of connections that broke as well."""


class AsgiSocket:
    """Fulfils `LegSocket` over an ASGI connection that is accepted already.

    ASGI sends by a coroutine, which a `write` cannot wait for: what is written is sent by one task, in order, from the
    next turn of the event loop on. What the web server and the operating system hold back cannot be seen from here.
    """

    def __init__(self, receive: Receive, send: Send, *, clock: Clock) -> None:
        self._receive = receive
        self._send = send
        self._clock = clock
        self._waiting: deque[Message] = deque()
        self._waiting_bytes = 0
        self._written = asyncio.Event()
        self._all_sent = asyncio.Event()
        self._reading: asyncio.Timeout | None = None
        self._code: int | None = None
        """How it was closed, once it is."""
        self._by_far_side = False
        self._takes_more = True
        """Until the web server says that nobody is there; reading then tells how it was closed."""

    @asynccontextmanager
    async def sending(self) -> AsyncGenerator[None]:
        """Send what is written for as long as the block lasts."""
        async with asyncio.TaskGroup() as tasks:
            sending = tasks.create_task(self._send_all())
            try:
                yield
            finally:
                sending.cancel()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        """Yield messages until the connection is closed, in good order or not."""
        while self._code is None:
            message = await self._next()
            if message is None:
                return
            text, data = message.get("text"), message.get("bytes")
            said: str | bytes = text if text is not None else data or b""
            if len(said) > MAX_MESSAGE_BYTES:
                self._close(_TOO_BIG, "message too big")
                return
            yield said

    async def _next(self) -> Message | None:
        """Return the next message; None where there is none because the connection is closed, by whichever side."""
        try:
            async with asyncio.timeout(None) as self._reading:
                message = await self._receive()
        except TimeoutError:
            return None
        finally:
            self._reading = None
        if message["type"] == "websocket.receive":
            return message
        if self._code is None:
            self._code = cast("int", message.get("code") or 1005)
            self._by_far_side = True
        self._let_nothing_wait()
        return None

    def write(self, message: str | bytes) -> None:
        """Have a message sent; nothing if the socket is closed."""
        if self._code is not None or not self._takes_more:
            return
        what = "text" if isinstance(message, str) else "bytes"
        self._waiting.append({"type": "websocket.send", what: message})
        self._waiting_bytes += len(message)
        self._all_sent.clear()
        self._written.set()
        if self._waiting_bytes > MAX_WAITING_BYTES:
            self.abort()

    @property
    def unsent_bytes(self) -> int:
        """What the web server has not taken yet."""
        return self._waiting_bytes

    @property
    def end(self) -> str:
        """The close code and what it was called, e.g. `connection lost (1006)`."""
        return f"connection {'closed' if self.closed_in_order else 'lost'} ({self._code or _LOST})"

    @property
    def closed_in_order(self) -> bool:
        """Whether the far side has closed it, with a code that names no fault."""
        return self._by_far_side and self._code in _IN_ORDER

    async def close(self, code: int, reason: str) -> None:
        """Close in good order, behind what waits to be sent; what has not been sent at the deadline never is."""
        if self._code is None:
            self._close(code, reason)
        late = self._clock.call_at(self._clock.now_ms() + CLOSE_DEADLINE_MS, self._let_nothing_wait)
        try:
            await self._all_sent.wait()
        finally:
            late()

    def abort(self) -> None:
        """Close without a word. ASGI has no such thing: the connection ends when its call has returned."""
        if self._code is None:
            self._code = _LOST
            self._let_nothing_wait()
            self._stop_reading()

    def _close(self, code: int, reason: str) -> None:
        self._code = code
        self._stop_reading()
        if self._takes_more:
            self._waiting.append({"type": "websocket.close", "code": code, "reason": reason})
            self._all_sent.clear()
            self._written.set()

    def _stop_reading(self) -> None:
        reading, self._reading = self._reading, None
        if reading is not None:
            reading.reschedule(0)

    def _let_nothing_wait(self) -> None:
        self._takes_more = False
        self._waiting.clear()
        self._waiting_bytes = 0
        self._all_sent.set()

    async def _send_all(self) -> None:
        try:
            while True:
                await self._written.wait()
                self._written.clear()
                while self._waiting:
                    message = self._waiting[0]
                    await self._send(message)
                    self._sent(message)
                self._all_sent.set()
        except (OSError, RuntimeError):  # nobody is there any more; RuntimeError: the web server itself has closed
            self._let_nothing_wait()

    def _sent(self, message: Message) -> None:
        """Take a message off; it may have been given up while it was on its way."""
        if self._waiting and self._waiting[0] is message:
            self._waiting.popleft()
            self._waiting_bytes -= len(message.get("text") or message.get("bytes") or "")


def media_route(media: MediaServer, *, clock: Clock) -> WebSocketRoute:
    """Return the route by which media sockets come to a server through an app."""
    return WebSocketRoute("/media/{path:path}", _MediaDoor(media, clock), name="media")


class _MediaDoor:
    """Lets media sockets in by ASGI, or refuses them before they are any."""

    def __init__(self, media: MediaServer, clock: Clock) -> None:
        self._media = media
        self._clock = clock

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if (await receive())["type"] != "websocket.connect":
            return
        socket, media = AsgiSocket(receive, send, clock=self._clock), self._media
        header = Headers(scope=scope).getlist
        try:
            admitted = await media.live.let_in(socket, lambda: media.admit(target_of(scope), header))
            if isinstance(admitted, HTTPStatus):
                await _refuse(scope, send, admitted)
                return
            await send({"type": "websocket.accept"})
            async with socket.sending():
                await media.carry(socket, admitted)
        except OSError:  # whoever asks and does not wait for the answer is no fault of ours
            return
        except Exception as exc:  # noqa: BLE001 - the outermost frame of a connection
            log_failure(_log, exc, "a media connection failed")
        finally:
            media.live.forget(socket)


async def _refuse(scope: Scope, send: Send, status: HTTPStatus) -> None:
    """Say no with this status; where the web server cannot, closing becomes its 403."""
    if "websocket.http.response" not in (scope.get("extensions") or {}):
        await send({"type": "websocket.close"})
        return
    body = f"{status.phrase}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", b"%d" % len(body))]
    await send({"type": "websocket.http.response.start", "status": status.value, "headers": headers})
    await send({"type": "websocket.http.response.body", "body": body})


def target_of(scope: Scope) -> str:
    """Return path and query of a request as they were sent, without the path under which the app is mounted."""
    raw = cast("bytes | None", scope.get("raw_path")) or quote(cast("str", scope["path"])).encode("ascii")
    path = raw.removeprefix(quote(cast("str", scope.get("root_path", ""))).encode("ascii"))
    query = cast("bytes", scope["query_string"])
    return (path + b"?" + query if query else path).decode("ascii", "replace")
