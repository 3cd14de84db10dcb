"""Fillers: say something when a background task keeps the caller waiting."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from voiceagent.spec.filler import Filler

__all__ = ["DueFiller", "FillerPolicy"]

_USUAL_PHRASE_MS = 1_200
"""Length of a phrase nobody has measured yet."""


@dataclass(frozen=True, slots=True)
class DueFiller:
    """A phrase to say now."""

    text: str
    tier: Literal["first", "later", "apology"]


@dataclass(slots=True)
class FillerPolicy:
    """When to say which phrase, while the caller waits in silence.

    A wait begins when nobody speaks and work is outstanding; the agent's own voice, the caller's or the end of the work
    end it. Phrases rotate over the whole call, so that the same one is never heard twice in a row.
    """

    phrase_ms: Mapping[str, int] = field(default_factory=dict[str, int])
    """Known lengths of phrases."""
    _filler: Filler | None = None
    _waiting_since_ms: int | None = None
    _silent_since_ms: int = 0
    _expected_ms: int | None = None
    _heard_by_ms: int | None = None
    _said: int = 0
    _gave_up: bool = False
    _turns: dict[str, int] = field(default_factory=dict[str, int])
    _last: str = ""

    @property
    def waiting(self) -> bool:
        """Whether the caller is being kept waiting."""
        return self._waiting_since_ms is not None

    @property
    def deadline_ms(self) -> int | None:
        """When the next phrase is due; None where nobody waits."""
        if self._waiting_since_ms is None or self._filler is None:
            return None
        next_ms = self._next_ms(self._filler)
        # What cannot be let go of, a write, is waited for beyond the apology, and not in silence.
        return next_ms if self._gave_up else min(next_ms, self._waiting_since_ms + self._filler.give_up_ms)

    def wait(self, now_ms: int, filler: Filler, *, expected_at_ms: int | None, heard_by_ms: int | None = None) -> None:
        """The caller waits in silence from now on; the result is expected then, if anybody knows.

        `heard_by_ms`: no phrase is put off any longer, since the caller had waited before this wait began.
        """
        if self._waiting_since_ms is None:
            self._waiting_since_ms = now_ms
            self._silent_since_ms = now_ms
            self._said = 0
            self._gave_up = False
        self._filler = filler
        self._expected_ms = expected_at_ms
        self._heard_by_ms = heard_by_ms

    def quiet_again(self, now_ms: int) -> None:
        """A phrase has been heard to its end and the wait goes on."""
        self._silent_since_ms = now_ms

    def stop(self) -> None:
        """The wait is over."""
        self._waiting_since_ms = None

    def take(self, now_ms: int) -> DueFiller | None:
        """Return the phrase that is due, once."""
        due = self.deadline_ms
        if due is None or now_ms < due or self._filler is None or self._waiting_since_ms is None:
            return None
        self._silent_since_ms = now_ms
        if not self._gave_up and now_ms >= self._waiting_since_ms + self._filler.give_up_ms:
            self._gave_up = True
            return DueFiller(self._filler.apology, "apology")
        self._said += 1
        later = self._said > 1 and bool(self._filler.later)
        phrase = self._next_phrase(self._filler.later if later else self._filler.phrases)
        if phrase is None:
            return None
        return DueFiller(phrase, "later" if later else "first")

    def _next_ms(self, filler: Filler) -> int:
        if self._said or self._gave_up:
            return self._silent_since_ms + filler.again_ms
        due_ms = self._silent_since_ms + filler.patience_ms
        phrase_ms = self.phrase_ms.get(self._peek(filler.phrases), _USUAL_PHRASE_MS)
        if self._expected_ms is None or not due_ms < self._expected_ms < due_ms + phrase_ms:
            # Nobody knows when the result comes, it is due before the phrase, or it takes longer than the phrase lasts.
            return due_ms
        # The result is about to come: a phrase now would only delay it. Wait for it, but not longer than the phrase.
        put_off_ms = due_ms + phrase_ms
        return put_off_ms if self._heard_by_ms is None else max(due_ms, min(put_off_ms, self._heard_by_ms))

    def _peek(self, phrases: tuple[str, ...]) -> str:
        count = self._turns.get(phrases[0], 0)
        phrase = phrases[count % len(phrases)]
        return phrases[(count + 1) % len(phrases)] if phrase == self._last else phrase

    def _next_phrase(self, phrases: tuple[str, ...]) -> str | None:
        """Return the phrase whose turn it is; None where it is the only one and was said just now."""
        phrase = self._peek(phrases)
        if phrase == self._last:
            return None
        self._turns[phrases[0]] = phrases.index(phrase) + 1
        self._last = phrase
        return phrase
