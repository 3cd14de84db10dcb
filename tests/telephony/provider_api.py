"""Providers' REST interfaces on this machine, as their documents describe them: calls, commands and refusals."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import parse_qsl

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tests.telephony.telnyx_ear import TelnyxEar
from voiceagent.ports import Clock
from voiceagent.telephony.live import LiveLines
from voiceagent.telephony.port import OnePort

__all__ = ["ProviderApi", "leg_b_webhooks"]

_OVER = {
    "twilio": (HTTPStatus.NOT_FOUND, {"code": 20404, "message": "The requested resource was not found", "status": 404}),
    "telnyx": (
        HTTPStatus.UNPROCESSABLE_ENTITY,
        {"errors": [{"code": "90018", "title": "Call has already ended"}]},
    ),
    "asterisk": (HTTPStatus.NOT_FOUND, {"message": "Channel not found"}),
}


def leg_b_webhooks(
    command: Mapping[str, Any], *, caller: str, came_of_it: Literal["answered", "busy", "no answer", "not connected"]
) -> list[tuple[str, dict[str, Any]]]:
    """Return the webhooks about the leg that Telnyx' `transfer` calls, and of the two being connected.

    Facts from its document: a transfer that fails is a `call.hangup` of that leg, and the caller's goes on; what was
    given as `target_leg_client_state` comes back with every webhook of that leg, and with no other; `call.bridged` may
    come before `call.answered`. What they say of numbers is about that leg.
    """
    leg: dict[str, Any] = {"call_control_id": "v3:leg-b", "from": "+4940", "to": command["to"]}
    leg["client_state"] = command.get("target_leg_client_state")
    said = [("call.initiated", {**leg, "direction": "outgoing"})]
    match came_of_it:
        case "answered":
            bridged = [("call.bridged", {"call_control_id": caller}), ("call.bridged", leg)]
            return [
                *said,
                *bridged,
                ("call.answered", leg),
                ("call.hangup", {**leg, "hangup_cause": "normal_clearing"}),
            ]
        case "not connected":
            return [*said, ("call.answered", leg), ("call.hangup", {**leg, "hangup_cause": "normal_clearing"})]
        case "busy":
            return [*said, ("call.hangup", {**leg, "hangup_cause": "user_busy"})]
        case "no answer":
            early_media = ("call.bridged", leg)
            return [*said, early_media, ("call.hangup", {**leg, "hangup_cause": "timeout"})]


class ProviderApi:
    """Twilio's, SignalWire's, Telnyx' and Asterisk's interface; `asked` is what it was asked, in order."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.authorizations: set[str] = set()
        self.over: set[str] = set()
        """Calls that have ended."""
        self.broken = False
        self.ear = TelnyxEar("v3:c")
        """Of the caller whose call has that id."""
        self.refuses: set[str] = set()
        """Telnyx' commands that are refused."""
        self.meanwhile: dict[str, Callable[[], Awaitable[None]]] = {}
        """What happens before a command of Telnyx' is answered."""
        self._done: set[tuple[str, str]] = set()
        """Commands that Telnyx passes over from now on: by call and `command_id`."""
        self.dialplan = {"context": "callers", "exten": "1000", "priority": 3, "app_name": "Dial", "app_data": ""}
        """Where an Asterisk's channels are."""
        self._app = Starlette(
            routes=[
                Route("/2010-04-01/Accounts/{account}/Calls.json", self._twilio, methods=["POST"]),
                Route("/2010-04-01/Accounts/{account}/Calls/{call}.json", self._twilio, methods=["POST"]),
                Route("/2010-04-01/Accounts/{account}/Calls/{call}/{rest:path}", self._twilio, methods=["POST"]),
                Route("/api/laml/2010-04-01/Accounts/{account}/Calls.json", self._twilio, methods=["POST"]),
                Route("/api/laml/2010-04-01/Accounts/{account}/Calls/{call}.json", self._twilio, methods=["POST"]),
                Route("/ari/channels", self._ari, methods=["POST"]),
                Route("/ari/channels/{call}", self._ari, methods=["GET", "DELETE"]),
                Route("/v2/calls", self._telnyx, methods=["POST"]),
                Route("/v2/calls/{call}/actions/{action}", self._telnyx, methods=["POST"]),
            ]
        )

    @asynccontextmanager
    async def serving(self, clock: Clock) -> AsyncGenerator[str]:
        """Serve for as long as the block lasts; gives the address."""

        async def admit(_: object) -> HTTPStatus:
            return HTTPStatus.NOT_FOUND

        async def nobody(*_: object) -> None:
            pass

        port: OnePort[object] = OnePort(
            admit=admit, serve=nobody, app=self._app, clock=clock, live=LiveLines(most=1), max_http_connections=10
        )
        number = await port.open("127.0.0.1", 0)
        try:
            yield f"http://127.0.0.1:{number}"
        finally:
            await port.close()

    async def _twilio(self, request: Request) -> Response:
        form = dict(parse_qsl((await request.body()).decode()))
        refusal = self._note(request, "twilio", form)
        return refusal or JSONResponse({"sid": "CA-new"}, status_code=HTTPStatus.CREATED)

    async def _ari(self, request: Request) -> Response:
        body = await request.json() if request.method == "POST" else {"": request.method}
        refusal = self._note(request, "asterisk", body)
        channel = {"id": request.path_params.get("call", "1700000000.9"), "dialplan": self.dialplan}
        return refusal or JSONResponse(channel)

    async def _telnyx(self, request: Request) -> Response:
        body, action = await request.json(), request.path_params.get("action")
        dialled = action is None
        once = (request.path_params.get("call", ""), body.get("command_id", ""))
        if once in self._done:
            return JSONResponse({"data": {"result": "ok"}})
        refusal = self._note(request, "telnyx", body)
        if (happens := self.meanwhile.get(action or "dial")) is not None:
            await happens()
        if refusal is None and (
            (action or "dial") in self.refuses
            or not (dialled or self.ear.commanded(request.path_params["call"], action or "", body))
        ):
            said = {"errors": [{"code": "90054", "title": "Invalid state for this command"}]}
            return JSONResponse(said, status_code=HTTPStatus.UNPROCESSABLE_ENTITY)
        if refusal is None and all(once):
            self._done.add(once)
        return refusal or JSONResponse({"data": {"call_control_id": "v3:new"} if dialled else {"result": "ok"}})

    def _note(self, request: Request, provider: str, body: dict[str, Any]) -> Response | None:
        self.authorizations.add(request.headers["authorization"])
        self.asked.append((request.url.path, body))
        if self.broken:
            return Response("<html>bad gateway</html>", status_code=HTTPStatus.BAD_GATEWAY)
        if request.path_params.get("call") in self.over:
            status, said = _OVER[provider]
            return JSONResponse(said, status_code=status)
        return None
