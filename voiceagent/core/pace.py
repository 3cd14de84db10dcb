"""The caller's pace: how long this caller pauses in the middle of what they say, as far as the call has shown."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from voiceagent.core.endpointing import ANSWER_MS, INCOMPLETE_MS, Patience

__all__ = ["CUT_OFF_WITHIN_MS", "Pace"]

CUT_OFF_WITHIN_MS = 800
"""Whoever speaks again so shortly after their turn was taken had not finished it."""
_REMEMBERED = 6
_MARGIN_MS = 200
"""Pauses vary: the next one may be a little longer."""
_MOST = 1.6
"""Times the patience of everybody else: two or three slow answers must not make the agent sluggish."""


@dataclass(slots=True)
class Pace:
    """Remembers pauses after which a caller went on."""

    _pauses: deque[int] = field(default_factory=lambda: deque[int](maxlen=_REMEMBERED))

    def turn_over(self, pauses: Iterable[tuple[Patience, int]]) -> None:
        """A turn is over. These were the pauses within it, in milliseconds, each with the patience it was met with.

        One that everybody makes, in the middle of a number or after "and", says nothing about this caller.
        """
        self._pauses.append(max((ms for patience, ms in pauses if patience.ms < INCOMPLETE_MS), default=0))

    def cut_off(self, pause_ms: int) -> None:
        """The last turn was not over: after such a pause the caller went on."""
        if self._pauses:
            self._pauses[-1] = max(self._pauses[-1], pause_ms)

    def fitted(self, patience: Patience) -> Patience:
        """Return the patience for this caller; a complete answer needs none more from anybody."""
        wanted_ms = max(self._pauses, default=0) + _MARGIN_MS
        if patience.ms <= ANSWER_MS or wanted_ms <= patience.ms:
            return patience
        return replace(
            patience,
            ms=min(wanted_ms, round(patience.ms * _MOST)),
            reason=f"{patience.reason}; this caller makes longer pauses",
        )
