"""One port for everything: the carriers' sockets and ordinary web requests come in by the same door.

The head of a connection's first request decides. It is read here, bounded in bytes and time; an upgrade to a WebSocket
goes to the `websockets` library, anything else to uvicorn's HTTP protocol, which runs an ASGI app.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from collections.abc import Awaitable, Callable, Generator
from contextlib import contextmanager, suppress
from http import HTTPStatus
from typing import Generic, Protocol, TypeVar, cast

import h11
from starlette.types import ASGIApp
from uvicorn.config import Config
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState
from websockets.asyncio.server import Server, ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response
from websockets.protocol import State
from websockets.server import ServerProtocol

from voiceagent.errors import OperatorError
from voiceagent.logs import log_failure
from voiceagent.ports import Clock
from voiceagent.telephony.certificate import Certificate
from voiceagent.telephony.direct_connection import DirectConnection
from voiceagent.telephony.first_bytes import HEAD_DEADLINE_MS, MAX_HEAD_BYTES, FirstBytes, Undecided
from voiceagent.telephony.freed import forget_failures
from voiceagent.telephony.live import SHUTDOWN_S, LiveLines

__all__ = ["MAX_MESSAGE_BYTES", "REQUEST_DEADLINE_MS", "OnePort", "PageSockets", "port_errors"]

_log = logging.getLogger(__name__)

REQUEST_DEADLINE_MS = 10_000
"""For any whole HTTP request, from its first byte to the end of its body."""
MAX_MESSAGE_BYTES = 65_536
"""A longer WebSocket message closes the connection with 1009."""
_MAX_QUEUED_MESSAGES = 32
_PING_S = 15
_PONG_S = 20
"""Whoever has gone without a word is so known within 40 seconds, closing included."""
_CLOSE_S = 2

Admitted = TypeVar("Admitted")


class PageSockets(Protocol):
    """The sockets of the server's own pages: they carry no calls, and are none of those that are live."""

    @property
    def path(self) -> str:
        """Where they come in."""
        ...

    def admit(self, request: Request) -> HTTPStatus | None:
        """Return the status of a refusal, or None."""
        ...

    async def serve(self, connection: ServerConnection) -> None:
        """Own a connection that was let in."""
        ...

    async def close(self) -> None:
        """Close all of them, in bounded time."""
        ...


