"""What the dial plan of an Asterisk asks over HTTP, by `CURL`.

When a connection has ended: is the call over, or does it go on? Asterisk cannot tell a connection that broke from an
agent who has hung up (both are cause 16), so it gets one word to branch on. And where it does not connect to us itself:
that we connect to it, for a caller who waits there.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.console.may_go_on import MayGoOn
from voiceagent.core.ids import CallId
from voiceagent.telephony.admission import Admission, query_parameters
from voiceagent.telephony.asterisk import AsteriskDialect
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import asterisk_is_known

__all__ = ["asterisk_routes"]

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def asterisk_routes(
    settings: TelephonySettings, *, may_go_on: MayGoOn, connect: Callable[[str, Admission], bool]
) -> list[Route]:
    """Return the routes of Asterisk's questions; `connect` has the media server connect to an address."""

    async def after(request: Request) -> Response:
        refused = _refusal(request, settings)
        if refused is not None:
            return refused
        agent, call = str(request.path_params["agent"]), request.query_params.get("call", "")
        if not _ID.fullmatch(call):
            return _refused(HTTPStatus.BAD_REQUEST, "it names no call")
        return PlainTextResponse("again" if await may_go_on(agent, CallId(call)) else "over")

    async def connect_to_it(request: Request) -> Response:
        refused = _refusal(request, settings)
        if refused is not None:
            return refused
        connection = request.query_params.get("connection", "")
        if settings.asterisk_url is None or not _ID.fullmatch(connection) or not connection.strip("."):
            return _refused(HTTPStatus.BAD_REQUEST, "it names no connection, or --asterisk-url is not given")
        parameters = query_parameters(request.url.query)
        admitted = Admission(str(request.path_params["agent"]), AsteriskDialect(parameters), None)
        if not connect(f"{settings.asterisk_url.rstrip('/')}/{connection}", admitted):
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "no new call is taken")
        return PlainTextResponse("connecting")

    return [Route("/asterisk/{agent}/after", after), Route("/asterisk/{agent}/connect", connect_to_it)]


def _refusal(request: Request, settings: TelephonySettings) -> Response | None:
    shown = request.headers.getlist("Authorization")
    known = asterisk_is_known(shown[0] if len(shown) == 1 else None, settings.asterisk_password)
    if not (settings.insecure or known):
        return _refused(HTTPStatus.UNAUTHORIZED, "no Asterisk that shows the right password")
    if request.path_params["agent"] not in settings.agents:
        return _refused(HTTPStatus.NOT_FOUND, "no such agent")
    return None


def _refused(status: HTTPStatus, why: str) -> Response:
    """Say so in our log; the far side is told the status only."""
    _log.warning("refused an Asterisk's question with %d: %s", status, why)
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)
