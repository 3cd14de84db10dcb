"""The log of somebody else's web server: of our addresses it is told what tells nobody a number or a call token.

uvicorn writes down path and query of every request and every socket, at INFO; so does httpx of what we ask others.
"""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["discreet_web_log", "our_request"]

_WEB_SERVER = ("uvicorn.error", "uvicorn.access")
_MOST_WORDS = 3
"""`media/<dialect>/<agent>`, `<dialect>/<agent>/answer`: what follows is a call token, or says who calls whom."""

_mount: ContextVar[str | None] = ContextVar("mount", default=None)
"""Where we are mounted, while a request of ours is answered; None for all others."""


@contextmanager
def our_request(mount: str) -> Generator[None]:
    """Have what the web server logs within the block be about a request of ours, below this path."""
    token = _mount.set(mount)
    try:
        yield
    finally:
        _mount.reset(token)


@contextmanager
def discreet_web_log() -> Generator[None]:
    """Within the block, have uvicorn shorten our addresses and httpx keep to itself whom it asks.

    A level that somebody has set for httpx stays: they want to see it.
    """
    shortening, httpx = _Shortening(), logging.getLogger("httpx")
    sets_level = httpx.level == logging.NOTSET
    for name in _WEB_SERVER:
        logging.getLogger(name).addFilter(shortening)
    if sets_level:
        httpx.setLevel(logging.WARNING)
    try:
        yield
    finally:
        for name in _WEB_SERVER:
            logging.getLogger(name).removeFilter(shortening)
        if sets_level:
            httpx.setLevel(logging.NOTSET)


class _Shortening:
    """A filter that takes every line and leaves something out; one for each block, which is its identity."""

    def __call__(self, record: logging.LogRecord) -> bool:
        mount = _mount.get()
        if mount is not None and isinstance(record.args, tuple):
            record.args = tuple(_shortened(value, mount) for value in record.args)
        return True


def _shortened(value: object, mount: str) -> object:
    if not isinstance(value, str) or not value.startswith("/"):
        return value
    words = value.partition("?")[0].split("/")
    most = mount.count("/") + 1 + _MOST_WORDS
    shown = "/".join(words[:most])
    return shown if shown == value else f"{shown}…"