class OnePort(Generic[Admitted]):
    """A listening port. `admit` looks at an upgrade before it is granted, `serve` then owns the connection.

    `admit` returns the HTTP status of a refusal, or what `serve` is to be given. Media sockets are among those that are
    `live`, which there may be others of, from the moment they are let in until `serve` has returned.
    """

    def __init__(
        self,
        *,
        admit: Callable[[Request], Awaitable[Admitted | HTTPStatus]],
        serve: Callable[[ServerConnection, Admitted], Awaitable[None]],
        app: ASGIApp,
        clock: Clock,
        live: LiveLines[Admitted],
        max_http_connections: int,
        is_proxy: Callable[[str], bool] = lambda _: False,
        pages: PageSockets | None = None,
    ) -> None:
        """`is_proxy` says of an address whether everybody may come from there; `pages` has sockets of its own."""
        self.clock = clock
        self.handler_tasks: set[asyncio.Task[None]] = set()
        """Filled by `ServerConnection`, which takes this object for the library's `Server`; what is live is not counted
        here, since an upgrade that is going to be refused has a task too."""
        self._admit = admit
        self._serve = serve
        self._live = live
        self._max_http_connections = max_http_connections
        self._is_proxy = is_proxy
        self._pages = pages
        # As many as all lines at once would need.
        self._undecided = Undecided(
            self.protocol_for, clock=clock, most=live.most + max_http_connections, is_proxy=is_proxy
        )
        self._http = Config(
            app,
            ws="none",  # a second request on an HTTP connection cannot become a socket
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            h11_max_incomplete_event_size=MAX_HEAD_BYTES,
        )
        self._http.load()
        self._http_state = ServerState()
        self._listener: asyncio.Server | None = None

    # --- listening ---------------------------------------------------------------------------------------------------

    async def open(
        self, host: str, port: int, *, listening_fd: int | None = None, certificate: Certificate | None = None
    ) -> int:
        """Listen and return the port bound. Raises OperatorError where that is not possible.

        With `listening_fd` the socket is there already: several processes take connections from it. With a
        `certificate` nothing but TLS is spoken.
        """
        loop = asyncio.get_running_loop()

        def begin() -> FirstBytes:
            return FirstBytes(self._undecided, certificate)

        if listening_fd is not None:
            self._listener = await loop.create_server(begin, sock=socket.socket(fileno=listening_fd))
        else:
            with port_errors(host, port):
                self._listener = await loop.create_server(begin, host, port)
        return int(self._listener.sockets[0].getsockname()[1])

    def is_serving(self) -> bool:
        """Whether new connections are taken; asked by `ServerConnection` before it grants an upgrade."""
        return self._listener is not None and self._listener.is_serving()

    async def close(self) -> None:
        """Take no more connections and end those there are: sockets with 1001, all of it in bounded time."""
        if self._listener is None:
            return
        listener, self._listener = self._listener, None
        listener.close()
        self._undecided.cut_off()
        await self._close_http()
        if self._pages is not None:
            await self._pages.close()
        await self._live.close(1001, "server is going away")
        await _ended(self.handler_tasks)
        async with asyncio.timeout(SHUTDOWN_S):
            await listener.wait_closed()

    async def _close_http(self) -> None:
        for connection in list(self._http_state.connections):
            connection.shutdown()
        await _ended(self._http_state.tasks)
        for connection in list(self._http_state.connections):
            cast("_HttpConnection", connection).cut_off()

    # --- a connection ------------------------------------------------------------------------------------------------

    def protocol_for(self, head: bytes, address: str) -> asyncio.Protocol | None:
        """Return who speaks with a connection that begins so; None where there are too many web requests."""
        if not _is_upgrade(head):
            if not self._has_room(address):
                return None
            return _HttpConnection(self._http, self._http_state, address=address, clock=self.clock)
        return DirectConnection(
            ServerProtocol(max_size=MAX_MESSAGE_BYTES, extensions=None),  # no compression: no bombs
            cast("Server", self),
            ping_interval=_PING_S,
            ping_timeout=_PONG_S,
            close_timeout=_CLOSE_S,
            max_queue=_MAX_QUEUED_MESSAGES,
        )

    def _has_room(self, address: str) -> bool:
        """Whether there may be one more web connection, of all and of those from this address (half of all).

        Half of what comes by a proxy would be half of everything.
        """
        most = self._max_http_connections
        of_one = self._is_proxy(address) or self._make_room(of=address, most=max(1, most // 2))
        return of_one and self._make_room(of=None, most=most)

    def _make_room(self, *, of: str | None, most: int) -> bool:
        """Close the one that has been idle for longest where there are too many: it would keep webhooks out."""
        there = [
            one
            for one in cast("set[_HttpConnection]", self._http_state.connections)
            if of in (None, one.address) and not one.transport.is_closing()
        ]
        if len(there) < most:
            return True
        idle = [(one.idle_since_ms, one) for one in there if one.idle_since_ms is not None]
        if not idle:
            return False
        min(idle, key=lambda each: each[0])[1].cut_off()
        return True

    async def handler(self, connection: ServerConnection) -> None:
        """Run one WebSocket from its upgrade to its end; called by `ServerConnection` in a task of its own."""
        cut_off = self.clock.call_at(self.clock.now_ms() + HEAD_DEADLINE_MS, connection.transport.abort)
        try:
            serve = await self._upgrade(connection)
            cut_off()
            if serve is not None:
                connection.start_keepalive()
                await serve()
        except Exception as exc:  # noqa: BLE001 - the outermost frame of a connection
            log_failure(_log, exc, "a media connection failed")
        finally:
            cut_off()
            connection.transport.abort()
            forget_failures(connection.protocol)
            self._live.forget(connection)
            self._forget_task()

    def _forget_task(self) -> None:
        task = asyncio.current_task()
        if task is not None:
            self.handler_tasks.discard(task)

    async def _upgrade(self, connection: ServerConnection) -> Callable[[], Awaitable[None]] | None:
        """Grant an upgrade, or refuse it; return what owns the connection from then on."""
        verdict: list[Callable[[], Awaitable[None]]] = []

        async def process_request(_: ServerConnection, request: Request) -> Response | None:
            pages = self._pages
            if pages is not None and request.path == pages.path:
                refused = pages.admit(request)
                verdict.append(lambda: pages.serve(connection))
                return _refusal(connection, refused) if refused is not None else None
            admitted = await self._live.let_in(connection, lambda: self._admit(request))
            if isinstance(admitted, HTTPStatus):
                return _refusal(connection, admitted)
            verdict.append(lambda: self._serve(connection, admitted))
            return None

        with suppress(ConnectionClosed):  # whoever asks and does not wait for the answer is no fault of ours
            await connection.handshake(process_request, server_header=None)
        return verdict[0] if verdict and connection.state is State.OPEN else None


@contextmanager
def port_errors(host: str, port: int) -> Generator[None]:
    """Say in the operator's words why a port cannot be opened."""
    try:
        yield
    except OSError as exc:
        why = "is taken" if exc.errno == errno.EADDRINUSE else f"cannot be opened: {exc.strerror}"
        raise OperatorError(f"port {port} on {host} {why}") from exc


def _refusal(connection: ServerConnection, status: HTTPStatus) -> Response:
    return connection.respond(status, f"{status.phrase}\n")


async def _ended(tasks: set[asyncio.Task[None]]) -> None:
    """Wait for them, in bounded time."""
    waited_for = set(tasks)
    if waited_for:
        await asyncio.wait(waited_for, timeout=SHUTDOWN_S)
        for task in waited_for:
            task.cancel()
        await asyncio.gather(*waited_for, return_exceptions=True)


# --- who speaks with a connection ------------------------------------------------------------------------------------


class _HttpConnection(H11Protocol):
    """uvicorn's HTTP connection, with a deadline for each whole request."""

    def __init__(self, config: Config, state: ServerState, *, address: str, clock: Clock) -> None:
        super().__init__(config, state, {})
        self.address = address
        self.idle_since_ms: int | None = None
        """When its last request was answered, where no other has come; None while one is being read or answered."""
        self._clock = clock
        self._cancel_deadline: Callable[[], None] | None = None

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._disarm()

    def _watch(self) -> None:
        """Let the deadline run while a request is incomplete, from its first byte on; see whether one is awaited.

        One whose head is not complete is still awaited: who begins requests and leaves them at that is not busy.
        """
        if self.conn.their_state is not h11.IDLE:
            self.idle_since_ms = None
        elif self.idle_since_ms is None:
            self.idle_since_ms = self._clock.now_ms()
        begun = self.conn.their_state is h11.IDLE and bool(self.conn.trailing_data[0])
        if not begun and self.conn.their_state is not h11.SEND_BODY:
            self._disarm()
        elif self._cancel_deadline is None:
            self._cancel_deadline = self._clock.call_at(self._clock.now_ms() + REQUEST_DEADLINE_MS, self.cut_off)

    def _disarm(self) -> None:
        if self._cancel_deadline is not None:
            self._cancel_deadline()
            self._cancel_deadline = None

    def cut_off(self) -> None:
        """Close without a word."""
        self.transport.abort()


def _is_upgrade(head: bytes) -> bool:
    """Return whether a request head asks for a WebSocket; how well it asks is for the library to judge."""
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.strip().lower() == b"upgrade" and b"websocket" in value.lower():
            return True
    return False
