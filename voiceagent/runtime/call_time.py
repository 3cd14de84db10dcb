"""A call's own time: that of the clock, until a call goes on elsewhere; then it is ahead by what had passed before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from voiceagent.core.effects import Fetch, Outgoing
from voiceagent.core.events import CallerPaused, CallerStartedSpeaking, Event, PlayoutStarted, ToneHeard
from voiceagent.ports import Clock

__all__ = ["CallTime"]


class CallTime:
    """Where the conversation's instants and those of everything around it are turned into each other."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._ahead_ms = 0

    def go_on_at(self, now_ms: int) -> None:
        """It is this late in the call now."""
        self._ahead_ms = now_ms - self._clock.now_ms()

    def now_ms(self) -> int:
        """Return how late it is in the call."""
        return self._clock.now_ms() + self._ahead_ms

    def call_at(self, at_ms: int, callback: Callable[[], None]) -> Callable[[], None]:
        """Call back at an instant of the call; returns what cancels it."""
        return self._clock.call_at(at_ms - self._ahead_ms, callback)

    def dated(self, event: Event) -> Event:
        """Return what the leg and the ears have dated by the clock, dated by the call's time."""
        match event:
            case (
                CallerStartedSpeaking(at_ms=at_ms)
                | CallerPaused(at_ms=at_ms)
                | PlayoutStarted(at_ms=at_ms)
                | ToneHeard(at_ms=at_ms)
            ):
                return replace(event, at_ms=at_ms + self._ahead_ms) if self._ahead_ms else event
            case _:
                return event

    def on_the_clock(self, outgoing: Outgoing) -> Outgoing:
        """Return what is wanted by an instant of the call, wanted by the clock."""
        effect = outgoing.effect
        if isinstance(effect, Fetch) and self._ahead_ms:
            return replace(outgoing, effect=replace(effect, deadline_ms=effect.deadline_ms - self._ahead_ms))
        return outgoing
