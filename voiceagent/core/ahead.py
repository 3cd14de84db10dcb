"""Replies made ahead: the model is asked as soon as the caller pauses, and heard only if their turn was over indeed.

What it was shown decides: where it would be shown anything else now, nothing is left of the reply but its cost.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from voiceagent.core import events as ev
from voiceagent.core.desks import Desks
from voiceagent.core.effects import CancelReply, ModelRequest
from voiceagent.core.ids import ReplyId, TurnId, UtteranceId
from voiceagent.core.replying import Replying

__all__ = ["Ahead"]

_WORTH_MS = 50
"""Where the turn is over sooner than that, the reply may as well be asked for then."""
_MOST_OF_TURN = 3
"""Whoever pauses again and again is thinking aloud, and every time costs a reply."""
_MOST_PIECES = 100
"""Kept of one reply: it comes a second ahead, and a model that has said so much by then has lost its way."""

_Piece = ev.ReplyText | ev.ToolRequested | ev.ReplyFinished | ev.ReplyFailed


@dataclass(slots=True)
class _Kept:
    """A reply of which nobody has heard anything, and no request has been looked at."""

    reply: ReplyId
    request: ModelRequest
    said: Mapping[UtteranceId, str]
    pieces: list[_Piece] = field(default_factory=list[_Piece])
    failed: bool = False
    """It will be asked for in its own time, and apologised for if it fails then."""


class Ahead:
    """Decides when a reply is asked for ahead of time, and whether it is the one that is wanted."""

    def __init__(self, desks: Desks, *, replying: Replying) -> None:
        self._desks = desks
        self._state = desks.state
        self._saying = desks.saying
        self._hearing = desks.hearing
        self._phasing = desks.phasing
        self._replying = replying
        self._kept: _Kept | None = None
        self._asked = (TurnId(0), 0)
        """How many replies have been asked for ahead in which turn."""

    def makes(self, reply: ReplyId) -> bool:
        """Whether this reply is being made ahead."""
        return self._kept is not None and self._kept.reply == reply

    def keeps(self, piece: _Piece) -> bool:
        """Keep a piece of the reply that is being made ahead; False for any other."""
        kept = self._kept
        if kept is None or kept.reply != piece.reply:
            return False
        if kept.failed:
            return True
        kept.pieces.append(piece)
        if isinstance(piece, ev.ReplyFailed):
            kept.failed = True
        elif len(kept.pieces) > _MOST_PIECES:
            kept.failed = True
            self._desks.out.emit(CancelReply(kept.reply))
        return True

    def take(self) -> bool:
        """Take the reply for the one that is owed now; False where none was made, or not for this."""
        kept = self._kept
        if kept is None or kept.failed:
            return False
        now = self._phasing.model_request()
        if replace(now, unix_ms=kept.request.unix_ms) != kept.request:
            return False
        self._kept = None
        self._saying.adopt(kept.reply)
        for piece in kept.pieces:
            self._replying.made(piece)
        return True

    def settle(self) -> None:
        """Ask for a reply where the caller has paused, and give up one that is not what they will want."""
        said = self._hearing.said_so_far if self._is_worth_it else None
        if self._kept is not None and self._kept.said != said:
            self.drop()
        if said and self._kept is None and self._may_ask():
            with self._desks.transcript.supposing(said, self._state.epoch):
                request = self._phasing.model_request()
            self._kept = _Kept(self._saying.ask_ahead(request), request, said)

    def drop(self) -> None:
        """Nobody wants it any more."""
        kept, self._kept = self._kept, None
        if kept is not None and not kept.failed:
            self._desks.out.emit(CancelReply(kept.reply))

    @property
    def _is_worth_it(self) -> bool:
        """Whether the caller has paused, and what they have said is what the model would answer."""
        state, hearing, saying, doing = self._state, self._hearing, self._saying, self._desks.doing
        if not state.flow.preemptive_replies or state.voice_speaks or state.swapping or state.closing:
            return False
        if state.only_listens:
            return False
        busy = saying.reply is not None or doing.confirmation is not None or doing.is_busy
        return state.phase.has_model and hearing.has_paused and not busy

    def _may_ask(self) -> bool:
        due_ms = self._hearing.deadline_ms
        if due_ms is None or due_ms - self._state.now_ms < _WORTH_MS:
            return False
        turn, times = self._asked
        times = times if turn == self._state.turn else 0
        self._asked = (self._state.turn, times + 1)
        return times < _MOST_OF_TURN
