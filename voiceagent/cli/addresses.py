"""Addresses of services, as options give them."""

from __future__ import annotations

from urllib.parse import urlsplit

from voiceagent.errors import OperatorError

__all__ = ["require_address"]


def require_address(option: str, url: str | None) -> None:
    """Raise OperatorError where what was given with an option is no address of a service."""
    if url and "@" in url.partition("://")[2].partition("/")[0]:
        # It would stand in logs and in the process list. This one is not repeated either.
        raise OperatorError(f"{option} has a name or a password in it: credentials are given by options of their own")
    if url and not _is_address(url):
        raise OperatorError(f"{option} is {url!r}, but must look like 'https://api.example.com'")


def _is_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname)
