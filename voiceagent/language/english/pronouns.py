"""The "one" that counts nothing: "one moment", "that one"."""

from __future__ import annotations

import re

__all__ = ["PRONOUN_ONE"]

PRONOUN_ONE = re.compile(
    r"\b(?:this|that|which|the|no|another|any|every|each|last|first|other|wrong|right)[ -]one\b"
    r"|\bone (?:moment|moments|second|sec|minute|min|of|more|thing|another|time|question|day|other|last|quick|way|step"
    r"|at a time)\b",
    re.IGNORECASE,
)
"""Matches "one" with the word that shows it to be no digit."""
