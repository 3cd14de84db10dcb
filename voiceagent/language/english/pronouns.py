"""The "one" that counts nothing: "one moment", "that one"."""

from __future__ import annotations

import re

__all__ = ["PRONOUN_ONE"]

PRONOUN_ONE = re.compile(
    r"\b(?:this|that|which|the|no|another|any|every|each|last|first|other|wrong|right)[ -]one\b"
    r"|\bone (?:moment|second|sec|minute|of|more|thing|another|time|question|day)\b",
    re.IGNORECASE,
)
"""Matches "one" with the word that shows it to be no digit."""
