"""Signatures: whether a request really comes from the carrier.

Twilio signs with base64(HMAC-SHA1(auth token, URL + sorted form parameters)), on webhooks and on the upgrade of a
media stream (there the URL begins with `wss://` and no parameters follow). Source: Twilio, "Webhooks security". The
URL checked is the configured public one; what a request says of its own host or scheme plays no part. Twilio may or
may not have written out the port (over TLS it leaves out any; its own libraries try both), and a proxy may add or take
a slash at the end of a socket's path: both spellings count.

Fonoster signs the upgrade only, with hex(HMAC-SHA256(signing secret, time + `.` + URL as it stands in its stream)), and
says the time beside it. Source: Fonoster, "Verify request signatures".
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit, urlunsplit

from voiceagent.errors import MissingExtra, OperatorError

__all__ = [
    "MAX_AGE_S",
    "asterisk_is_known",
    "fonoster_has_signed",
    "fonoster_signature",
    "secret_is_shown",
    "sign",
    "telnyx_has_signed",
    "upgrade_is_signed",
    "webhook_is_signed",
]

MAX_AGE_S = 300
"""How far the time of a signature may be from ours (Telnyx's own libraries and Fonoster's: five minutes)."""

_MOST_TIMESTAMP_CHARS = 12
_DEFAULT_PORTS = {"https": 443, "wss": 443, "http": 80, "ws": 80}


def sign(auth_token: str, url: str, form: Iterable[tuple[str, str]] = ()) -> str:
    """Return the value of `X-Twilio-Signature` for a URL and the form parameters of a POST."""
    # A parameter given twice with one value counts once, as in Twilio's own libraries.
    signed = url + "".join(name + value for name, value in sorted(set(form)))
    digest = hmac.new(auth_token.encode(), signed.encode("utf-8", "surrogatepass"), hashlib.sha1).digest()
    return base64.b64encode(digest).decode("ascii")


def upgrade_is_signed(path: str, *, base: str | None, auth_token: str | None, signature: str) -> bool:
    """Return whether a media upgrade was signed; `path` as it stands in the request, `base` the public `wss://` URL.

    False where no secret or no public URL is configured.
    """
    if not auth_token or not base:
        return False
    return _any_matches(signature, [sign(auth_token, url) for url in _sockets(base, path)])


def fonoster_signature(secret: str, timestamp: str, url: str) -> str:
    """Return the value of `x-fonoster-signature` for a stream's URL, at a time in Unix seconds."""
    signed = f"{timestamp}.{url}".encode("utf-8", "surrogatepass")
    return hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()


def fonoster_has_signed(
    path: str, *, base: str | None, secret: str | None, timestamp: str, signature: str, unix_ms: int
) -> bool:
    """Return whether Fonoster has signed a media upgrade, just now; `path` and `base` as above.

    False where no secret or no public URL is configured.
    """
    if not secret or not base or not _is_recent(timestamp, unix_ms=unix_ms):
        return False
    return _any_matches(signature, [fonoster_signature(secret, timestamp, url) for url in _sockets(base, path)])


def webhook_is_signed(
    target: str, form: Sequence[tuple[str, str]], *, base: str | None, auth_token: str | None, signature: str
) -> bool:
    """Return whether a webhook was signed; `target` is path and query as they stand in the request.

    False where no secret or no public URL is configured.
    """
    if not auth_token or not base:
        return False
    return _any_matches(signature, [sign(auth_token, url, form) for url in _spellings(base + target)])


def telnyx_has_signed(body: bytes, *, timestamp: str, signature: str, public_key: str, unix_ms: int) -> bool:
    """Return whether Telnyx has signed a webhook, just now: Ed25519 over `timestamp|body`, both keys in base64.

    Raises OperatorError where the public key is none, or the library that verifies it is not installed.
    """
    if not _is_recent(timestamp, unix_ms=unix_ms):
        return False
    try:
        from cryptography.exceptions import InvalidSignature
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
    except ImportError as exc:
        raise MissingExtra("Telnyx' signature", extra="telnyx") from exc
    try:
        key = Ed25519PublicKey.from_public_bytes(base64.b64decode(public_key, validate=True))
    except ValueError as exc:
        raise OperatorError("TELNYX_PUBLIC_KEY is no Ed25519 key: 32 bytes in base64") from exc
    try:
        key.verify(base64.b64decode(signature, validate=True), timestamp.encode() + b"|" + body)
    except (InvalidSignature, ValueError):
        return False
    return True


def secret_is_shown(authorization: str, secret: str) -> bool:
    """Return whether an `Authorization` header shows a secret: as Bearer token, or as Basic with any name."""
    scheme, _, shown = authorization.partition(" ")
    if scheme.lower() == "basic":
        try:
            shown = base64.b64decode(shown, validate=True).decode().partition(":")[2]
        except ValueError:
            return False
    elif scheme.lower() != "bearer":
        return False
    return hmac.compare_digest(shown.encode("utf-8", "surrogatepass"), secret.encode())


def asterisk_is_known(authorization: str | None, password: str | None) -> bool:
    """Whether an `Authorization` header is Basic, of the user `asterisk` with this password; no password fits none."""
    if not password or authorization is None:
        return False
    wanted = "Basic " + base64.b64encode(f"asterisk:{password}".encode()).decode("ascii")
    return hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), wanted.encode("ascii"))


def _is_recent(timestamp: str, *, unix_ms: int) -> bool:
    if not (timestamp.isascii() and timestamp.isdecimal() and len(timestamp) <= _MOST_TIMESTAMP_CHARS):
        return False
    return abs(int(timestamp) - unix_ms // 1_000) <= MAX_AGE_S


def _sockets(base: str, path: str) -> list[str]:
    """Return how whoever signed may have written the URL of a media socket."""
    bare = path.rstrip("/")
    return [spelling for end in ("", "/") for spelling in _spellings(base + bare + end)]


def _spellings(url: str) -> Iterator[str]:
    """Yield a URL as it is, and with the default port written out or any port left out."""
    yield url
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is None:
        yield urlunsplit(parts._replace(netloc=f"{host}:{_DEFAULT_PORTS.get(parts.scheme)}"))
    else:
        yield urlunsplit(parts._replace(netloc=host.removesuffix(f":{parts.port}")))


def _any_matches(given: str, expected: Sequence[str]) -> bool:
    """Compare in constant time, and all of them: how long it takes tells nothing."""
    given_bytes = given.encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(given_bytes, wanted.encode()) for wanted in expected]
    return any(matches)
