"""Spelling: identifiers character by character, with pauses that a listener can write in."""

from __future__ import annotations

import re

__all__ = ["spoken_digits"]

_GROUPS = re.compile(r"[^\W_]+")


def spoken_digits(digits: str) -> str:
    """Return "5 5 5, 0 1 9 8" for "555-0198": each character apart, a pause between groups."""
    groups: list[str] = _GROUPS.findall(digits)
    pause = ", " if any(len(group) > 1 for group in groups) else " "
    return pause.join(" ".join(group) for group in groups)
