"""Renewal: a model session that is about to end is replaced at a moment at which nobody notices."""

from __future__ import annotations

from voiceagent.core.effects import RenewVoice
from voiceagent.core.phasing import Phasing
from voiceagent.core.state import CallState, Outbox

__all__ = ["Renewal"]

_MARGIN_MS = 10_000
"""So long before its end a session is replaced even in the middle of a sentence: to connect takes time too."""


class Renewal:
    """Waits for a quiet moment, or for the last one."""

    def __init__(self, state: CallState, out: Outbox, *, phasing: Phasing) -> None:
        self._state = state
        self._out = out
        self._phasing = phasing
        self._at_latest_ms: int | None = None

    def wanted(self, left_ms: int) -> None:
        """The session ends in so many milliseconds; 0 where it has ended already."""
        self._at_latest_ms = self._state.now_ms + max(0, left_ms - _MARGIN_MS)

    def deadline_ms(self) -> int | None:
        """When it cannot wait any longer for a quiet moment."""
        return None if self._needless else self._at_latest_ms

    def settle(self, *, quiet: bool) -> None:
        """Everything that has happened is dealt with: nobody speaks and nothing is being made, if `quiet`."""
        due_ms = self._at_latest_ms
        if due_ms is None or self._needless:
            return
        # Where the last words are being said the call is sooner over than the session, but for the last moment.
        if (quiet and not self._state.phase.ends) or self._state.now_ms >= due_ms:
            self._at_latest_ms = None
            manner = self._state.flow.manner_of(self._state.phase)
            self._out.emit(RenewVoice(self._phasing.model_request(), manner))

    @property
    def _needless(self) -> bool:
        """Whether another session comes by itself, or none is needed any more."""
        state = self._state
        return state.swapping or state.closing or (state.phase.ends is not None and not state.phase.has_model)
