"""Caller numbers: by which number a caller is counted, if they show one."""

from __future__ import annotations

import re

__all__ = ["counted_number"]

_NUMBER = re.compile(r"\+?[0-9]{3,20}")
_WITHHELD = frozenset({"+266696687", "+7378742833", "+2562533", "+8656696", "+86282452253"})
"""Twilio's numbers for callers who have none: ANONYMOUS, RESTRICTED, BLOCKED, UNKNOWN and UNAVAILABLE on a keypad."""


def counted_number(caller: str | None) -> str | None:
    """Return a caller's number, as one spelling; None for callers who withhold theirs, who are many."""
    number = re.sub(r"[\s().-]", "", caller or "")
    return number if _NUMBER.fullmatch(number) and number not in _WITHHELD else None
