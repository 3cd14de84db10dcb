"""Budget: how much of what costs money a call has used, so that nobody can make it talk for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voiceagent.core.effects import AskModel, Outgoing, Speak
from voiceagent.core.events import Event, ReplyFinished, ReplyStarted
from voiceagent.spec.flow import Limits

__all__ = ["Budget"]


@dataclass(slots=True)
class Budget:
    """Counts by what goes in and comes out of the core, so a replay counts the same."""

    limits: Limits
    model_requests: int = 0
    """Replies asked for, and those that a speech model has begun by itself."""
    tokens: int = 0
    """In and out, as far as the model reports them."""
    spoken_characters: int = 0
    """Given to the synthesizer; what a speech model says itself is in its tokens."""

    def count(self, event: Event, outgoing: Sequence[Outgoing], *, unasked: bool) -> None:
        """Take note of one event and what came of it; `unasked`: it begins a reply that nobody has asked for."""
        match event:
            case ReplyFinished(input_tokens=read, output_tokens=written):
                self.tokens += read + written
            case ReplyStarted() if unasked:
                self.model_requests += 1
            case _:
                pass
        for one in outgoing:
            match one.effect:
                case AskModel():
                    self.model_requests += 1
                case Speak(text=text):
                    self.spoken_characters += len(text)
                case _:
                    pass

    @property
    def overrun(self) -> str | None:
        """What there is too much of, in words for the record; None while all is well."""
        limits = self.limits
        if self.tokens >= limits.max_tokens:
            return "token limit of the call"
        if self.spoken_characters >= limits.max_spoken_characters:
            return "speech limit of the call"
        if self.model_requests >= limits.max_model_requests:
            return "model limit of the call"
        return None
