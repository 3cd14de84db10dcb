"""Prefetch: what is fetched ahead as soon as the caller's identity is known."""

from __future__ import annotations

from collections.abc import Mapping

from pydantic import Field, JsonValue

from voiceagent.spec.declared import Declared
from voiceagent.spec.tool import Tool

__all__ = ["FromFact", "FromItem", "Prefetch"]


class FromFact(Declared):
    """An argument taken from a fact."""

    fact: str


class FromItem(Declared):
    """An argument taken from a field of each item of the answer that this prefetch comes `after`."""

    field: str


class Prefetch(Declared):
    """One read tool to call in the background when a transition fires; bound parameters need not be given."""

    tool: Tool
    arguments: Mapping[str, FromFact | FromItem | JsonValue] = Field(default_factory=dict)
    after: Tool | None = None
    """A prefetch of the same transition whose answer is a list; this one is made once for each of its items."""
    for_each: str | None = None
    """Field of that answer that holds the list; None: the answer is the list."""
    at_most: int = Field(default=5, ge=1, le=50)
    """How many items are followed."""
    deadline_ms: int = Field(default=10_000, ge=100, le=60_000)
    """When the fetch is given up."""
