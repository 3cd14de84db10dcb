"""Confirmations: what cannot be undone is read back, and done only after a clear yes to exactly that."""

from __future__ import annotations

from dataclasses import dataclass

from voiceagent.core.ids import Epoch, ToolCallId, UtteranceId

__all__ = ["Confirmation", "pressed_answer"]

_YES_KEY = "1"
_NO_KEY = "2"


@dataclass(slots=True)
class Confirmation:
    """One read-back that waits for its answer."""

    number: int
    """Counter within the call; with the call's id it makes the idempotency key."""
    call: ToolCallId
    read_back: UtteranceId
    epoch: Epoch
    deadline_ms: int
    heard: bool = False
    """The caller has heard the whole of it: only then is a yes an answer to it."""

    def key(self, call_id: str) -> str:
        """Return the idempotency key of the confirmed intent."""
        return f"{call_id}:{self.number}"


def pressed_answer(digits: str) -> bool | None:
    """Read keys as an answer: 1 is yes, 2 is no."""
    return {_YES_KEY: True, _NO_KEY: False}.get(digits)
