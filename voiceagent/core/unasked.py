"""Replies that nobody asked for: a speech model has heard the caller out and answers by itself."""

from __future__ import annotations

from voiceagent.core import events as ev
from voiceagent.core.desks import Desks
from voiceagent.core.effects import CancelReply
from voiceagent.core.listening import Listening

__all__ = ["Unasked"]

_BEGINS_WITHIN_MS = 3_000
"""A speech model that has not begun to answer the caller's words by then is asked to."""


class Unasked:
    """Decides whether the caller hears a reply that a speech model has begun by itself, and what if it begins none."""

    def __init__(self, desks: Desks, *, listening: Listening) -> None:
        self._state = desks.state
        self._out = desks.out
        self._saying = desks.saying
        self._doing = desks.doing
        self._hearing = desks.hearing
        self._listening = listening

    def begun(self, event: ev.ReplyStarted) -> None:
        """A reply has begun; one that was asked for is known already."""
        if self._saying.current(event.reply) is not None:
            return
        if not self._is_wanted(event):
            self._out.emit(CancelReply(event.reply))
            return
        self._listening.answered_by_voice()
        self._saying.unasked(event.reply, event.epoch)

    def _is_wanted(self, event: ev.ReplyStarted) -> bool:
        state = self._state
        if state.closing or not state.replies_unasked or not state.phase.has_model:
            return False
        if state.swapping or event.epoch != state.epoch:
            # Made under a prompt that no longer holds: the caller's words are answered under the new one.
            self._saying.owed = True
            return False
        if self._doing.confirmation is not None:
            # What the caller has just said may be the yes, and a model must not act as if it were.
            self._listening.answer_is_owed = True
            return False
        return True

    def interrupted(self) -> None:
        """The model has heard the caller cut in, and gives up the rest of what it was saying."""
        if self._state.closing:
            return
        self._listening.barge_in()
        if not self._hearing.turn_open:
            self._saying.forget_cut_off()  # it was the model that heard them, and it has decided that they meant it

    def deadline_ms(self) -> int | None:
        """When a reply is overdue that should have begun by itself."""
        since_ms = self._saying.awaited_since_ms
        return None if since_ms is None or self._state.swapping else since_ms + _BEGINS_WITHIN_MS

    def overdue(self) -> None:
        """It has not begun: ask for it."""
        self._saying.awaited_since_ms = None
        self._saying.owed = True
