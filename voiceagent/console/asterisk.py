"""What an Asterisk asks over HTTP when a caller's connection to us has ended: is the call over, or does it go on?

Its dial plan cannot tell a connection that broke from an agent who has hung up (both are cause 16). So it asks, by
`CURL`, and gets one word that it can branch on.
"""

from __future__ import annotations

import logging
import re
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.console.may_go_on import MayGoOn
from voiceagent.core.ids import CallId
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import asterisk_is_known

__all__ = ["asterisk_routes"]

_log = logging.getLogger(__name__)

_CALL = re.compile(r"[A-Za-z0-9._-]{1,64}")


def asterisk_routes(settings: TelephonySettings, *, may_go_on: MayGoOn) -> list[Route]:
    """Return the routes of Asterisk's questions."""

    async def after(request: Request) -> Response:
        shown = request.headers.getlist("Authorization")
        known = asterisk_is_known(shown[0] if len(shown) == 1 else None, settings.asterisk_password)
        if not (settings.insecure or known):
            return _refused(HTTPStatus.UNAUTHORIZED, "no Asterisk that shows the right password")
        agent, call = str(request.path_params["agent"]), request.query_params.get("call", "")
        if agent not in settings.agents:
            return _refused(HTTPStatus.NOT_FOUND, "no such agent")
        if not _CALL.fullmatch(call):
            return _refused(HTTPStatus.BAD_REQUEST, "it names no call")
        return PlainTextResponse("again" if await may_go_on(agent, CallId(call)) else "over")

    return [Route("/asterisk/{agent}/after", after)]


def _refused(status: HTTPStatus, why: str) -> Response:
    """Say so in our log; the far side is told the status only."""
    _log.warning("refused an Asterisk's question with %d: %s", status, why)
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)
