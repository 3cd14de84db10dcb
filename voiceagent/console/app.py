"""The control plane as one web application: it answers the carriers' webhooks and says whether the server is well."""

from __future__ import annotations

import logging
import re
import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import assert_never

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.console.asterisk import AsteriskQuestions
from voiceagent.console.host import HostAccess, host_event
from voiceagent.console.may_go_on import MayGoOn
from voiceagent.console.telnyx import TelnyxDesk
from voiceagent.console.twiml import ask, connect, dial, dial_and_ask, go_on, say, twiml
from voiceagent.console.web import Console, WebConsole
from voiceagent.console.webhooks import MAX_FORM_BYTES, pairs, read_webhook, refused
from voiceagent.core.ids import CallId
from voiceagent.errors import StateUnavailable
from voiceagent.ports import Clock
from voiceagent.telephony.admission import Admission, media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.consultations import ACCEPTED_BY
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.dialects import DIALECTS, DialectRow
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.telnyx_calls import TelnyxCalls
from voiceagent.telephony.transfers import Handover, Transfers
from voiceagent.telephony.wire_json import is_id

__all__ = ["MAX_FORM_BYTES", "control_plane"]

_log = logging.getLogger(__name__)

_MAX_PARAMETERS = 16
_MAX_PARAMETER_CHARS = 500  # the carrier's limit, name and value together
_PARAMETER_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,63}")


def control_plane(
    settings: TelephonySettings,
    *,
    clock: Clock,
    tokens: CallTokens,
    transfers: Transfers,
    limits: CallLimits,
    detections: Detections,
    ready: Callable[[], bool],
    takes: Callable[[str], bool],
    may_go_on: MayGoOn,
    connect: Callable[[str, Admission], bool],
    telnyx: TelnyxCalls | None = None,
    proven: Callable[[], bool] = lambda: True,
    host: HostAccess | None = None,
    console: Console | None = None,
) -> Starlette:
    """Return the ASGI app.

    `ready` says whether a new call would be taken, `takes` whether one for this agent would; `tokens` is what the
    media server redeems, `transfers` where its legs note whom the carrier is to dial; `limits` say whether this caller
    may begin another call; `detections` are told who has answered those that we have placed; `telnyx` is what answers
    calls there; `connect` has the media server connect to an exchange that waits for it. Where the last synthetic call
    was not answered nothing is `proven`: whoever spreads calls is to send them elsewhere, but one that comes all the
    same is taken. Without `host` nobody can tell a call anything, and without `console` there are no pages.
    """

    def why_not(agent: str) -> str | None:
        if not (ready() and takes(agent)):
            return "no new call is taken"
        return limits.has_spent_too_much(agent=agent)

    lines = _Lines(
        settings=settings,
        clock=clock,
        tokens=tokens,
        transfers=transfers,
        limits=limits,
        detections=detections,
        why_not=why_not,
        may_go_on=may_go_on,
        telnyx=telnyx,
    )

    async def healthz(_: Request) -> Response:
        return PlainTextResponse("alive\n")

    async def readyz(_: Request) -> Response:
        if ready() and proven() and limits.has_spent_too_much() is None:
            return PlainTextResponse("ready\n")
        return PlainTextResponse("not taking calls\n", status_code=HTTPStatus.SERVICE_UNAVAILABLE)

    async def tell(request: Request) -> Response:
        return await host_event(request, host)

    routes = [
        Route("/healthz", healthz),
        Route("/readyz", readyz),
        Route("/calls/{call}/events", tell, methods=["POST"]),
    ]
    for row in DIALECTS.values():
        routes += lines.routes_of(row)
    routes += AsteriskQuestions(
        settings=settings,
        clock=clock,
        tokens=tokens,
        may_go_on=may_go_on,
        is_leaving=transfers.is_leaving,
        connect=connect,
        why_not=why_not,
    ).routes()
    if console is not None:
        routes += WebConsole(settings=settings, tokens=tokens, why_not=why_not, console=console).routes()
    return Starlette(routes=routes)


