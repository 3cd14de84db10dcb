"""The control plane as one web application: it answers the carrier's webhook and says whether the server is well."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from http import HTTPStatus
from urllib.parse import parse_qsl
from xml.sax.saxutils import quoteattr

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import webhook_is_signed

__all__ = ["MAX_FORM_BYTES", "control_plane"]

MAX_FORM_BYTES = 65_536
"""Of a webhook's body; the carrier's own take about one thousand."""
_MAX_FIELDS = 200
_MAX_PARAMETERS = 16
_MAX_PARAMETER_CHARS = 500  # the carrier's limit, name and value together
_PARAMETER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def control_plane(settings: TelephonySettings, *, tokens: CallTokens, ready: Callable[[], bool]) -> Starlette:
    """Return the ASGI app. `ready` says whether new calls are taken; `tokens` is what the media server redeems."""

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        if ready():
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not taking calls\n", status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    async def answer(request: Request) -> Response:
        return await _answer(request, settings, tokens)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/twilio/{agent}/answer", answer, methods=["GET", "POST"]),
        ]
    )


# --- the webhook -----------------------------------------------------------------------------------------------------


async def _answer(request: Request, settings: TelephonySettings, tokens: CallTokens) -> Response:
    """Answer "a call is coming" with TwiML that connects it to a media socket of ours."""
    form = await _form(request)
    if form is None:
        return _refused(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    if not settings.insecure and not _is_signed(request, form, settings):
        return _refused(HTTPStatus.FORBIDDEN)
    agent = str(request.path_params["agent"])
    if agent not in settings.agents:
        return _refused(HTTPStatus.NOT_FOUND)
    if settings.media_base is None:
        return _refused(HTTPStatus.SERVICE_UNAVAILABLE)
    query = _pairs(request.url.query)
    said = dict(form or query)
    call = said.get("CallSid", "")
    if not _CALL_ID.fullmatch(call):
        return _refused(HTTPStatus.BAD_REQUEST)
    grant = CallGrant(agent, call, caller=said.get("From") or None, called=said.get("To") or None)
    url = settings.media_base + media_path("twilio", agent, tokens.mint(grant))
    # What came by GET in the query is the carrier's; what a POST has there, the dialling application wrote.
    return Response(_connect(url, _parameters(query) if form else {}), media_type="text/xml")


async def _form(request: Request) -> list[tuple[str, str]] | None:
    """Return the fields of a POST, in order; None where the body is too long. What is no form has no fields."""
    body = bytearray()
    async for piece in request.stream():
        body += piece
        if len(body) > MAX_FORM_BYTES:
            return None
    return _pairs(body.decode("utf-8", "replace"))


def _pairs(encoded: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return []


def _is_signed(request: Request, form: list[tuple[str, str]], settings: TelephonySettings) -> bool:
    signatures = request.headers.getlist("X-Twilio-Signature")
    target = request.scope["raw_path"].decode("ascii", "replace")
    if query := request.scope["query_string"].decode("ascii", "replace"):
        target += "?" + query
    return len(signatures) == 1 and webhook_is_signed(
        target,
        form,
        base=settings.webhook_base,
        auth_token=settings.twilio_auth_token,
        signature=signatures[0],
    )


def _refused(status: HTTPStatus) -> Response:
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)


# --- TwiML -----------------------------------------------------------------------------------------------------------


def _parameters(query: list[tuple[str, str]]) -> Mapping[str, str]:
    """Return what of a webhook's query string is passed on to the call."""
    fitting = [
        (name, value)
        for name, value in query
        if _PARAMETER_NAME.fullmatch(name) and len(name) + len(value) <= _MAX_PARAMETER_CHARS
    ]
    return dict(fitting[:_MAX_PARAMETERS])


def _connect(url: str, parameters: Mapping[str, str]) -> str:
    inside = "".join(
        f"<Parameter name={_attribute(name)} value={_attribute(value)}/>" for name, value in parameters.items()
    )
    return (
        '<?xml version="1.0" encoding="UTF-8"?>'
        f"<Response><Connect><Stream url={_attribute(url)}>{inside}</Stream></Connect></Response>"
    )


def _attribute(text: str) -> str:
    """Return text as an XML attribute with its quotes; characters that XML has no way to write are left out."""
    return quoteattr(_NOT_IN_XML.sub("", text))
