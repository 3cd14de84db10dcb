"""Manner: in which language, with which voice and how fast the agent speaks."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Manner"]


@dataclass(frozen=True, slots=True)
class Manner:
    """How a phase is spoken, and heard. All of it changes at once, with the phase."""

    language: str
    """A locale, such as "es-MX"."""
    voice: str | None = None
    """None: the engine's own."""
    speaking_rate: float | None = None
    """Times as fast as the voice speaks by itself; None: as it does."""
