"""The control plane as one web application: it answers the carrier's webhooks and says whether the server is well."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl
from xml.sax.saxutils import escape, quoteattr

from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.console.host import HostAccess, host_event
from voiceagent.core.ids import CallId
from voiceagent.errors import StateUnavailable
from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import webhook_is_signed
from voiceagent.telephony.transfers import Transfers

__all__ = ["MAX_FORM_BYTES", "MayGoOn", "control_plane"]

_log = logging.getLogger(__name__)

MAX_FORM_BYTES = 65_536
"""Of a webhook's body; the carrier's own take about one thousand."""
_MAX_FIELDS = 200
_MAX_PARAMETERS = 16
_MAX_PARAMETER_CHARS = 500  # the carrier's limit, name and value together
_PARAMETER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")
_CALL_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")
MayGoOn = Callable[[str, CallId], Awaitable[bool]]
"""(agent, call) → whether a call whose stream has ended was broken off and goes on if it is connected again."""
_NOT_IN_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def control_plane(
    settings: TelephonySettings,
    *,
    tokens: CallTokens,
    transfers: Transfers,
    limits: CallLimits,
    ready: Callable[[], bool],
    takes: Callable[[str], bool],
    may_go_on: MayGoOn,
    proven: Callable[[], bool] = lambda: True,
    host: HostAccess | None = None,
) -> Starlette:
    """Return the ASGI app.

    `ready` says whether a new call would be taken, `takes` whether one for this agent would; `tokens` is what the
    media server redeems, `transfers` where its legs note whom the carrier is to dial; `limits` say whether this caller
    may begin another call. Where the last synthetic call was not answered nothing is `proven`: whoever spreads calls is
    to send them elsewhere, but one that comes all the same is taken. Without `host` nobody can tell a call anything.
    """

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        if ready() and proven() and limits.has_spent_too_much() is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not taking calls\n", status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    async def answer(request: Request) -> Response:
        asked = await _asked(request, settings)
        if isinstance(asked, Response):
            return asked
        taken = ready() and takes(asked.agent)
        why_not = limits.has_spent_too_much(agent=asked.agent) if taken else "no new call is taken"
        if why_not is not None:
            return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why_not)
        try:
            over = await limits.caller_is_over(asked.call, asked.form.get("From"))
        except StateUnavailable as exc:
            return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"nobody knows how often its caller calls: {exc}")
        if over is not None:
            _log.warning("call %s is told that it is busy: %s", asked.call, over)
            return _twiml('<Reject reason="busy"/>')  # costs nothing, and the caller hears why
        return await _connected(request, asked, tokens)

    async def after(request: Request) -> Response:
        asked = await _asked(request, settings)
        if isinstance(asked, Response):
            return asked
        return await _gone_on(request, asked, tokens=tokens, transfers=transfers, may_go_on=may_go_on)

    async def tell(request: Request) -> Response:
        return await host_event(request, host)

    return Starlette(
        routes=[
            Route("/healthz", healthz),
            Route("/readyz", readyz),
            Route("/calls/{call}/events", tell, methods=["POST"]),
            Route("/twilio/{agent}/answer", answer, methods=["GET", "POST"]),
            Route("/twilio/{agent}/after", after, methods=["GET", "POST"]),
        ]
    )


async def _gone_on(
    request: Request, asked: _Asked, *, tokens: CallTokens, transfers: Transfers, may_go_on: MayGoOn
) -> Response:
    """Say how a call goes on whose stream has ended: with somebody else, with us once more, or not at all."""
    try:
        number = await transfers.next_of(asked.call)
    except StateUnavailable as exc:
        return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"nobody knows where the caller is to go: {exc}")
    if number is not None:
        return _twiml(f"<Dial>{escape(number)}</Dial>")
    if await may_go_on(asked.agent, CallId(asked.call)):
        return await _connected(request, asked, tokens, again=True)
    return _twiml("<Hangup/>")


async def _connected(request: Request, asked: _Asked, tokens: CallTokens, *, again: bool = False) -> Response:
    """Have the carrier connect the call to us, and ask us afterwards what comes next."""
    form = asked.form
    grant = CallGrant(asked.agent, asked.call, caller=form.get("From"), called=form.get("To"), again=again)
    try:
        token = await tokens.mint(grant)
    except StateUnavailable as exc:
        return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"no call token can be given: {exc}")
    media = asked.media_base + media_path("twilio", asked.agent, token)
    return _twiml(_connect(media, asked.parameters, then=f"{asked.webhook_base}/twilio/{asked.agent}/after"))


# --- a webhook -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Asked:
    """What the carrier asks, once it is known to be the carrier."""

    agent: str
    call: str
    form: Mapping[str, str]
    parameters: Mapping[str, str]
    """What the dialling application wrote into the address."""
    webhook_base: str
    media_base: str


async def _asked(request: Request, settings: TelephonySettings) -> _Asked | Response:
    """Read a webhook of Twilio's about one call, or return why it gets no answer."""
    if not settings.insecure and not _could_be_signed(request, settings):
        return _refused(request, HTTPStatus.FORBIDDEN, "not signed, or nothing is configured to check it by")
    form = await _form(request)
    if form is None:
        return _refused(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long, or was broken off")
    if not settings.insecure and not _is_signed(request, form, settings):
        return _refused(request, HTTPStatus.FORBIDDEN, "the signature does not match")
    agent = str(request.path_params["agent"])
    if agent not in settings.agents:
        return _refused(request, HTTPStatus.NOT_FOUND, "no such agent")
    if settings.webhook_base is None or settings.media_base is None:
        return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, "no public URL is configured for the answer to name")
    query = _pairs(request.url.query)
    said = {name: value for name, value in (form or query) if value}
    call = said.get("CallSid", "")
    if not _CALL_ID.fullmatch(call):
        return _refused(request, HTTPStatus.BAD_REQUEST, "it names no call")
    # What came by GET in the query is the carrier's; what a POST has there, the dialling application wrote.
    parameters = _parameters(query if form else [])
    return _Asked(agent, call, said, parameters, settings.webhook_base, settings.media_base)


