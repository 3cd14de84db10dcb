"""Backchannels: "mm-hm", softly, to a caller who tells something long; it takes no turn, and nobody is told of it."""

from __future__ import annotations

from voiceagent.core import events as ev
from voiceagent.core.desks import Desks
from voiceagent.core.effects import NoteDecision, Speak, StopPlayout
from voiceagent.core.ids import UtteranceId

__all__ = ["Backchannels"]

_LONG_MS = 5_000
"""Of voice in one turn: whoever has said less has asked something, and wants an answer."""
_INTO_PAUSE_MS = 350
"""Sooner it would fall into the next word of somebody who only draws breath."""
_LEFT_MS = 250
"""Of the turn, at least: who is about to be answered needs no sign that they are listened to."""
_APART_MS = 8_000
"""From one to the next: oftener it sounds impatient."""


class Backchannels:
    """Decides at every pause of the caller whether the agent shows that it listens.

    What it says is no utterance of the agent's turn: it is not in the history, the caller who goes on does not
    interrupt it, and it does not break the silence that reprompts wait for.
    """

    def __init__(self, desks: Desks) -> None:
        self._state = desks.state
        self._out = desks.out
        self._hearing = desks.hearing
        self._saying = desks.saying
        self._doing = desks.doing
        self._decided_ms = -1
        """Beginning of the last pause that was decided about."""
        self._said_ms: int | None = None
        self._count = 0
        self._saying_now: UtteranceId | None = None
        """What is on its way to the ear."""
        self._has_begun = False
        """Some of it has been heard."""

    @property
    def audible(self) -> bool:
        """Whether one is being played, or about to be: where the line has an echo, that is no voice of the caller's."""
        return self._saying_now is not None

    def caller_goes_on(self) -> None:
        """The pause is over: what has not begun to sound in it would fall into their words."""
        if self._saying_now is not None and not self._has_begun and not self._saying.speech.busy:
            self._out.emit(StopPlayout())

    def played(self, event: ev.PlayoutStarted | ev.PlayoutReached | ev.PlayoutStopped) -> None:
        """Something is heard, or is over."""
        if event.utterance != self._saying_now:
            return
        self._has_begun = True
        if not isinstance(event, ev.PlayoutStarted):
            self.line_lost()

    def line_lost(self) -> None:
        """Nobody tells any more how it went on."""
        self._saying_now = None

    def deadline_ms(self) -> int | None:
        """When to decide about the pause that the caller makes; None where there is nothing to decide."""
        paused_ms = self._pause()
        return None if paused_ms is None else paused_ms + _INTO_PAUSE_MS

    def decide(self) -> None:
        """The pause has lasted long enough: say something, unless the turn is about to be over."""
        paused_ms, over_ms = self._pause(), self._hearing.deadline_ms
        if paused_ms is None:
            return
        self._decided_ms = paused_ms
        now_ms = self._state.now_ms
        if over_ms is None or over_ms - now_ms < _LEFT_MS:
            return
        phrases = self._state.flow.backchannels_of(self._state.phase)
        phrase = phrases[self._count % len(phrases)]
        self._count += 1
        self._said_ms = now_ms
        self._out.emit(NoteDecision("backchannel", "the caller goes on telling", now_ms - paused_ms))
        self._saying_now, self._has_begun = UtteranceId(f"b{self._count}"), False
        self._out.emit(Speak(self._saying_now, 0, phrase, "backchannel", last=True))

    def _pause(self) -> int | None:
        """When the caller has paused within something long; None where they have not, or the agent is to be silent."""
        state = self._state
        if not self._hearing.turn_open or state.closing or state.swapping:
            return None
        if not state.flow.backchannels_of(state.phase) or state.voice_hears or state.only_listens:
            return None
        if self._said_ms is not None and state.now_ms - self._said_ms < _APART_MS:
            return None
        if self._saying.speech.busy or self._saying.reply is not None or self._doing.confirmation is not None:
            return None
        paused_ms = self._hearing.pause_in_a_story(_LONG_MS)
        return None if paused_ms is None or paused_ms <= self._decided_ms else paused_ms
