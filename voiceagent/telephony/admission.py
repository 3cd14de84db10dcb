"""Admission: who may open a media socket, decided before the connection is one."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus

from voiceagent.errors import StateUnavailable
from voiceagent.telephony.call_tokens import CallGrant, CallTokens
from voiceagent.telephony.codec import Dialect
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import upgrade_is_signed
from voiceagent.telephony.twilio import TwilioDialect

__all__ = ["Admission", "Refusal", "admit", "media_path"]

_DIALECTS: Mapping[str, Callable[[], Dialect]] = {"twilio": TwilioDialect}
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
    path: str, signature: str | None, *, settings: TelephonySettings, tokens: CallTokens
) -> Admission | Refusal:
    """Decide by path and `X-Twilio-Signature`. A token is used up only where the signature was right."""
    named = _PATH.fullmatch(path)
    if named is None or named[1] not in _DIALECTS:
        return Refusal(HTTPStatus.NOT_FOUND, "no such path")
    dialect, agent, token = named.groups()
    refusal = None if settings.insecure else _check_signature(path, signature, settings)
    if refusal is not None:
        return refusal
    if agent not in settings.agents:
        return Refusal(HTTPStatus.NOT_FOUND, "no such agent")
    if token is None and settings.require_call_token and not settings.insecure:
        return Refusal(HTTPStatus.FORBIDDEN, "no call token")
    try:
        grant = await tokens.redeem(token, agent=agent) if token is not None else None
    except StateUnavailable as exc:
        return Refusal(HTTPStatus.SERVICE_UNAVAILABLE, f"nobody knows whether the call token is good: {exc}")
    if token is not None and grant is None:
        return Refusal(HTTPStatus.FORBIDDEN, "call token unknown, used or too old")
    return Admission(agent, _DIALECTS[dialect](), grant)


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
