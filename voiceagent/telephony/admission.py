"""Admission: who may open a media socket, decided before the connection is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl

from voiceagent.errors import StateUnavailable
from voiceagent.telephony.asterisk import AsteriskDialect
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.codec import Dialect
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import asterisk_is_known, upgrade_is_signed
from voiceagent.telephony.twilio import TwilioDialect

__all__ = ["Admission", "Refusal", "admit", "media_path", "query_parameters"]

_DIALECTS: Mapping[str, Callable[[Mapping[str, str]], Dialect]] = {
    "twilio": lambda _: TwilioDialect(),
    "asterisk": AsteriskDialect,
}
_WITH_PARAMETERS = frozenset({"asterisk"})
"""Dialects whose carrier says in the query string what it knows of the call; others drop theirs."""
_MAX_PARAMETERS = 64
_MAX_PARAMETER_CHARS = 1_024
_PATH = re.compile(r"/media/([a-z]+)/([a-z0-9][a-z0-9_-]{0,63})(?:/([A-Za-z0-9_-]{1,128}))?/?")


@dataclass(frozen=True, slots=True)
class Admission:
    """Let in: for this agent, in this dialect."""

    agent: str
    dialect: Dialect
    grant: CallGrant | None
    """What our answer to the webhook knew of the call; None where no token was asked for."""


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
    signature: str | None,
    authorization: str | None = None,
    *,
    settings: TelephonySettings,
    tokens: CallTokens,
) -> Admission | Refusal:
    """Decide by path and `X-Twilio-Signature`, or `Authorization` for an Asterisk.

    A token is used up only where that was right.
    """
    bare, _, query = path.partition("?")
    named = _PATH.fullmatch(bare)
    if named is None or named[1] not in _DIALECTS or (query and named[1] not in _WITH_PARAMETERS):
        return Refusal(HTTPStatus.NOT_FOUND, "no such path")
    dialect, agent, token = named.groups()
    if settings.insecure:
        refusal = None
    elif dialect == "asterisk":
        refusal = _check_password(authorization, settings)
    else:
        refusal = _check_signature(path, signature, settings)
    if refusal is not None:
        return refusal
    if agent not in settings.agents:
        return Refusal(HTTPStatus.NOT_FOUND, "no such agent")
    if token is None and settings.require_call_token and not settings.insecure and dialect != "asterisk":
        return Refusal(HTTPStatus.FORBIDDEN, "no call token")
    try:
        grant = await tokens.redeem(token, agent=agent) if token is not None else None
    except StateUnavailable as exc:
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"nobody knows whether the call token is good: {exc}")
    if token is not None and grant is None:
        return Refusal(HTTPStatus.FORBIDDEN, "call token unknown, used or too old")
    return Admission(agent, _DIALECTS[dialect](query_parameters(query)), grant)


def query_parameters(query: str) -> Mapping[str, str]:
    """Return what a query string says, as far as it can be kept as text.

    It is no form: dial plans put in `caller=+4930…` as it is, and a plus there is a plus.
    """
    try:
        given = parse_qsl(query.replace("+", "%2B"), max_num_fields=_MAX_PARAMETERS)
    except ValueError:
        return {}
    return {name: value for name, value in given if max(len(name), len(value)) <= _MAX_PARAMETER_CHARS}


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
