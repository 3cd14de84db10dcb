"""What the dial plan of an Asterisk asks over HTTP, by `CURL`.

When a connection has ended: is the call over, or does it go on? Asterisk cannot tell a connection that broke from an
agent who has hung up (both are cause 16), so it gets one word to branch on. Where it does not connect to us itself:
that we connect to it, for a caller who waits there. And where it connects by AudioSocket: an id that lets this one call
in.
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
from voiceagent.errors import StateUnavailable
from voiceagent.telephony.admission import Admission, query_parameters
from voiceagent.telephony.asterisk import AsteriskDialect
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import asterisk_is_known

__all__ = ["asterisk_routes"]

_log = logging.getLogger(__name__)

_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


def asterisk_routes(
    settings: TelephonySettings,
    *,
    may_go_on: MayGoOn,
    connect: Callable[[str, Admission], bool],
    tokens: CallTokens,
    why_not: Callable[[str], str | None],
) -> list[Route]:
    """Return the routes of Asterisk's questions.

    `connect` has the media server connect to an address; `why_not` says why an agent takes no new call.
    """

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
        if settings.asterisk_url is None or not _ID.fullmatch(connection):
            return _refused(HTTPStatus.BAD_REQUEST, "it names no connection, or --asterisk-url is not given")
        parameters = query_parameters(request.url.query)
        admitted = Admission(str(request.path_params["agent"]), AsteriskDialect(parameters), None)
        if not connect(f"{settings.asterisk_url.rstrip('/')}/{connection}", admitted):
            return _refused(HTTPStatus.SERVICE_UNAVAILABLE, "no new call is taken")
        return PlainTextResponse("connecting")

    async def give_id(request: Request) -> Response:
        refused = _refusal(request, settings)
        if refused is not None:
            return refused
        return await _id_of_a_call(request, settings, tokens, why_not)

    return [
        Route("/asterisk/{agent}/after", after),
        Route("/asterisk/{agent}/connect", connect_to_it),
        Route("/asterisk/{agent}/audiosocket", give_id),
    ]


async def _id_of_a_call(
    request: Request, settings: TelephonySettings, tokens: CallTokens, why_not: Callable[[str], str | None]
) -> Response:
    agent, said = str(request.path_params["agent"]), query_parameters(request.url.query)
    if agent not in {line.agent for line in settings.audiosockets} or not _ID.fullmatch(said.get("call", "")):
        return _refused(HTTPStatus.BAD_REQUEST, "it names no call, or the agent has no --audiosocket")
    if (why := why_not(agent)) is not None:
        return _refused(HTTPStatus.SERVICE_UNAVAILABLE, why)
    caller, called = said.get("caller") or None, said.get("called") or None
    grant = CallGrant(agent, said["call"], "audiosocket", caller=caller, called=called)
    try:
        return PlainTextResponse(await tokens.mint_id(grant))
    except StateUnavailable as exc:
        return _refused(HTTPStatus.SERVICE_UNAVAILABLE, f"no id can be given: {exc}")


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