@dataclass(frozen=True, slots=True)
class _Asked:
    """What a carrier asks, once it is known to be the carrier."""

    row: DialectRow
    agent: str
    call: str
    form: Mapping[str, str]
    parameters: Mapping[str, str]
    """What the dialling application wrote into the address."""
    webhook_base: str
    media_base: str

    @property
    def address(self) -> str:
        """Where the webhooks of this agent begin."""
        return f"{self.webhook_base}/{self.row.name}/{self.agent}"

    @property
    def caller(self) -> str | None:
        """Who is on the other end, whoever has dialled."""
        return self.form.get("To" if self.outbound else "From")

    @property
    def called(self) -> str | None:
        """Our own number."""
        return self.form.get("From" if self.outbound else "To")

    @property
    def outbound(self) -> bool:
        """Whether we have placed the call."""
        return self.form.get("Direction", "").startswith("outbound")


@dataclass(frozen=True, slots=True, kw_only=True)
class _Lines:
    """What answers webhooks."""

    settings: TelephonySettings
    clock: Clock
    tokens: CallTokens
    transfers: Transfers
    limits: CallLimits
    detections: Detections
    why_not: Callable[[str], str | None]
    """Why no new call is taken for this agent."""
    may_go_on: MayGoOn
    telnyx: TelnyxCalls | None

    def routes_of(self, row: DialectRow) -> list[Route]:
        """Return the routes of a dialect's webhooks: a call has come in, and its stream has ended."""
        match row.answer:
            case "twiml":
                methods = ["GET", "POST"]
                return [
                    self._route(row, "answer", self._answer_document, methods),
                    self._route(row, "after", self._after, methods),
                    self._route(row, "announce", self._announce, methods),
                    self._route(row, "heard", self._heard, methods),
                    self._route(row, "machine", self._detected, ["POST"]),
                ]
            case "telnyx":
                return [self._route(row, "answer", self._answer_commands, ["POST"])]
            case "json":
                return [self._route(row, "answer", self._answer_address, ["POST"])]
            case None:
                return []
        assert_never(row.answer)

    @staticmethod
    def _route(
        row: DialectRow,
        word: str,
        reply: Callable[[Request, DialectRow], Awaitable[Response]],
        methods: list[str],
    ) -> Route:
        async def endpoint(request: Request) -> Response:
            return await reply(request, row)

        return Route(f"/{row.name}/{{agent}}/{word}", endpoint, methods=methods)

    # --- documents ---------------------------------------------------------------------------------------------------

    async def _answer_document(self, request: Request, row: DialectRow) -> Response:
        asked = await self._asked(request, row)
        if isinstance(asked, Response):
            return asked
        if (why := self.why_not(asked.agent)) is not None:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why)
        try:
            over = await self.limits.caller_is_over(asked.call, asked.caller)
        except StateUnavailable as exc:
            why = f"nobody knows how often its caller calls: {exc}"
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why)
        if over is not None:
            _log.warning("call %s is told that it is busy: %s", asked.call, over)
            return twiml('<Reject reason="busy"/>')  # costs nothing, and the caller hears why
        return await self._connected(request, asked)

    async def _after(self, request: Request, row: DialectRow) -> Response:
        """Say how a call goes on whose stream has ended: with somebody else, with us once more, or not at all."""
        asked = await self._asked(request, row)
        if isinstance(asked, Response):
            return asked
        if "DialCallStatus" in asked.form:
            return await self._dialled(request, asked)
        try:
            handover = await self.transfers.next_of(asked.call)
        except StateUnavailable as exc:
            why = f"nobody knows where the caller is to go: {exc}"
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why)
        if handover is not None:
            return twiml(_dial(handover, asked))
        if await self.may_go_on(asked.agent, CallId(asked.call)):
            return await self._connected(request, asked, again=True)
        return twiml("<Hangup/>")

    async def _dialled(self, request: Request, asked: _Asked) -> Response:
        """Say how a call goes on for which somebody was dialled: with us once more, if they have not taken it."""
        try:
            await self.transfers.dialled(asked.call)
            taken = await self._was_taken(asked)
            sorry = await self.transfers.consultations.sorry_for(asked.call)
        except StateUnavailable as exc:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"nobody can note that it was dialled: {exc}")
        if taken:
            return twiml("<Hangup/>")
        if await self.may_go_on(asked.agent, CallId(asked.call)):
            return await self._connected(request, asked, again=True)
        _log.warning("call %s: nobody took the caller, and its time with us is over", asked.call)
        return twiml(say(sorry) + "<Hangup/>")

    async def _announce(self, request: Request, row: DialectRow) -> Response:
        """Tell whoever has answered for a caller who it is; they are connected after that."""
        asked = await self._asked(request, row)
        if isinstance(asked, Response):
            return asked
        call = request.query_params.get("call", "")
        try:
            consultation = await self.transfers.consultations.of(call)
        except StateUnavailable as exc:
            _log.error("what somebody is to be told about a caller is not known: %s", exc)
            consultation = None
        announcement = consultation.announcement if consultation is not None else None
        if announcement is None:  # who is to be asked has not taken the caller: it may be a mailbox
            return twiml("<Hangup/>" if "asks" in request.query_params else "")
        heard_at = f"{asked.address}/heard?call={call}"
        if announcement.accept is None:
            return twiml(say(announcement) + go_on(heard_at))
        return twiml(ask(announcement, announcement.accept, answered_at=f"{heard_at}&asked=yes"))

    async def _heard(self, request: Request, row: DialectRow) -> Response:
        """Somebody has heard of a caller to the end and takes them: unless they were asked, and press another key."""
        asked = await self._asked(request, row)
        if isinstance(asked, Response):
            return asked
        if "asked" in request.query_params and asked.form.get("Digits") != ACCEPTED_BY:
            return twiml("<Hangup/>")
        try:
            await self.transfers.consultations.connected(request.query_params.get("call", ""))
        except StateUnavailable as exc:
            _log.error("nobody can note that a caller was taken: %s", exc)
        return twiml("")

    async def _was_taken(self, asked: _Asked) -> bool:
        """Whether the caller was connected to whoever was dialled; somebody may have answered and not taken them.

        SignalWire does not say; what we were asked meanwhile does, and is forgotten only of those who talk for long.
        """
        bridged = asked.form.get("DialBridged")
        if bridged is not None:
            return bridged == "true"
        if asked.form["DialCallStatus"] not in {"completed", "answered"}:
            return False
        consultation = await self.transfers.consultations.of(asked.call)
        return consultation is None or consultation.announcement is None or consultation.connected

    async def _detected(self, request: Request, row: DialectRow) -> Response:
        """Learn who has answered a call that goes on meanwhile."""
        asked = await self._asked(request, row)
        if isinstance(asked, Response):
            return asked
        try:
            await self.detections.told(asked.call, asked.form.get("AnsweredBy", ""))
        except StateUnavailable as exc:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"nobody can note who has answered: {exc}")
        return Response(status_code=HTTPStatus.NO_CONTENT)

    async def _connected(self, request: Request, asked: _Asked, *, again: bool = False) -> Response:
        """Have the carrier connect the call to us, and ask us afterwards what comes next."""
        name = asked.row.name
        grant = CallGrant(
            asked.agent,
            asked.call,
            name,
            caller=asked.caller,
            called=asked.called,
            again=again,
            outbound=asked.outbound,
        )
        try:
            token = await self.tokens.mint(grant)
        except StateUnavailable as exc:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"no call token can be given: {exc}")
        answered_by = {"answered_by": asked.form["AnsweredBy"]} if "AnsweredBy" in asked.form else {}
        return twiml(
            connect(
                asked.media_base + media_path(name, asked.agent, token),
                {**asked.parameters, **answered_by},
                attributes=self._stream_attributes(asked.row),
                then=f"{asked.address}/after",
            )
        )

    def _stream_attributes(self, row: DialectRow) -> Mapping[str, str]:
        if row.name != "signalwire":
            return {}
        bearer = self.settings.keys.signalwire_bearer
        return {"codec": self.settings.signalwire_codec} | ({"authBearerToken": bearer} if bearer else {})

    async def _asked(self, request: Request, row: DialectRow) -> _Asked | Response:
        """Read a webhook about one call, or return why it gets no answer."""
        body = await self._read(request, row)
        if isinstance(body, Response):
            return body
        settings = self.settings
        if settings.webhook_base is None or settings.media_base is None:
            why = "no public URL is configured for the answer to name"
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why)
        form, query = pairs(body.decode("utf-8", "replace")), pairs(request.url.query)
        said = {name: value for name, value in (form or query) if value}
        call = said.get("CallSid", "")
        if not is_id(call):
            return refused(request, HTTPStatus.BAD_REQUEST, "it names no call")
        # What came by GET in the query is the carrier's; what a POST has there, the dialling application wrote.
        parameters = _parameters(query if form else [])
        return _Asked(row, _agent(request), call, said, parameters, settings.webhook_base, settings.media_base)

    async def _read(self, request: Request, row: DialectRow) -> bytes | Response:
        body = await read_webhook(request, row, self.settings, unix_ms=self.clock.unix_ms())
        if isinstance(body, bytes) and _agent(request) not in self.settings.agents:
            return refused(request, HTTPStatus.NOT_FOUND, "no such agent")
        return body

    # --- commands and addresses --------------------------------------------------------------------------------------

    async def _answer_commands(self, request: Request, row: DialectRow) -> Response:
        body = await self._read(request, row)
        if isinstance(body, Response):
            return body
        if self.telnyx is None:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, "no TELNYX_API_KEY is configured to answer with")
        desk = TelnyxDesk(
            settings=self.settings,
            clock=self.clock,
            calls=self.telnyx,
            tokens=self.tokens,
            consultations=self.transfers.consultations,
            detections=self.detections,
            why_not=self.why_not,
            over=self.limits.caller_is_over,
            has_left=self.transfers.has_left,
            may_go_on=self.may_go_on,
        )
        return await desk.answer(request, _agent(request), body, _parameters(pairs(request.url.query)))

    async def _answer_address(self, request: Request, row: DialectRow) -> Response:
        """Give an address that one connection may use, once; a page has to name the call that comes with it.

        Who calls is said here, by whoever knows the secret, and not by the page, and which of a carrier's calls it is.
        """
        body = await self._read(request, row)
        if isinstance(body, Response):
            return body
        agent, base = _agent(request), self.settings.media_base
        if base is None:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, "no public URL is configured")
        if (why := self.why_not(agent)) is not None:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why)
        form = dict(pairs(body.decode("utf-8", "replace")))
        call = f"web-{secrets.token_hex(16)}" if row.name == "browser" else form.get("call") or None
        if call is not None and not is_id(call):
            return refused(request, HTTPStatus.BAD_REQUEST, "it names no call")
        caller = form.get("caller") or None
        try:
            token = await self.tokens.mint(CallGrant(agent, call, row.name, caller=caller))
        except StateUnavailable as exc:
            return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"no call token can be given: {exc}")
        address = {"url": base + media_path(row.name, agent, token)} | ({"call": call} if call else {})
        return JSONResponse(address, headers={"Cache-Control": "no-store"})


def _dial(handover: Handover, asked: _Asked) -> str:
    if asked.row.features.announce != "redirect":
        return dial(handover.number)
    announced_at = None
    if handover.announcement is not None:
        asks = "&asks=yes" if handover.announcement.accept is not None else ""
        announced_at = f"{asked.address}/announce?call={asked.call}{asks}"
    return dial_and_ask(handover.number, then=f"{asked.address}/after", announced_at=announced_at)


def _agent(request: Request) -> str:
    return str(request.path_params["agent"])


def _parameters(query: list[tuple[str, str]]) -> Mapping[str, str]:
    """Return what of a webhook's query string is passed on to the call."""
    fitting = [
        (name, value)
        for name, value in query
        if _PARAMETER_NAME.fullmatch(name) and len(name) + len(value) <= _MAX_PARAMETER_CHARS
    ]
    return dict(fitting[:_MAX_PARAMETERS])
