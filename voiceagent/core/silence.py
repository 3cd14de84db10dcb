"""Silence: what is said when nobody says anything, and when it is time to give up."""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.spec.phase import Reprompts

__all__ = ["SilenceLadder"]

_MOST_NOT_HEARD = 3


@dataclass(slots=True)
class SilenceLadder:
    """Counts the reprompts since the caller was last understood."""

    last_sound_ms: int = 0
    """When the caller last spoke or heard something, as far as is known."""
    _quiet_since_ms: int | None = None
    _no_input: int = 0
    _no_match: int = 0
    _not_heard: int = 0
    asked_to_wait: bool = False
    """The caller has: nobody is to ask them soon whether they are there."""

    @property
    def is_deaf(self) -> bool:
        """Whether the caller has been listened to in vain, again and again."""
        return self._not_heard > _MOST_NOT_HEARD

    def sound(self, at_ms: int) -> None:
        """Somebody was heard up to this moment."""
        self.last_sound_ms = max(self.last_sound_ms, at_ms)

    def quiet(self, now_ms: int) -> None:
        """Nobody speaks and nobody works: from now on the caller's silence counts."""
        if self._quiet_since_ms is None:
            self._quiet_since_ms = now_ms

    def broken(self) -> None:
        """Somebody speaks or works."""
        self._quiet_since_ms = None

    def answered(self) -> None:
        """The caller has said something: their silence counts anew."""
        self._quiet_since_ms = None
        self.asked_to_wait = False
        self._no_input = self._not_heard = 0

    def understood(self) -> None:
        """What the caller says leads somewhere: not being understood is counted anew."""
        self._no_match = 0

    def deadline_ms(self, reprompts: Reprompts) -> int | None:
        """When the next step is due."""
        if self._quiet_since_ms is None:
            return None
        return self._quiet_since_ms + (reprompts.hold_ms if self.asked_to_wait else reprompts.after_ms)

    def step(self, phrases: tuple[str, ...]) -> str | None:
        """Return the next reprompt; None once all have been said."""
        self._quiet_since_ms = None
        self.asked_to_wait = False
        self._no_input += 1
        return phrases[self._no_input - 1] if self._no_input <= len(phrases) else None

    def not_understood(self, phrases: tuple[str, ...]) -> str | None:
        """Return what to say to a caller who was not understood; None once all has been said."""
        self._no_match += 1
        return phrases[self._no_match - 1] if self._no_match <= len(phrases) else None

    def not_heard(self, phrases: tuple[str, ...]) -> str | None:
        """Return what to say to a caller whose words were lost; None the second time: asking again is of no use."""
        self._not_heard += 1
        return None if self._not_heard > 1 else self.not_understood(phrases)
