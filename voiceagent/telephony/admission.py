"""Admission: who may open a media socket, decided before the connection is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import assert_never

from voiceagent.errors import StateUnavailable
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.codec import Dialect
from voiceagent.telephony.dialects import DIALECTS, DialectRow
from voiceagent.telephony.query import query_parameters
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import (
    asterisk_is_known,
    fonoster_has_signed,
    secret_is_shown,
    upgrade_is_signed,
)

__all__ = ["Admission", "Refusal", "admit", "media_path"]

_PATH = re.compile(r"/media/([a-z]+)/([a-z0-9][a-z0-9_-]{0,63})(?:/([A-Za-z0-9_-]{1,128}))?/?")


@dataclass(frozen=True, slots=True)
class Admission:
    """Let in: for this agent, in this dialect."""

    agent: str
    dialect: Dialect
    grant: CallGrant | None
    """What our answer to the webhook knew of the call; None where no token was asked for and none was expected."""
    may_name_numbers: bool = True
    """Whether it counts what the far side says of who calls whom. A page could say any number, and be taken for whoever
    it belongs to."""

    proven: bool = True
    """Whether it has shown anything at all."""

    by_name: bool = False
    """Whether the grant is of the call that its address names, which may be another's: what counts is noted under the
    name that the call itself begins with."""

    @property
    def is_vouched_for(self) -> bool:
        """Whether somebody whom we trust says which call it is: an id that a page says may be of another's.

        Only then may a call go on that was broken off.
        """
        return self.is_named or self.may_name_numbers

    @property
    def may_be_acted_on(self) -> bool:
        """Whether its provider may be asked to do anything to the call: an id that anybody says may be of another's."""
        return self.is_named or (self.proven and self.may_name_numbers)

    @property
    def is_named(self) -> bool:
        """Whether our answer to a webhook has named the call."""
        return self.grant is not None and self.grant.call is not None


@dataclass(frozen=True, slots=True)
class Refusal:
    """Not let in; `why` is for our log, the far side is told the status only."""

    status: HTTPStatus
    why: str


def media_path(dialect: str, agent: str, token: str) -> str:
    """Return the path under which a call with this token connects."""
    return f"/media/{dialect}/{agent}/{token}"


async def admit(
    path: str,
    header: Callable[[str], Sequence[str]],
    *,
    settings: TelephonySettings,
    tokens: CallTokens,
    no_room: Callable[[str], str | None],
    unix_ms: int,
) -> Admission | Refusal:
    """Decide by path and headers; `header` returns all values of one. A token is used up only where the rest is right.

    `no_room` returns why an agent takes no more calls, in words for the log: a carrier that tries again a moment later
    still has its token then.

    Nothing but `insecure` lets in whom nothing proves: where what it is checked by is not configured, nobody gets in.
    """
    bare, has_query, query = path.partition("?")
    named = _PATH.fullmatch(bare)
    row = DIALECTS.get(named[1]) if named is not None else None
    if named is None or row is None or (has_query and not row.speaks_in_query):
        return Refusal(HTTPStatus.NOT_FOUND, "no such path")
    agent, token = named[2], named[3]
    refusal = None if settings.insecure else _check_proof(row, path, header, settings, unix_ms=unix_ms)
    if refusal is not None:
        return refusal
    if agent not in settings.agents:
        return Refusal(HTTPStatus.NOT_FOUND, "no such agent")
    if token is None and _needs_token(row, settings):
        return Refusal(HTTPStatus.FORBIDDEN, "no call token")
    if (why := no_room(agent)) is not None:
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, why)
    parameters = query_parameters(query)
    if parameters is None:
        return Refusal(HTTPStatus.BAD_REQUEST, "its query says something twice, or too much")
    try:
        if token is not None:
            grant = await tokens.redeem(token, agent=agent, dialect=row.name)
        elif row.socket_proof == "basic":
            grant = await tokens.is_expected_again(parameters.get("call", ""), agent=agent, dialect=row.name)
        else:
            grant = None
    except StateUnavailable as exc:
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"nobody knows whether the call token is good: {exc}")
    if token is not None and grant is None:
        return Refusal(HTTPStatus.FORBIDDEN, "call token unknown, used or too old")
    may_name_numbers = settings.insecure or row.answer != "json"  # else whose address it is may be anybody's page
    return Admission(
        agent,
        row.codec(settings, parameters),
        grant,
        may_name_numbers,
        proven=not settings.insecure,
        by_name=token is None and row.socket_proof == "basic",
    )


def _needs_token(row: DialectRow, settings: TelephonySettings) -> bool:
    if settings.insecure or row.has_no_token:
        return False
    return settings.require_call_token or row.socket_proof == "call_token"


def _check_proof(
    row: DialectRow, path: str, header: Callable[[str], Sequence[str]], settings: TelephonySettings, *, unix_ms: int
) -> Refusal | None:
    match row.socket_proof:
        case "signature":
            return _check_signature(path, _only(header("X-Twilio-Signature")), settings)
        case "bearer":
            return _check_bearer(_only(header("Authorization")), settings.keys.signalwire_bearer)
        case "basic":
            return _check_password(_only(header("Authorization")), settings)
        case "hmac":
            shown = _only(header("x-fonoster-timestamp")), _only(header("x-fonoster-signature"))
            return _check_hmac(path, *shown, settings, unix_ms=unix_ms)
        case "call_token":
            return None
    assert_never(row.socket_proof)


def _only(values: Sequence[str]) -> str | None:
    return values[0] if len(values) == 1 else None


def _check_password(authorization: str | None, settings: TelephonySettings) -> Refusal | None:
    if asterisk_is_known(authorization, settings.asterisk_password):
        return None
    return Refusal(HTTPStatus.UNAUTHORIZED, "no Asterisk that shows the right password, or none is configured")


def _check_signature(path: str, signature: str | None, settings: TelephonySettings) -> Refusal | None:
    if not settings.twilio_auth_token or settings.media_base is None:
        return Refusal(HTTPStatus.FORBIDDEN, "no auth token or no public URL is configured")
    if not signature:
        return Refusal(HTTPStatus.UNAUTHORIZED, "not signed")
    if not upgrade_is_signed(
        path, base=settings.media_base, auth_token=settings.twilio_auth_token, signature=signature
    ):
        return Refusal(HTTPStatus.FORBIDDEN, "signature does not match")
    return None


def _check_hmac(
    path: str, timestamp: str | None, signature: str | None, settings: TelephonySettings, *, unix_ms: int
) -> Refusal | None:
    secret, base = settings.keys.fonoster_secret, settings.media_base
    if not secret or base is None:
        return Refusal(HTTPStatus.FORBIDDEN, "no signing secret or no public URL is configured")
    if not timestamp or not signature:
        return Refusal(HTTPStatus.UNAUTHORIZED, "not signed")
    if not fonoster_has_signed(
        path, base=base, secret=secret, timestamp=timestamp, signature=signature, unix_ms=unix_ms
    ):
        return Refusal(HTTPStatus.FORBIDDEN, "signature does not match, or is too old")
    return None


def _check_bearer(authorization: str | None, bearer: str | None) -> Refusal | None:
    if not bearer:
        return Refusal(HTTPStatus.FORBIDDEN, "no bearer token is configured")
    if not authorization:
        return Refusal(HTTPStatus.UNAUTHORIZED, "no bearer token")
    if not secret_is_shown(authorization, bearer):
        return Refusal(HTTPStatus.FORBIDDEN, "bearer token does not match")
    return None
