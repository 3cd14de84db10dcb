"""Budget: how much of what costs money a call has used, so that nobody can make it talk for ever."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from voiceagent.core.effects import AskModel, Outgoing, Speak
from voiceagent.core.events import Event, HostEvent, ReplyFinished, ReplyStarted
from voiceagent.spec.flow import Limits

__all__ = ["Budget", "Usage"]


@dataclass(frozen=True, slots=True)
class Usage:
    """What a call has used so far of what providers and carriers take money for; none of it ever goes down."""

    input_tokens: int = 0
    cached_tokens: int = 0
    """Of the input: what the provider had in its prompt cache."""
    output_tokens: int = 0
    spoken_characters: int = 0
    lasted_ms: int = 0


@dataclass(slots=True)
class Budget:
    """Counts by what goes in and comes out of the core, so a replay counts the same."""

    limits: Limits
    model_requests: int = 0
    """Replies asked for, and those that a speech model has begun by itself."""
    requests_of_turn: int = 0
    """Of these, those since the caller was last heard, or the host application: a model that goes round in circles."""
    input_tokens: int = 0
    """Tokens, here and below, as far as the model reports them."""
    cached_tokens: int = 0
    """Of the input."""
    output_tokens: int = 0
    spoken_characters: int = 0
    """Given to the synthesizer; what a speech model says itself is in its tokens."""
    _turn: int = 0

    def count(self, event: Event, outgoing: Sequence[Outgoing], *, turn: int, unasked: bool) -> None:
        """Take note of one event and what came of it; `unasked`: it begins a reply that nobody has asked for."""
        if turn != self._turn or isinstance(event, HostEvent):
            self._turn, self.requests_of_turn = turn, 0
        match event:
            case ReplyFinished(input_tokens=read, output_tokens=written, cached_tokens=cached):
                # An endpoint that reports less than nothing takes nothing back.
                self.input_tokens += max(0, read)
                self.cached_tokens += min(max(0, cached), max(0, read))
                self.output_tokens += max(0, written)
            case ReplyStarted() if unasked:
                self._asked()
            case _:
                pass
        for one in outgoing:
            match one.effect:
                case AskModel(ahead=ahead):
                    self._asked(ahead=ahead)
                case Speak(text=text):
                    self.spoken_characters += len(text)
                case _:
                    pass

    def _asked(self, *, ahead: bool = False) -> None:
        self.model_requests += 1
        if not ahead:  # nobody goes round in circles because the caller pauses
            self.requests_of_turn += 1

    def usage(self, *, lasted_ms: int) -> Usage:
        """Return what has been counted, of a call that has lasted so long."""
        return Usage(self.input_tokens, self.cached_tokens, self.output_tokens, self.spoken_characters, lasted_ms)

    @property
    def overrun(self) -> str | None:
        """What there is too much of, in words for the record; None while all is well."""
        limits = self.limits
        if self.input_tokens + self.output_tokens >= limits.max_tokens:
            return "token limit of the call"
        if self.spoken_characters >= limits.max_spoken_characters:
            return "speech limit of the call"
        if self.model_requests >= limits.max_model_requests:
            return "model limit of the call"
        if self.requests_of_turn > limits.max_model_requests_of_turn:
            return "model limit of one turn"
        return None
