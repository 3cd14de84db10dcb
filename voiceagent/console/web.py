"""The pages at `/`: a softphone, by which any agent of the server can be called from a browser.

Whoever may see them shows the console's token once and gets a cookie for it; where the server can be reached from this
machine alone there is none to be shown. Nothing on the pages comes from anywhere else.
"""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.resources import files
from typing import TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.console.request_body import read_body
from voiceagent.errors import OperatorError, StateUnavailable
from voiceagent.json_reader import JsonReader
from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.settings import TelephonySettings, is_this_machine

__all__ = ["ConsoleAccess", "WebConsole", "console_access"]

_log = logging.getLogger(__name__)

_COOKIE = "voiceagent_console"
_COOKIE_S = 12 * 3_600
_MAX_BODY_BYTES = 1_024
_LEAST_TOKEN_CHARACTERS = 16
_STATIC = files("voiceagent.console").joinpath("static")
_PARTS = {  # read when this is imported: nobody reads a disk while calls go on
    path: (_STATIC.joinpath(name).read_bytes(), kind)
    for path, name, kind in (
        ("/", "console.html", "text/html; charset=utf-8"),
        ("/console/console.css", "console.css", "text/css; charset=utf-8"),
        ("/console/softphone.js", "softphone.js", "text/javascript; charset=utf-8"),
        ("/console/audio.js", "audio.js", "text/javascript; charset=utf-8"),
    )
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What proxies say of whom they speak for: that is not whoever sits at this machine."""

_Body = TypeVar("_Body", bound=BaseModel)
_Answer = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True, slots=True)
class ConsoleAccess:
    """Who may see the pages."""

    token: str | None = field(default=None, repr=False)
    """What they are known by; None: whoever comes from this machine."""


def console_access(settings: TelephonySettings, token: str | None) -> ConsoleAccess | None:
    """Return who may see the pages; None where nobody may.

    Without a token there are pages only where nothing but this machine reaches the server, as far as its settings tell.
    Raises OperatorError for a token that could be guessed.
    """
    if token is None:
        return ConsoleAccess() if settings.public_url is None and is_this_machine(settings.host) else None
    if len(token) < _LEAST_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise OperatorError(f"--console-token must have {_LEAST_TOKEN_CHARACTERS} printable ASCII characters or more")
    return ConsoleAccess(token)


class _Login(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=512)


_login = JsonReader(_Login)


class _NewCall(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    agent: str = Field(max_length=64)


_new_call = JsonReader(_NewCall)


@dataclass(frozen=True, slots=True)
class WebConsole:
    """The pages and what they ask for."""

    settings: TelephonySettings
    tokens: CallTokens
    why_not: Callable[[str], str | None]
    """Says why an agent takes no new call."""
    access: ConsoleAccess

    def routes(self) -> list[Route]:
        """Return the routes of the pages."""
        shown = [Route(path, self._part(path), methods=["GET"]) for path in _PARTS]
        return [
            *shown,
            Route("/console/login", self._asked_here(self._log_in), methods=["POST"]),
            Route("/console/agents", self._asked_here(self._known(self._agents)), methods=["GET"]),
            Route("/console/calls", self._asked_here(self._known(self._call)), methods=["POST"]),
        ]

    # --- who asks ----------------------------------------------------------------------------------------------------

    def _asked_here(self, answer: _Answer) -> _Answer:
        """Refuse what another page has sent, and what came by a name that is not the server's.

        A page of somebody else's may send requests to any address, and have its own name point to this machine.
        """

        async def endpoint(request: Request) -> Response:
            host, origin = request.headers.get("host", ""), request.headers.get("origin")
            named = urlsplit(f"//{host}").hostname or ""
            if self.access.token is None and not is_this_machine(named):
                return _refused(request, HTTPStatus.FORBIDDEN, "asked for by a name that is not this machine's")
            if self.access.token is None and any(name in request.headers for name in _FORWARDED):
                return _refused(request, HTTPStatus.FORBIDDEN, "came through a proxy: give a --console-token")
            if origin is not None and urlsplit(origin).netloc != host:
                return _refused(request, HTTPStatus.FORBIDDEN, "asked for by another page")
            return await answer(request)

        return endpoint

    def _known(self, answer: _Answer) -> _Answer:
        async def endpoint(request: Request) -> Response:
            shown = request.cookies.get(_COOKIE, "")
            if self.access.token is not None and not hmac.compare_digest(
                shown.encode(), _pass_of(self.access.token).encode()
            ):
                return _refused(request, HTTPStatus.UNAUTHORIZED, "no login")
            return await answer(request)

        return endpoint

    async def _log_in(self, request: Request) -> Response:
        given = _read(_login, await read_body(request, at_most_bytes=_MAX_BODY_BYTES))
        if self.access.token is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if given is None or not hmac.compare_digest(given.token.encode(), self.access.token.encode()):
            return _refused(request, HTTPStatus.UNAUTHORIZED, "a wrong token")
        answer = Response(status_code=HTTPStatus.NO_CONTENT)
        secure = self.settings.tls_cert is not None or (self.settings.public_url or "").startswith("https:")
        answer.set_cookie(
            _COOKIE, _pass_of(self.access.token), max_age=_COOKIE_S, httponly=True, samesite="strict", secure=secure
        )
        return answer

    # --- what is answered --------------------------------------------------------------------------------------------

    def _part(self, path: str) -> _Answer:
        content, kind = _PARTS[path]

        async def endpoint(_: Request) -> Response:
            return Response(content, media_type=kind, headers=_HEADERS)

        return endpoint

    async def _agents(self, _: Request) -> Response:
        return _json({"agents": sorted(self.settings.agents)})

    async def _call(self, request: Request) -> Response:
        """Give a path that one connection may use, once, and the name of its call."""
        wanted = _read(_new_call, await read_body(request, at_most_bytes=_MAX_BODY_BYTES))
        if wanted is None:
            return _refused(request, HTTPStatus.BAD_REQUEST, "it names no agent")
        if wanted.agent not in self.settings.agents:
            return _refused(request, HTTPStatus.NOT_FOUND, "no such agent")
        if (why := self.why_not(wanted.agent)) is not None:
            return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, why)
        call = f"web-{secrets.token_hex(16)}"
        try:
            token = await self.tokens.mint(CallGrant(wanted.agent, call, "browser"))
        except StateUnavailable as exc:
            return _refused(request, HTTPStatus.SERVICE_UNAVAILABLE, f"no call token can be given: {exc}")
        return _json({"path": media_path("browser", wanted.agent, token), "call": call})


def _pass_of(token: str) -> str:
    """Return what a cookie shows for a token: the same in every worker, and no way back from it."""
    return hmac.new(token.encode(), b"voiceagent console", hashlib.sha256).hexdigest()


def _read(reader: JsonReader[_Body], body: bytes | None) -> _Body | None:
    try:
        return reader.read(body or b"")
    except ValidationError:
        return None


def _json(value: dict[str, object]) -> Response:
    return JSONResponse(value, headers={"Cache-Control": "no-store"})


def _refused(request: Request, status: HTTPStatus, why: str) -> Response:
    _log.warning("refused %s with %d: %s", request.scope["route"].path, status, why)
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)