def _could_be_signed(request: Request, settings: TelephonySettings) -> bool:
    """Return whether it is worth reading a body for; whoever cannot sign has none of it read."""
    can_check = bool(settings.twilio_auth_token) and settings.webhook_base is not None
    return can_check and len(request.headers.getlist("X-Twilio-Signature")) == 1


async def _form(request: Request) -> list[tuple[str, str]] | None:
    """Return the fields of a POST, in order; None where the body is too long or does not come to its end.

    What is no form has no fields.
    """
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_FORM_BYTES:
                return None
    except ClientDisconnect:
        return None
    return _pairs(body.decode("utf-8", "replace"))


def _pairs(encoded: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return []


def _is_signed(request: Request, form: list[tuple[str, str]], settings: TelephonySettings) -> bool:
    target = request.scope["raw_path"].decode("ascii", "replace")
    if query := request.scope["query_string"].decode("ascii", "replace"):
        target += "?" + query
    return webhook_is_signed(
        target,
        form,
        base=settings.webhook_base,
        auth_token=settings.twilio_auth_token,
        signature=request.headers["X-Twilio-Signature"],
    )


def _refused(request: Request, status: HTTPStatus, why: str) -> Response:
    """Say so in our log; the far side is told the status only."""
    _log.warning("refused %s with %d: %s", request.scope["route"].path, status, why)
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


def _connect(media: str, parameters: Mapping[str, str], *, then: str) -> str:
    inside = "".join(
        f"<Parameter name={_attribute(name)} value={_attribute(value)}/>" for name, value in parameters.items()
    )
    return f"<Connect><Stream url={_attribute(media)}>{inside}</Stream></Connect><Redirect>{escape(then)}</Redirect>"


def _twiml(verbs: str) -> Response:
    document = f'<?xml version="1.0" encoding="UTF-8"?><Response>{verbs}</Response>'
    return Response(document, media_type="text/xml")


def _attribute(text: str) -> str:
    """Return text as an XML attribute with its quotes; characters that XML has no way to write are left out."""
    return quoteattr(_NOT_IN_XML.sub("", text))
