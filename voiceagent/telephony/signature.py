"""Signatures: whether a request really comes from the carrier.

Twilio signs with base64(HMAC-SHA1(auth token, URL + sorted form parameters)), on webhooks and on the upgrade of a
media stream (there the URL begins with `wss://` and no parameters follow). Source: Twilio, "Webhooks security". The
URL checked is the configured public one; what a request says of its own host or scheme plays no part. Twilio may or
may not have written out the default port, and a proxy may add or take a slash at the end: both spellings count.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterable, Iterator, Sequence
from urllib.parse import urlsplit, urlunsplit

__all__ = ["asterisk_is_known", "sign", "upgrade_is_signed", "webhook_is_signed"]

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
    bare = path.rstrip("/")
    urls = [spelling for end in ("", "/") for spelling in _spellings(base + bare + end)]
    return _any_matches(signature, [sign(auth_token, url) for url in urls])


def webhook_is_signed(
    target: str, form: Sequence[tuple[str, str]], *, base: str | None, auth_token: str | None, signature: str
) -> bool:
    """Return whether a webhook was signed; `target` is path and query as they stand in the request.

    False where no secret or no public URL is configured.
    """
    if not auth_token or not base:
        return False
    return _any_matches(signature, [sign(auth_token, url, form) for url in _spellings(base + target)])


def _spellings(url: str) -> Iterator[str]:
    """Yield a URL as it is, and with the default port written out or left out."""
    yield url
    parts = urlsplit(url)
    default = _DEFAULT_PORTS.get(parts.scheme)
    host = parts.netloc.rpartition("@")[2]
    if parts.port is None:
        yield urlunsplit(parts._replace(netloc=f"{host}:{default}"))
    elif parts.port == default:
        yield urlunsplit(parts._replace(netloc=host.removesuffix(f":{default}")))


def _any_matches(given: str, expected: Sequence[str]) -> bool:
    """Compare in constant time, and all of them: how long it takes tells nothing."""
    given_bytes = given.encode("utf-8", "surrogatepass")
    matches = [hmac.compare_digest(given_bytes, wanted.encode()) for wanted in expected]
    return any(matches)


def asterisk_is_known(authorization: str | None, password: str | None) -> bool:
    """Whether an `Authorization` header is Basic, of the user `asterisk` with this password; no password fits none."""
    if not password or authorization is None:
        return False
    wanted = "Basic " + base64.b64encode(f"asterisk:{password}".encode()).decode("ascii")
    return hmac.compare_digest(authorization.encode("utf-8", "surrogateescape"), wanted.encode("ascii"))
