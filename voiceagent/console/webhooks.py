"""Webhooks: what a carrier asks, read within bounds and believed only with its proof."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from http import HTTPStatus
from typing import assert_never
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from voiceagent.console.request_body import read_body
from voiceagent.errors import OperatorError
from voiceagent.telephony.asgi import target_of
from voiceagent.telephony.dialects import DialectRow
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.signature import secret_is_shown, telnyx_has_signed, webhook_is_signed

__all__ = ["MAX_FORM_BYTES", "pairs", "read_webhook", "refused"]

_log = logging.getLogger(__name__)

MAX_FORM_BYTES = 65_536
"""Of a webhook's body; the carrier's own take about one thousand."""
_MAX_FIELDS = 200


async def read_webhook(
    request: Request, row: DialectRow, settings: TelephonySettings, *, unix_ms: int
) -> bytes | Response:
    """Return the body of a webhook that has proved itself, or why it gets no answer; `insecure` asks for no proof.

    Of whoever cannot prove anything no body is read.
    """
    if not settings.insecure and not _could_prove(request, row, settings):
        return refused(request, HTTPStatus.FORBIDDEN, "not signed, or nothing is configured to check it by")
    body = await read_body(request, at_most_bytes=MAX_FORM_BYTES)
    if body is None:
        return refused(request, HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long, or was broken off")
    try:
        proved = settings.insecure or _proves(request, row, settings, body, unix_ms=unix_ms)
    except OperatorError as exc:
        return refused(request, HTTPStatus.SERVICE_UNAVAILABLE, str(exc))
    return body if proved else refused(request, HTTPStatus.FORBIDDEN, "its proof does not match")


def pairs(encoded: str) -> list[tuple[str, str]]:
    """Return the fields of a form or a query, in order; none of what is neither."""
    try:
        return parse_qsl(encoded, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError:
        return []


def refused(request: Request, status: HTTPStatus, why: str) -> Response:
    """Say so in our log; the far side is told the status only."""
    _log.warning("refused %s with %d: %s", request.scope["route"].path, status, why)
    return PlainTextResponse(f"{status.phrase}\n", status_code=status)


# --- proof -----------------------------------------------------------------------------------------------------------


def _signed_by(row: DialectRow, settings: TelephonySettings) -> tuple[str, str | None]:
    """Return the header of a signature, and the secret behind it."""
    if row.name == "signalwire":
        return "X-SignalWire-Signature", settings.keys.signalwire_signing_key
    return "X-Twilio-Signature", settings.twilio_auth_token


def _secret_of(row: DialectRow, settings: TelephonySettings) -> str | None:
    keys = settings.keys
    secrets = {
        "cloudonix": keys.cloudonix_secret,
        "browser": keys.browser_secret,
        "auto": keys.auto_secret,
    }
    return secrets[row.name]


def _headers_of(row: DialectRow, settings: TelephonySettings) -> tuple[Sequence[str], str | None]:
    """Return the headers that a proof is made of, and what they are checked by."""
    match row.webhook_proof:
        case "signature":
            header, secret = _signed_by(row, settings)
            return (header,), secret if settings.webhook_base is not None else None
        case "ed25519":
            return ("telnyx-signature-ed25519", "telnyx-timestamp"), settings.keys.telnyx_public_key
        case "secret":
            return ("Authorization",), _secret_of(row, settings)
        case None:
            return (), None
    assert_never(row.webhook_proof)


def _could_prove(request: Request, row: DialectRow, settings: TelephonySettings) -> bool:
    headers, secret = _headers_of(row, settings)
    return bool(secret) and all(len(request.headers.getlist(header)) == 1 for header in headers)


def _proves(request: Request, row: DialectRow, settings: TelephonySettings, body: bytes, *, unix_ms: int) -> bool:
    headers, secret = _headers_of(row, settings)
    shown = [request.headers[header] for header in headers]
    if not secret:
        return False
    match row.webhook_proof:
        case "signature":
            form = pairs(body.decode("utf-8", "replace"))
            return webhook_is_signed(
                target_of(request.scope), form, base=settings.webhook_base, auth_token=secret, signature=shown[0]
            )
        case "ed25519":
            return telnyx_has_signed(body, signature=shown[0], timestamp=shown[1], public_key=secret, unix_ms=unix_ms)
        case "secret":
            return secret_is_shown(shown[0], secret)
        case None:
            return False
    assert_never(row.webhook_proof)
