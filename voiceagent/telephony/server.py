"""The server: carriers connect, are let in or not, and each call is handed to whoever takes calls."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext, suppress
from dataclasses import replace
from functools import partial
from http import HTTPStatus

from starlette.types import ASGIApp
from websockets.asyncio.connection import Connection
from websockets.http11 import Request

from voiceagent.core.ids import CallId, LegId
from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.logs import log_failure
from voiceagent.ports import CallHandler, Clock, IncomingCall, LegFeatures, SharedState
from voiceagent.telephony.admission import Admission, Refusal, admit
from voiceagent.telephony.audiosocket_port import AudioSocketPort
from voiceagent.telephony.call_control import CallControl, Dialled
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.certificate import Certificate
from voiceagent.telephony.codec import Started
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.driver import SocketLeg
from voiceagent.telephony.leg_socket import LegSocket
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.live import SHUTDOWN_S, LiveLines
from voiceagent.telephony.packets import PacketSocket
from voiceagent.telephony.port import OnePort, PageSockets
from voiceagent.telephony.reach import ReachingLine
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.ticker import Ticker
from voiceagent.telephony.transfers import Transfers
from voiceagent.telephony.websocket import WebSocket

__all__ = ["MediaServer"]

_log = logging.getLogger(__name__)

_GOING_AWAY, _INTERNAL_ERROR = 1001, 1011


class MediaServer:
    """Lets media connections in and serves them, whatever door they come by: a port of our own, or somebody else's app.

    `handler` is awaited once for every connection whose far side has named its call; what it raises ends that
    connection with 1011 and touches no other. `tokens` are those that the app gives out, `transfers` what it answers
    when a stream has ended, `limits` are asked before a call is taken, `controls` are the providers' REST interfaces,
    `shared` is what workers have in common.
    """

    def __init__(
        self,
        settings: TelephonySettings,
        *,
        handler: CallHandler,
        clock: Clock,
        tokens: CallTokens,
        transfers: Transfers,
        limits: CallLimits,
        detections: Detections,
        controls: Mapping[str, CallControl] | None = None,
        shared: SharedState | None = None,
    ) -> None:
        self._settings = settings
        self._handler = handler
        self._clock = clock
        self._tokens = tokens
        self._transfers = transfers
        self._limits = limits
        self._detections = detections
        self._controls = controls
        self._shared = shared
        self._ticker = Ticker(clock, late=limits.lag.beat)
        self._leg_numbers = itertools.count(1)
        self._legs: dict[SocketLeg, None] = {}
        self._newest: dict[CallId, SocketLeg] = {}
        self._draining = True
        """Until a door is open."""
        self._reaching: set[asyncio.Task[None]] = set()
        self._certificate: Certificate | None = None
        self.live: LiveLines[Admission] = LiveLines(most=settings.max_calls)
        """Those that are let in, until nothing of their calls is left to be done."""

    @property
    def ready(self) -> bool:
        """Whether a new call would be taken."""
        return not (self._draining or self.live.full or self._overloaded)

    @property
    def live_calls(self) -> int:
        """How many are live."""
        return len(self.live)

    def takes(self, agent: str) -> bool:
        """Whether an agent has fewer calls than its share."""
        most = self._settings.max_calls_per_agent
        return most is None or sum(one.agent == agent for one in self.live.admitted) < most

    @property
    def _overloaded(self) -> bool:
        if not self.live:
            self._limits.lag.nobody_there()
        return self._limits.lag.overloaded

    def drain(self) -> None:
        """Take no new calls; those there are go on."""
        self._draining = True

    def leave(self) -> None:
        """When an agent hangs up from now on, the far side is told that it is because of the server (1001)."""
        for leg in self._legs:
            leg.leave()

    async def drained(self) -> None:
        """Return when no call is live, and carriers have been told where those go that are handed over."""
        await self.live.none_left()
        await self._transfers.all_asked()

    def renew_certificate(self) -> None:
        """Meet new connections with what is in the certificate's file now. Raises OperatorError: the old one stays."""
        if self._certificate is not None:
            self._certificate.renew()
            _log.info("new connections are met with the certificate in %s", self._settings.tls_cert)

    @asynccontextmanager
    async def serving(self, app: ASGIApp, pages: PageSockets | None = None) -> AsyncGenerator[int]:
        """Listen for media sockets and requests to the app for as long as the context lasts; gives the port bound.

        The app's `pages` may have sockets of their own.

        Raises OperatorError where the port cannot be opened. On leaving, connections still open are closed with
        1001 and everything is waited for, in bounded time.
        """
        settings = self._settings
        if settings.tls_cert is not None and settings.tls_key is not None:
            self._certificate = await asyncio.to_thread(Certificate, settings.tls_cert, settings.tls_key)
        port = OnePort(
            admit=self._admit_request,
            serve=self._serve,
            app=app,
            clock=self._clock,
            live=self.live,
            max_http_connections=settings.max_http_connections,
            is_proxy=settings.is_proxy,
            pages=pages,
        )
        async with self.taking_calls(), AsyncExitStack() as closing:
            number = await port.open(
                settings.host, settings.port, listening_fd=settings.listening_fd, certificate=self._certificate
            )
            closing.push_async_callback(port.close)  # before the doors: it ends the calls of all of them
            closing.callback(self.drain)
            how = "".join((", TLS" if self._certificate else "", " (insecure)" if settings.insecure else ""))
            _log.info("listening on %s:%d%s", settings.host, number, how)
            yield number

    @asynccontextmanager
    async def taking_calls(self) -> AsyncGenerator[None]:
        """Take calls for as long as the context lasts, by AudioSocket's ports and whatever else lets them in.

        On leaving, connections still open are closed with 1001 and everything is waited for, in bounded time.
        """
        async with AsyncExitStack() as closing:
            closing.push_async_callback(self._all_reached)
            for line in self._settings.audiosockets:
                door = AudioSocketPort(
                    line,
                    settings=self._settings,
                    tokens=self._tokens,
                    takes=self._takes_packets,
                    serve=self._serve_packets,
                    clock=self._clock,
                )
                closing.push_async_callback(door.close)
                await door.open()
            closing.push_async_callback(self._all_closed)
            closing.callback(self.drain)
            self._draining = False
            yield

    async def _all_closed(self) -> None:
        await self.live.close(_GOING_AWAY, "server is going away")
        with suppress(TimeoutError):
            async with asyncio.timeout(SHUTDOWN_S):
                await self.live.none_left()

    # --- a connection ------------------------------------------------------------------------------------------------

    async def admit(self, path: str, header: Callable[[str], Sequence[str]]) -> Admission | HTTPStatus:
        """Decide by path and headers of an upgrade; `header` returns all values of one. See `LiveLines.let_in`."""
        if not self._takes_any():
            return HTTPStatus.SERVICE_UNAVAILABLE
        admitted = await admit(
            path,
            header,
            settings=self._settings,
            tokens=self._tokens,
            no_room=self._no_room,
            unix_ms=self._clock.unix_ms(),
        )
        if isinstance(admitted, Refusal):
            _log.warning("refused a media socket with %d: %s", admitted.status, admitted.why)
            return admitted.status
        if not self._takes_for(admitted):
            return HTTPStatus.SERVICE_UNAVAILABLE
        return HTTPStatus.SERVICE_UNAVAILABLE if self._draining else admitted  # it may have begun meanwhile

    def _takes_any(self) -> bool:
        refusing = self._draining or self._overloaded
        if refusing:
            _log.warning("refused a media socket: %s", "draining" if self._draining else "overloaded")
        return not refusing

    def _takes_for(self, admitted: Admission) -> bool:
        goes_on = admitted.grant is not None and admitted.grant.again
        spent = None if goes_on else self._limits.has_spent_too_much(agent=admitted.agent)
        why = self._no_room(admitted.agent) or spent
        if why is not None:
            _log.warning("refused a media socket: %s", why)
        return why is None

    def _no_room(self, agent: str) -> str | None:
        return None if self.takes(agent) else f"{agent} has {self._settings.max_calls_per_agent} calls"

    def _takes_packets(self, agent: str) -> bool:
        """Whether a call may come by AudioSocket, before its id is used up."""
        why = f"{len(self.live)} are open" if self.live.full else self._no_room(agent)
        if why is not None:
            _log.warning("refused a media socket: %s", why)
        return why is None and self._takes_any()

    async def _admit_request(self, request: Request) -> Admission | HTTPStatus:
        return await self.admit(request.path, request.headers.get_all)

    async def _serve(self, connection: Connection, admitted: Admission) -> None:
        await self.carry(WebSocket(connection, clock=self._clock), admitted)

    def connect(self, url: str, admitted: Admission) -> bool:
        """Connect to a carrier that waits for it, for a call that is let in; False where no call is taken now."""
        if self.live.full or not self._takes_any() or not self._takes_for(admitted):
            return False
        line = ReachingLine(url)
        self.live.count(line, admitted)  # from now on, or any number of them would fit in while they connect
        task = asyncio.ensure_future(self._reach(line, admitted))
        self._reaching.add(task)
        task.add_done_callback(lambda reached: self._no_longer_reaching(reached, line))
        return True

    def _no_longer_reaching(self, task: asyncio.Task[None], line: ReachingLine) -> None:
        self._reaching.discard(task)
        self.live.forget(line)

    async def _reach(self, line: ReachingLine, admitted: Admission) -> None:
        try:
            async with line.reached() as connection:
                if self._draining:  # it may have begun meanwhile
                    _log.warning("refused a media socket: draining")
                else:
                    await self._serve(connection, admitted)
        except CallLost as exc:
            _log.warning("no call came about: %s", exc)
        except Exception as exc:  # noqa: BLE001 - the outermost frame of a connection
            log_failure(_log, exc, "a media connection failed")

    async def _all_reached(self) -> None:
        """Wait for the connections that were made from here, in bounded time."""
        if self._reaching:
            await asyncio.wait(self._reaching, timeout=SHUTDOWN_S)
            for task in self._reaching:
                task.cancel()
            await asyncio.gather(*self._reaching, return_exceptions=True)

    async def _serve_packets(self, socket: PacketSocket, admitted: Admission) -> None:
        if self._takes_packets(admitted.agent) and self._takes_for(admitted):  # it may be otherwise meanwhile
            with self.live.counted(socket, admitted):
                await self.carry(socket, admitted)

    async def carry(self, socket: LegSocket, admitted: Admission) -> None:
        """Have the call that comes by this connection taken, and return when nothing of it is left to be done."""
        leg = SocketLeg(
            LegId(f"l{next(self._leg_numbers)}"),
            socket=socket,
            dialect=admitted.dialect,
            clock=self._clock,
            ticker=self._ticker,
            lead_ms=self._settings.lead_ms,
            transfers=self._transfers,
            controls=self._controls if admitted.may_be_acted_on else None,
            shared=self._shared,
            dialled_for=partial(self._dialled_for, admitted),  # it does not refer to the leg, which has it
        )
        try:
            await self._run(leg, socket, admitted)
        finally:
            await leg.settled()

    async def _run(self, leg: SocketLeg, socket: LegSocket, admitted: Admission) -> None:
        self._legs[leg] = None
        async with asyncio.TaskGroup() as tasks:

            def on_start(started: Started) -> str | None:
                if admitted.by_name:
                    tasks.create_task(self._take_by_name(started, admitted, leg, socket))
                    return None
                refusal = self._claim(leg, started, admitted)
                if refusal is None:
                    tasks.create_task(self._take(_incoming(leg, started, admitted), leg, socket))
                else:
                    _log.warning("refused a call on leg %s: %s", leg.id, refusal)
                return refusal

            try:
                code, reason = await leg.run(on_start)
            finally:
                del self._legs[leg]
                self._forget(leg)
            await socket.close(code, reason)
            named = admitted.grant.call if admitted.grant is not None else None
            if named is not None and CallId(named) not in self._newest:  # else its caller is heard by another leg
                await leg.turn_away(named)

    def _dialled_for(self, admitted: Admission, started: Started, number: str, features: LegFeatures) -> Dialled | None:
        """Return the call that reaches somebody for a caller; it shows our own number, which the caller had dialled."""
        base, (_, own) = self._settings.webhook_base, _numbers(started, admitted)
        if base is None or own is None:
            return None
        webhook = f"{base}/{features.dialect}/{admitted.agent}/answer"
        return Dialled(number, own, webhook, detect_machine=False, agent=admitted.agent)

    async def _refusal(self, incoming: IncomingCall) -> str | None:
        try:
            return await self._limits.caller_is_over(incoming.call, incoming.caller_number)
        except StateUnavailable as exc:
            return f"nobody knows how often its caller calls: {exc}"

    def _detected(self, incoming: IncomingCall, leg: SocketLeg) -> AbstractAsyncContextManager[None]:
        """Have what the carrier finds out about who has answered posted to a call that we have placed."""
        return self._detections.following(incoming.call, leg.detected) if incoming.outbound else nullcontext()

    def _claim(self, leg: SocketLeg, started: Started, admitted: Admission) -> str | None:
        """Note that this leg is the call's; return why not, where it may not be.

        A carrier that was told to connect a call again has given up the connection before: ours may not have noticed
        yet. Whoever else comes with a call that is live is not its carrier.
        """
        call, grant = CallId(started.call), admitted.grant
        if grant is not None and grant.call not in (None, started.call):
            return "token of another call"
        before = self._newest.get(call)
        if before is not None:
            if grant is None or not grant.again:
                return "the call has a leg"
            _log.warning("call %s has a newer leg: %s instead of %s", call, leg.id, before.id)
            before.give_up("the call has a newer leg")
        self._newest[call] = leg
        return None

    def _forget(self, leg: SocketLeg) -> None:
        for call, newest in list(self._newest.items()):
            if newest is leg:
                del self._newest[call]

    async def _take_by_name(self, started: Started, admitted: Admission, leg: SocketLeg, socket: LegSocket) -> None:
        """Take a call that had no token to show: whether it is connected again is noted under its name."""
        agent, dialect = admitted.agent, leg.features.dialect
        try:
            grant = await self._tokens.expected_again(started.call, agent=agent, dialect=dialect)
        except StateUnavailable as exc:
            _log.warning("refused a call on leg %s: nobody knows whether it goes on: %s", leg.id, exc)
            leg.end("no new call is taken")
            return
        if leg not in self._legs:  # its caller has gone meanwhile
            return
        admitted = replace(admitted, grant=grant)
        refusal = self._claim(leg, started, admitted)
        if refusal is None:
            await self._take(_incoming(leg, started, admitted), leg, socket)
        else:
            _log.warning("refused a call on leg %s: %s", leg.id, refusal)
            leg.end(refusal)

    async def _take(self, incoming: IncomingCall, leg: SocketLeg, socket: LegSocket) -> None:
        refusal = None if incoming.again else await self._refusal(incoming)  # who connects again has begun before
        if refusal is not None:
            _log.warning("refused a call on leg %s: %s", leg.id, refusal)
            leg.end("no new call is taken")  # why is ours to know
            return
        try:
            async with self._limits.going_on(incoming.call, incoming.caller_number):
                leg.answer()
                async with self._detected(incoming, leg):
                    await self._handler(incoming)
        except Exception as exc:  # noqa: BLE001 - the outermost frame of a call: its fault ends this leg and nothing else
            log_failure(_log, exc, "call on leg %s failed", leg.id)
            await socket.close(_INTERNAL_ERROR, "internal error")
        else:
            await leg.hang_up(drain=False)


def _numbers(started: Started, admitted: Admission) -> tuple[str | None, str | None]:
    """Return who calls whom.

    What the signed webhook said comes first, then the carrier's start message, then its custom parameters.
    """
    grant = admitted.grant
    caller = called = None
    if admitted.may_name_numbers:
        caller = started.caller or started.parameters.get("caller")
        called = started.called or started.parameters.get("called")
    return (grant and grant.caller) or caller, (grant and grant.called) or called


def _incoming(leg: SocketLeg, started: Started, admitted: Admission) -> IncomingCall:
    grant = admitted.grant
    caller, called = _numbers(started, admitted)
    return IncomingCall(
        call=CallId(started.call),
        leg=leg,
        agent=admitted.agent,
        caller_number=caller,
        called_number=called,
        parameters=started.parameters,
        again=grant is not None and grant.again,
        names_itself=not admitted.is_vouched_for,
        outbound=(grant is not None and grant.outbound) or started.parameters.get("outbound") == "1",
    )
