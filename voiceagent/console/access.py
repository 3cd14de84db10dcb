"""Who may see the pages: whoever has shown the console's token, or whoever sits at this machine."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

from voiceagent.errors import OperatorError
from voiceagent.telephony.settings import TelephonySettings, is_this_machine

__all__ = ["COOKIE", "ConsoleAccess", "NotLetIn", "console_access"]

COOKIE = "voiceagent_console"
_LEAST_TOKEN_CHARACTERS = 16
_FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
"""What proxies say of whom they speak for: that is not whoever sits at this machine."""


class NotLetIn(NamedTuple):
    """Why a request is refused."""

    status: HTTPStatus
    why: str


@dataclass(frozen=True, slots=True)
class ConsoleAccess:
    """Who may see the pages."""

    token: str | None = field(default=None, repr=False)
    """What they are known by; None: whoever comes from this machine."""

    @property
    def cookie(self) -> str:
        """What shows that the token is known: the same in every worker, and no way back from it."""
        return hmac.new((self.token or "").encode(), b"voiceagent console", hashlib.sha256).hexdigest()

    def is_token(self, given: str) -> bool:
        """Whether somebody has the token; compared in constant time."""
        return self.token is None or hmac.compare_digest(given.encode(), self.token.encode())

    def why_not_asked_here(self, headers: Mapping[str, str]) -> NotLetIn | None:
        """Refuse what another page has sent, and what came by a name that is not the server's.

        A page of somebody else's may send requests to any address, and have its own name point to this machine. The
        names of `headers` are in any case.
        """
        host, origin = headers.get("host", ""), headers.get("origin")
        try:
            named, asked_by = urlsplit(f"//{host}").hostname or "", urlsplit(origin or "").netloc
        except ValueError:  # half an IPv6 address
            return NotLetIn(HTTPStatus.BAD_REQUEST, "names no host, or no origin")
        if self.token is None and not is_this_machine(named):
            return NotLetIn(HTTPStatus.FORBIDDEN, "asked for by a name that is not this machine's")
        if self.token is None and any(name in headers for name in _FORWARDED):
            return NotLetIn(HTTPStatus.FORBIDDEN, "came through a proxy: give a --console-token")
        if origin is not None and asked_by != host:
            return NotLetIn(HTTPStatus.FORBIDDEN, "asked for by another page")
        return None

    def why_not_known(self, cookies: Mapping[str, str]) -> NotLetIn | None:
        """Refuse whoever has not logged in."""
        shown = cookies.get(COOKIE, "")
        if self.token is not None and not hmac.compare_digest(shown.encode(), self.cookie.encode()):
            return NotLetIn(HTTPStatus.UNAUTHORIZED, "no login")
        return None


def console_access(settings: TelephonySettings, token: str | None) -> ConsoleAccess | None:
    """Return who may see the pages; None where nobody may.

    Without a token there are pages only where nothing but this machine reaches the server, as far as its settings tell.
    Raises OperatorError for a token that could be guessed.
    """
    if token is None:
        return ConsoleAccess() if settings.public_url is None and is_this_machine(settings.host) else None
    if len(token) < _LEAST_TOKEN_CHARACTERS or not token.isascii() or not token.isprintable():
        raise OperatorError(f"--console-token must have {_LEAST_TOKEN_CHARACTERS} printable ASCII characters or more")
    return ConsoleAccess(token)
