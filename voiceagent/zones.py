"""Time zones: what day it is for the caller. A zone is read from disk once, before the first call."""

from __future__ import annotations

from datetime import UTC, date, datetime, tzinfo
from functools import cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from voiceagent.errors import OperatorError

__all__ = ["date_at", "read_zone", "zone_of"]


@cache
def zone_of(name: str) -> tzinfo:
    """Return a zone; UTC for a name nobody knows. Reads the disk the first time: call `read_zone` before a call."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        return UTC


def read_zone(name: str) -> None:
    """Have a zone at hand. Raises OperatorError for a name nobody knows."""
    if name != "UTC" and zone_of(name) is UTC:
        raise OperatorError(f"there is no time zone {name!r}; write it as in 'Europe/Berlin'")


def date_at(unix_ms: int, zone: str) -> date:
    """Return which day it is there when the wall clock shows this."""
    return datetime.fromtimestamp(unix_ms / 1_000, zone_of(zone)).date()
