"""The telephone lines as an ASGI app: for whoever has a web server already and wants to be called there.

The same server as `voiceagent serve`, but for its port: `TelephoneApp` is mounted in a Starlette or FastAPI app, whose
lifespan is its own.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from http import HTTPStatus

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.websockets import WebSocketClose

from voiceagent.cli.agent_server import AgentServer, ServerSettings, ServiceSettings, agent_server
from voiceagent.cli.agents import agents_to_serve
from voiceagent.console.web_log import WebLog, discreet_web_log
from voiceagent.errors import OperatorError
from voiceagent.runtime.session import Observer
from voiceagent.spec.flow import Flow
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings

__all__ = [
    "CarrierKeys",
    "ServerSettings",
    "ServiceSettings",
    "TelephoneApp",
    "TelephonySettings",
    "agents_to_serve",
]

_log = logging.getLogger(__name__)


class TelephoneApp:
    """Media sockets (`/media/…`), webhooks, `/readyz` and all else that a server of these agents has, as one app.

    It takes calls while its `lifespan` lasts, which the app that it is mounted in has to be given; served by itself it
    needs nothing more. Of the settings, those of a port (`host`, `port`, `max_http_connections`) have no effect:
    connections, TLS, pings and what a message may be compressed to are the web server's.
    """

    def __init__(
        self,
        settings: ServerSettings,
        agents: Mapping[str, Flow],
        *,
        observers: Sequence[Observer] = (),
        drain_s: float = 120,
    ) -> None:
        """`agents` are flows by the names of `settings.telephony.agents`; calls have `drain_s` to end when it closes.

        Raises OperatorError where the settings speak of other agents, or of a certificate.
        """
        if settings.telephony.agents != frozenset(agents):
            raise OperatorError(
                f"the settings are for {sorted(settings.telephony.agents)}, and the agents are {sorted(agents)}"
            )
        if settings.telephony.tls_cert is not None:
            raise OperatorError("an app has no port to speak TLS on: give the certificate to the web server")
        self._settings = settings
        self._agents = agents
        self._observers = observers
        self._drain_s = drain_s
        self._app: ASGIApp | None = None
        self._web_log: WebLog | None = None
        self._server: AgentServer | None = None

    @asynccontextmanager
    async def lifespan(self, app: object = None) -> AsyncGenerator[None]:
        """Take calls until the block is left, and let those there are come to their end.

        Raises OperatorError, MissingExtra and WeightsError before it does.
        """
        del app  # whoever it is mounted in: as Starlette and FastAPI call a lifespan
        with discreet_web_log() as web_log:
            self._web_log = web_log
            try:
                async with agent_server(
                    self._settings, self._agents, observers=self._observers, mount=self._mount
                ) as self._server:
                    try:
                        yield
                    finally:
                        await self.drain()
            finally:
                self._app = self._server = self._web_log = None

    def _mount(self, app: ASGIApp) -> None:
        self._app = app

    @property
    def server(self) -> AgentServer:
        """What tells calls something and reloads agents. Raises OperatorError outside of the lifespan."""
        if self._server is None:
            raise OperatorError("the telephone is not connected: give its lifespan to the app that it is mounted in")
        return self._server

    async def drain(self) -> bool:
        """Take no new calls and wait for those there are, in bounded time; see `AgentServer.drain`.

        For web servers that end connections before they end lifespans, which is what uvicorn does.
        """
        return await self.server.drain(self._drain_s)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or carry one call."""
        if scope["type"] == "lifespan":
            await Starlette(lifespan=self.lifespan)(scope, receive, send)
        elif self._app is not None and self._web_log is not None:
            self._web_log.is_ours(scope.get("root_path", ""))
            await self._app(scope, receive, send)
        else:
            _log.error("nobody can call: the lifespan of TelephoneApp is not that of the app it is mounted in")
            closed = PlainTextResponse("not taking calls\n", status_code=HTTPStatus.SERVICE_UNAVAILABLE)
            await (WebSocketClose() if scope["type"] == "websocket" else closed)(scope, receive, send)
