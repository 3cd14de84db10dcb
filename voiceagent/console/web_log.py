"""The log of somebody else's web server: of our addresses it is told what tells nobody a number or a call token.

uvicorn writes down path and query of every request and every socket, at INFO; so does httpx of what we ask others.
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from urllib.parse import quote

from voiceagent.telephony.dialects import DIALECTS

__all__ = ["WebLog", "discreet_web_log"]

_WEB_SERVER = ("uvicorn.error", "uvicorn.access")
_MOST_WORDS = 3
"""`media/<dialect>/<agent>`, `<dialect>/<agent>/answer`: what follows is a call token, or says who calls whom."""
_MOST_MOUNTS = 64


class WebLog:
    """A filter that takes every line and shortens our addresses in it.

    It goes by the addresses alone: a web server writes its line in a task of its own, in which nothing is known of
    who has answered.
    """

    def __init__(self) -> None:
        self._mounts: dict[str, None] = {}

    def is_ours(self, mount: str) -> None:
        """Have whatever lies below this path count as ours; it is known once the first request has come."""
        if mount and len(self._mounts) < _MOST_MOUNTS:
            self._mounts[quote(mount.rstrip("/")) + "/"] = None

    def __call__(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(self._shortened(value) for value in record.args)
        return True

    def _shortened(self, value: object) -> object:
        if not isinstance(value, str) or not value.startswith("/"):
            return value
        words = value.partition("?")[0].split("/")
        ours = self._ours_begins_at(value, words)
        shown = "/".join(words[: ours + _MOST_WORDS]) if ours is not None else value
        return shown if shown == value else f"{shown}…"

    def _ours_begins_at(self, path: str, words: Sequence[str]) -> int | None:
        """Return which word is the first below a mount of ours; None for other people's addresses."""
        for mount in self._mounts:
            if path.startswith(mount):
                return mount.count("/")
        return next((at for at in range(len(words) - 2) if _is_named(words[at : at + 3])), None)


def _is_named(words: Sequence[str]) -> bool:
    """Whether an address of ours begins like this, wherever we are mounted."""
    return words[0] in DIALECTS or (words[0] == "media" and words[1] in DIALECTS)


@contextmanager
def discreet_web_log() -> Generator[WebLog]:
    """Within the block, have uvicorn shorten our addresses and httpx keep to itself whom it asks.

    A level that somebody has set for httpx stays: they want to see it.
    """
    shortening, httpx = WebLog(), logging.getLogger("httpx")
    sets_level = httpx.level == logging.NOTSET
    for name in _WEB_SERVER:
        logging.getLogger(name).addFilter(shortening)
    if sets_level:
        httpx.setLevel(logging.WARNING)
    try:
        yield shortening
    finally:
        for name in _WEB_SERVER:
            logging.getLogger(name).removeFilter(shortening)
        if sets_level:
            httpx.setLevel(logging.NOTSET)
