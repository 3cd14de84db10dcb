"""Hints: the names that a caller may say in a phase, so that they are understood as they are written."""

from __future__ import annotations

from voiceagent.spec.declared import Declared
from voiceagent.spec.prefetch import FromFact
from voiceagent.spec.tool import Tool

__all__ = ["FromAnswer", "Hint"]


class FromAnswer(Declared):
    """Names in what a read tool has answered, fetched ahead or asked for; none as long as no answer is kept."""

    tool: Tool
    for_each: str | None = None
    """Field of the answer that holds the list; None: the answer is the list."""
    field: str | None = None
    """Field of each item that holds the name; None: the items are the names."""


Hint = str | FromFact | FromAnswer
"""A name as it is written, a fact that is one, or a list of them, or where they stand in a tool's answer."""
