"""What the phone agent may send: bodies, forms and headers, read strictly or refused."""

from __future__ import annotations

import base64
import binascii
import re
from typing import Annotated, TypeVar
from urllib.parse import parse_qsl

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.requests import Request

from .ledger import BlockReason
from .tokens import MAX_LIFETIME_S

__all__ = [
    "MAX_BODY_BYTES",
    "BlockBody",
    "RequestError",
    "TokenForm",
    "TransferBody",
    "VerifyBody",
    "basic_credentials",
    "bearer_token",
    "idempotency_key",
    "parse_form",
    "parse_json",
    "read_body",
    "transaction_limit",
]

MAX_BODY_BYTES = 16 * 1024
_DRAINED_BYTES = 1024 * 1024
_KEY = re.compile(r"[A-Za-z0-9._:-]{1,128}")


class RequestError(Exception):
    """Why a request is not answered, in the words of HTTP."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


# --- shapes --------------------------------------------------------------------------------------

_ShortText = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class TokenForm(BaseModel):
    """RFC 6749, section 4.4.2; a subject and a lifetime in seconds are this bank's additions."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    grant_type: _ShortText
    scope: Annotated[str, StringConstraints(min_length=1, max_length=512)]
    subject: _ShortText | None = None
    expires_in: Annotated[int, Field(ge=1, le=MAX_LIFETIME_S)] = MAX_LIFETIME_S
    client_id: str | None = None
    client_secret: str | None = None


class VerifyBody(BaseModel):
    """Who the caller claims to be."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    account_number: _ShortText
    pin: _ShortText


class TransferBody(BaseModel):
    """What is to be moved; the amount is text, because a JSON number can lose a cent."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    from_account: _ShortText
    to_account: _ShortText
    amount: Annotated[str, StringConstraints(pattern=r"^[0-9]{1,9}\.[0-9]{2}$")]

    @property
    def amount_cents(self) -> int:
        """`"250.00"` as 25000."""
        return int(self.amount.replace(".", ""))


class BlockBody(BaseModel):
    """Why the card is to be blocked."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    reason: BlockReason = "lost"


_Body = TypeVar("_Body", bound=BaseModel)


# --- reading -------------------------------------------------------------------------------------


async def read_body(request: Request) -> bytes:
    """Return the body. Raises RequestError 413 where it is longer than MAX_BODY_BYTES."""
    parts: list[bytes] = []
    size_bytes = 0
    async for chunk in request.stream():
        size_bytes += len(chunk)
        if size_bytes <= MAX_BODY_BYTES:
            parts.append(chunk)
        elif size_bytes > _DRAINED_BYTES:
            break
    # Read to its end where that is affordable: closing on unread bytes resets the connection,
    # and the sender may then never see the answer.
    if size_bytes > MAX_BODY_BYTES:
        raise RequestError(413, "too_large", f"the body is longer than {MAX_BODY_BYTES} bytes")
    return b"".join(parts)


def parse_json(model: type[_Body], body: bytes) -> _Body:
    """Return the body as `model`. Raises RequestError 400 where it is not one."""
    try:
        return model.model_validate_json(body)
    except ValidationError as exc:
        raise _complaint(exc) from exc


def parse_form(body: bytes) -> TokenForm:
    """Return the token request in a URL-encoded body. Raises RequestError 400 where it is none."""
    try:
        pairs = parse_qsl(
            body.decode(),
            keep_blank_values=True,
            strict_parsing=True,
            errors="strict",
            max_num_fields=16,
        )
    except ValueError as exc:
        raise RequestError(400, "invalid_request", "the body is not a form") from exc
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise RequestError(400, "invalid_request", "a field is given twice")
    try:
        return TokenForm.model_validate(fields)
    except ValidationError as exc:
        raise _complaint(exc) from exc


def _complaint(exc: ValidationError) -> RequestError:
    """Name a field and what is wrong with it, never its content: it may be a PIN."""
    first = exc.errors(include_input=False, include_url=False, include_context=False)[0]
    # An unexpected field is named by the sender: its name may be anything, and is not repeated.
    known = "" if first["type"] == "extra_forbidden" else ".".join(map(str, first["loc"]))
    return RequestError(400, "invalid_request", f"{known or 'body'}: {first['type'].replace('_', ' ')}")


def bearer_token(request: Request) -> str | None:
    """Return the bearer token, or None where the request carries none."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def basic_credentials(request: Request) -> tuple[str, str] | None:
    """Return client id and secret from a Basic header, or None where there is no such header.

    Raises RequestError 401 where there is one that cannot be read.
    """
    scheme, _, encoded = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        text = base64.b64decode(encoded.strip(), validate=True).decode()
    except (binascii.Error, ValueError) as exc:
        raise RequestError(401, "invalid_client", "the credentials cannot be read") from exc
    client_id, _, client_secret = text.partition(":")
    return client_id, client_secret


def idempotency_key(request: Request) -> str:
    """Return the header Idempotency-Key. Raises RequestError 400 without a usable one."""
    key = request.headers.get("idempotency-key")
    if key is None or not _KEY.fullmatch(key):
        raise RequestError(
            400,
            "idempotency_key_required",
            "the header Idempotency-Key takes 1 to 128 letters, digits and . _ : -",
        )
    return key


def transaction_limit(request: Request) -> int:
    """Return `?limit=`, 10 where it is not given. Raises RequestError 400 outside 1 to 100."""
    text = request.query_params.get("limit", "10")
    if not re.fullmatch(r"[0-9]{1,3}", text) or not 1 <= int(text) <= 100:
        raise RequestError(400, "invalid_request", "limit: a whole number from 1 to 100")
    return int(text)
