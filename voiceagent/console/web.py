"""The pages at `/`: the calls of the server as they go on and as they were, and a softphone that calls its agents.

Whoever may see them shows the console's token once and gets a cookie for it; where the server can be reached from this
machine alone there is none to be shown. Nothing on the pages comes from anywhere else.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from voiceagent.console.access import COOKIE, ConsoleAccess
from voiceagent.console.call_file import DAMAGE
from voiceagent.console.call_records import CallRecords
from voiceagent.console.call_report import page_part, shown_sound
from voiceagent.console.request_body import read_body
from voiceagent.errors import JournalError, StateUnavailable
from voiceagent.json_reader import JsonReader
from voiceagent.runtime.timeline import Timeline
from voiceagent.telephony.admission import media_path
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["Console", "WebConsole"]

_log = logging.getLogger(__name__)

_COOKIE_S = 12 * 3_600
_MAX_BODY_BYTES = 1_024
_PARTS = {  # read when this is imported: nobody reads a disk while calls go on
    path: (page_part(name).encode(), kind)
    for path, name, kind in (
        ("/", "console.html", "text/html; charset=utf-8"),
        ("/console/call_view.css", "call_view.css", "text/css; charset=utf-8"),
        ("/console/console.css", "console.css", "text/css; charset=utf-8"),
        ("/console/call_view.js", "call_view.js", "text/javascript; charset=utf-8"),
        ("/console/console.js", "console.js", "text/javascript; charset=utf-8"),
        ("/console/login.js", "login.js", "text/javascript; charset=utf-8"),
        ("/console/softphone.js", "softphone.js", "text/javascript; charset=utf-8"),
        ("/console/audio.js", "audio.js", "text/javascript; charset=utf-8"),
    )
}
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; media-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cache-Control": "no-cache",
    "Permissions-Policy": "microphone=(self)",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}

_Body = TypeVar("_Body", bound=BaseModel)
_Answer = Callable[[Request], Awaitable[Response]]


class _Login(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    token: str = Field(max_length=512)


_login = JsonReader(_Login)


class _NewCall(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    agent: str = Field(max_length=64)


_new_call = JsonReader(_NewCall)


@dataclass(frozen=True, slots=True)
class Console:
    """Who may see the pages, and what is on them beside the softphone."""

    access: ConsoleAccess
    records: CallRecords | None = None
    """None where there are no calls to be seen."""


@dataclass(frozen=True, slots=True)
class WebConsole:
    """The pages and what they ask for."""

    settings: TelephonySettings
    tokens: CallTokens
    why_not: Callable[[str], str | None]
    """Says why an agent takes no new call."""
    console: Console

    @property
    def access(self) -> ConsoleAccess:
        """Who may see the pages."""
        return self.console.access

    def routes(self) -> list[Route]:
        """Return the routes of the pages."""
        shown = [Route(path, self._part(path), methods=["GET"]) for path in _PARTS]
        return [
            *shown,
            Route("/console/login", self._asked_here(self._log_in), methods=["POST"]),
            Route("/console/agents", self._asked_here(self._known(self._agents)), methods=["GET"]),
            Route("/console/calls", self._asked_here(self._known(self._call)), methods=["POST"]),
            Route("/console/calls/{record}/sound", self._asked_here(self._known(self._sound)), methods=["GET"]),
            Route("/console/calls/{record}/waves", self._asked_here(self._known(self._waves)), methods=["GET"]),
        ]

    # --- who asks ----------------------------------------------------------------------------------------------------

    def _asked_here(self, answer: _Answer) -> _Answer:
        async def endpoint(request: Request) -> Response:
            no = self.access.why_not_asked_here(request.headers)
            return await answer(request) if no is None else _refused(request, *no)

        return endpoint

    def _known(self, answer: _Answer) -> _Answer:
        async def endpoint(request: Request) -> Response:
            no = self.access.why_not_known(request.cookies)
            return await answer(request) if no is None else _refused(request, *no)

        return endpoint

    async def _log_in(self, request: Request) -> Response:
        given = _read(_login, await read_body(request, at_most_bytes=_MAX_BODY_BYTES))
        if self.access.token is None:
            return Response(status_code=HTTPStatus.NO_CONTENT)
        if given is None or not self.access.is_token(given.token):
            return _refused(request, HTTPStatus.UNAUTHORIZED, "a wrong token")
        answer = Response(status_code=HTTPStatus.NO_CONTENT)
        secure = self.settings.tls_cert is not None or (self.settings.public_url or "").startswith("https:")
        answer.set_cookie(
            COOKIE, self.access.cookie, max_age=_COOKIE_S, httponly=True, samesite="strict", secure=secure
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

    # --- the sound of a call -----------------------------------------------------------------------------------------

    async def _sound(self, request: Request) -> Response:
        """Play the recording of a call; whoever hears it knows who called."""
        path = await self._recording(request)
        if path is None:
            return _refused(request, HTTPStatus.NOT_FOUND, "there is no recording")
        _log_shown(request)  # whichever part of it: all but the first second is nearly all of it
        return FileResponse(path, media_type="audio/wav", headers={"Cache-Control": "no-store"})

    async def _waves(self, request: Request) -> Response:
        """Say how loud each side was when, and where the call begins in its recording."""
        records, path, record = self.console.records, await self._recording(request), _record(request)
        if records is None or path is None:
            return _refused(request, HTTPStatus.NOT_FOUND, "there is no recording")
        _log_shown(request)

        try:
            drawn = Timeline(0, (), (), ()) if records.recorded_here else await _timeline(records, record)
            loop = asyncio.get_running_loop()
            sound = await loop.run_in_executor(records.listener, records.sound, path, drawn)
        except (JournalError, *DAMAGE) as exc:
            _log.error("a recording cannot be shown: %s", exc)
            return PlainTextResponse("The recording cannot be read.\n", status_code=HTTPStatus.UNPROCESSABLE_ENTITY)
        return _json(shown_sound(sound, f"console/calls/{record}/sound"))

    async def _recording(self, request: Request) -> Path | None:
        records = self.console.records
        return await asyncio.to_thread(records.recording, _record(request)) if records is not None else None


async def _timeline(records: CallRecords, record: str) -> Timeline:
    """Return a call drawn; while a long one is read, whoever looks at another one has their turn."""
    loop = asyncio.get_running_loop()
    while (file := await loop.run_in_executor(records.reader, records.opened, record)) is not None and file.behind:
        continue
    if file is None:
        return Timeline(0, (), (), ())
    return await loop.run_in_executor(records.reader, partial(file.timeline, shown=False))


def _log_shown(request: Request) -> None:
    at = request.client.host if request.client is not None else "unknown"
    _log.warning("personal data of call %s is shown to a viewer at %s: its sound", _record(request), at)


def _record(request: Request) -> str:
    return str(request.path_params["record"])


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
