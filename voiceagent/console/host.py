"""The host application's way into a call: it says that something has happened, and shows that it may."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from voiceagent.console.request_body import read_body
from voiceagent.core.ids import CallId
from voiceagent.errors import OperatorError
from voiceagent.json_reader import JsonReader
from voiceagent.runtime.recording import STOPPED

__all__ = ["MAX_EVENT_BYTES", "HostAccess", "host_event", "require_host_token"]

_log = logging.getLogger(__name__)

MAX_EVENT_BYTES = 16_384
"""It goes into the call's journal."""
_LEAST_TOKEN_CHARACTERS = 16


def require_host_token(token: str) -> None:
    """Raise OperatorError for a token that could be guessed, or that no header can have in it."""
    if len(token) < _LEAST_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable() or " " in token:
        raise OperatorError(
            f"--host-token must have {_LEAST_TOKEN_CHARACTERS} characters or more: printable ASCII without a space"
        )


@dataclass(frozen=True, slots=True)
class HostAccess:
    """Who may tell calls something, and who passes it on."""

    token: str = field(repr=False)
    """What stands behind `Bearer` in a request."""
    tell: Callable[[CallId, str, Mapping[str, JsonValue] | None], bool]
    """(call, name, payload) → whether there is such a call here."""

    def admits(self, request: Request) -> bool:
        """Whether a request has the token; compared in constant time."""
        given = request.headers.getlist("Authorization")
        scheme, _, token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        return scheme.lower() == "bearer" and hmac.compare_digest(token.encode(), self.token.encode())


class _HostEvent(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    name: str = Field(min_length=1, max_length=64, pattern=r"^[A-Za-z0-9_.:-]+$")
    payload: dict[str, JsonValue] | None = None


_host_event = JsonReader(_HostEvent)


async def host_event(request: Request, access: HostAccess | None) -> Response:
    """Answer `POST /calls/{call}/events`: 202 where the call is told, 404 where there is none, or nobody may ask."""
    if access is None:
        return _answer(HTTPStatus.NOT_FOUND)
    if not access.admits(request):
        _log.warning("refused a host event: no token, or a wrong one")
        return _answer(HTTPStatus.UNAUTHORIZED, {"WWW-Authenticate": "Bearer"})
    body = await read_body(request, at_most_bytes=MAX_EVENT_BYTES)
    if body is None:
        return _answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
    try:
        event = _host_event.read(body)
    except ValidationError as exc:
        wrong = "; ".join(f"{'.'.join(map(str, error['loc'])) or 'body'}: {error['msg']}" for error in exc.errors())
        return PlainTextResponse(f"{wrong}\n", status_code=HTTPStatus.BAD_REQUEST)
    if event.name == STOPPED:  # a record is not to say so on anybody else's word
        return PlainTextResponse(f"{event.name} is said by the server alone\n", status_code=HTTPStatus.BAD_REQUEST)
    told = access.tell(CallId(request.path_params["call"]), event.name, event.payload)
    return _answer(HTTPStatus.ACCEPTED if told else HTTPStatus.NOT_FOUND)


def _answer(status: HTTPStatus, headers: Mapping[str, str] | None = None) -> Response:
    return PlainTextResponse(f"{status.phrase}\n", status_code=status, headers=headers)
