"""Replies that nobody asked for: a speech model has heard the caller out and answers by itself."""

from __future__ import annotations

from dataclasses import dataclass, field

from voiceagent.core import events as ev
from voiceagent.core.deadlines import earliest
from voiceagent.core.desks import Desks
from voiceagent.core.effects import CancelReply
from voiceagent.core.ids import TurnId
from voiceagent.core.listening import Listening
from voiceagent.core.replying import Replying

__all__ = ["Unasked"]

_DECIDED_WITHIN_MS = 1_000
"""So long the words are waited for that tell an "uh-huh" from something that wants an answer."""

_Piece = ev.ReplyText | ev.ToolRequested | ev.ReplyFinished | ev.ReplyFailed


@dataclass(slots=True)
class _Kept:
    """A reply to what may have been an "uh-huh", while the agent is still speaking."""

    begun: ev.ReplyStarted
    turn: TurnId
    deadline_ms: int
    pieces: list[_Piece] = field(default_factory=list[_Piece])


class Unasked:
    """Decides whether the caller hears a reply that a speech model has begun by itself, and what if it begins none."""

    def __init__(self, desks: Desks, *, listening: Listening, replying: Replying) -> None:
        self._state = desks.state
        self._out = desks.out
        self._saying = desks.saying
        self._doing = desks.doing
        self._hearing = desks.hearing
        self._listening = listening
        self._replying = replying
        self._kept: _Kept | None = None

    def begun(self, event: ev.ReplyStarted) -> None:
        """A reply has begun; one that was asked for is known already."""
        if self._saying.current(event.reply) is not None:
            return
        if self._saying.was_asked(event.reply):
            self._out.emit(CancelReply(event.reply))  # it has begun when nobody wanted it any more
            return
        self._refuse_kept()
        if not self._is_wanted(event):
            self._out.emit(CancelReply(event.reply))
        elif self._hearing.undecided and self._is_cutting_in:
            self._kept = _Kept(event, self._state.turn, self._state.now_ms + _DECIDED_WITHIN_MS)
        else:
            self._accept(event)

    def keeps(self, piece: _Piece) -> bool:
        """Keep a piece of a reply of which it is not decided whether anybody wants it; False for any other."""
        if self._kept is None or self._kept.begun.reply != piece.reply:
            return False
        self._kept.pieces.append(piece)
        return True

    def settle(self) -> None:
        """See whether it is known by now what the caller's sound was."""
        kept = self._kept
        if kept is None:
            return
        if kept.begun.epoch != self._state.epoch or self._state.swapping or self._state.closing:
            self._refuse_kept()
        elif self._state.turn != kept.turn:
            self._accept_kept(kept)
        elif not self._hearing.turn_open:
            self._refuse_kept()  # it was an "uh-huh", and the agent goes on
        elif not self._is_cutting_in:
            self._accept_kept(kept)  # the agent has said everything meanwhile: somebody has to say something

    def session_over(self) -> None:
        """The session that was making it is gone: a reply that is being kept will never be complete."""
        if self._kept is not None:
            self._refuse_kept()
            self._listening.answer_is_owed = True

    def interrupted(self, event: ev.ReplyInterrupted) -> None:
        """The model has heard the caller cut in, and gives up the rest of what it was saying."""
        if self._state.closing or self._saying.current(event.reply) is None:
            return
        self._listening.barge_in("the speech model has heard them")
        if not self._hearing.turn_open:
            self._saying.forget_cut_off()  # it was the model that heard them, and it has decided that they meant it

    def deadline_ms(self) -> int | None:
        """When a reply is overdue that should have begun by itself, or a decision about one that has."""
        return earliest(
            None if self._state.swapping else self._saying.awaited_until_ms,
            None if self._kept is None else self._kept.deadline_ms,
        )

    def due(self) -> None:
        """Time is up: take the caller at their word, or ask for the reply that has not begun."""
        kept = self._kept
        if kept is not None and self._state.now_ms >= kept.deadline_ms:
            self._accept_kept(kept)
            return
        self._saying.awaited_until_ms = None
        self._saying.owed = True

    @property
    def _is_cutting_in(self) -> bool:
        """Whether what the caller says falls into the agent's words, or has cut them off."""
        return bool(self._saying.speech.sounding or self._saying.cut_off)

    def _is_wanted(self, event: ev.ReplyStarted) -> bool:
        state = self._state
        if state.closing or not state.replies_unasked:
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

    def _accept(self, event: ev.ReplyStarted) -> None:
        self._listening.answered_by_voice()
        self._saying.unasked(event.reply, event.epoch)
        if self._hearing.turn_open:
            self._saying.hold()  # the caller has gone on meanwhile, and has the floor

    def _accept_kept(self, kept: _Kept) -> None:
        self._kept = None
        self._listening.barge_in("the speech model answers")
        self._accept(kept.begun)
        for piece in kept.pieces:
            self._replying.made(piece)

    def _refuse_kept(self) -> None:
        if self._kept is not None:
            self._out.emit(CancelReply(self._kept.begun.reply))
            self._kept = None
