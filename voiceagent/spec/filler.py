"""Fillers: what is said while the caller has to wait."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from voiceagent.spec.declared import Declared

__all__ = ["Filler"]


class Filler(Declared):
    """Three tiers of phrases: a short one first, longer ones later, an apology when it takes too long."""

    patience_ms: int = Field(default=800, ge=100, le=10_000)
    """Silence before the first phrase, while something is being looked up or thought about."""
    phrases: tuple[str, ...] = ("One moment.", "Let me check.", "Just a second.")
    """First tier, one clause each; used in turn, never the same twice in a row."""
    again_ms: int = Field(default=4_000, ge=1_000, le=30_000)
    """Silence before each further phrase."""
    later: tuple[str, ...] = (
        "Still looking, thank you for waiting.",
        "This is taking a little longer, I am still here.",
    )
    """Second tier, used in turn."""
    give_up_ms: int = Field(default=20_000, ge=2_000, le=120_000)
    """Total wait after which the agent apologises and lets go of what can be let go of."""
    apology: str = "I am sorry, that is taking too long right now."
    """Last resort."""

    @model_validator(mode="after")
    def _has_words(self) -> Self:
        if not self.phrases:
            raise ValueError("a filler needs at least one phrase")
        if self.give_up_ms <= self.patience_ms:
            raise ValueError("give_up_ms must lie beyond patience_ms")
        return self
