"""Sounds of somebody who thinks while speaking: "two hundred, um, and fifty"."""

from __future__ import annotations

import re

__all__ = ["without_hesitations"]

_HESITATION = re.compile(
    r",?\s*\b(?:um+|uh+|er+m?|ah+|hm+)\b(?![-'’]?(?:huh|hm))(?:[,.…]*(?=\s+[a-z\d])|(?=[.?!]))", re.IGNORECASE
)


def without_hesitations(text: str) -> str:
    """Return `text` as if the caller had not hesitated: without "um" and the punctuation around it."""
    return _HESITATION.sub("", text)
