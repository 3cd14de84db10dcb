"""Tokens: short-lived proof of what the phone agent may ask the bank, and for which customer."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass

__all__ = ["MAX_LIFETIME_S", "SCOPES", "Claims", "TokenIssuer"]

SCOPES = frozenset(
    {
        "identity:verify",
        "accounts:read",
        "transactions:read",
        "alerts:read",
        "payees:read",
        "transfers:write",
        "cards:write",
        "demo:observe",
    }
)

MAX_LIFETIME_S = 300


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token entitles its bearer to."""

    scopes: frozenset[str]
    subject: str | None
    """The one customer whose affairs it opens; None opens no customer's."""


class TokenIssuer:
    """Signs tokens and reads back only its own: the key is drawn anew and stays in the process."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(32)

    def issue(self, claims: Claims, *, now_ms: int, lifetime_s: int) -> str:
        """Return a token that `read` accepts until `lifetime_s` seconds after `now_ms`."""
        content = json.dumps([sorted(claims.scopes), claims.subject, now_ms + lifetime_s * 1000]).encode()
        return f"{_text(content)}.{_text(self._signature(content))}"

    def read(self, token: str, *, now_ms: int) -> Claims | None:
        """Return what the token entitles to, or None where it is forged, damaged or expired."""
        content_text, _, signature_text = token.partition(".")
        try:
            content, signature = _bytes(content_text), _bytes(signature_text)
        except ValueError:
            return None
        if not hmac.compare_digest(signature, self._signature(content)):
            return None
        scopes, subject, expires_at_ms = json.loads(content)
        if now_ms >= expires_at_ms:
            return None
        return Claims(frozenset(scopes), subject)

    def _signature(self, content: bytes) -> bytes:
        return hmac.digest(self._key, content, hashlib.sha256)


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
