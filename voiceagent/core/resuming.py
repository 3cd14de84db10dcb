"""Resuming: the connection broke or the server died, the caller is there again, and the call goes on where it stood."""

from __future__ import annotations

from voiceagent.core.confirming import Confirming
from voiceagent.core.desks import Desks
from voiceagent.core.effects import HangUp
from voiceagent.core.phase_machine import Signal
from voiceagent.core.unasked import Unasked
from voiceagent.spec.phase import TransferFails

__all__ = ["Resuming"]


class Resuming:
    """Decides what becomes of everything that was under way when the last connection was lost."""

    def __init__(self, desks: Desks, *, confirming: Confirming, unasked: Unasked) -> None:
        self._state = desks.state
        self._out = desks.out
        self._transcript = desks.transcript
        self._saying = desks.saying
        self._doing = desks.doing
        self._hearing = desks.hearing
        self._phasing = desks.phasing
        self._closing = desks.closing
        self._silence = desks.silence
        self._confirming = confirming
        self._unasked = unasked
        self._broken_off = False
        """Something may have to be taken up again."""
        self._last_said: str | None = None
        """What the caller may not have heard, or not have answered yet."""

    def folded(self) -> None:
        """Nothing is under way any more that was: who did it is gone. What was decided stays decided."""
        self._broken_off = True
        self._state.legs.clear()
        self._state.suspended = True
        self._unasked.session_over()
        self._hearing.drop()
        self._silence.broken()
        self._saying.broken_off()
        self._doing.broken_off()
        self._confirming.broken_off()
        self._last_said = self._last_said or self._transcript.last_said  # it may break a second time before it is said
        lost = self._hearing.forget_sealed()
        if lost:
            # Secrets die with their session: the model has to ask for all of them, not only for the last one.
            self._transcript.forget(lost)
            self._saying.owed = self._state.phase.has_model

    def connected(self) -> None:
        """The caller is there again: have the phase in force once more, and say that we know."""
        if not self._state.started:
            return
        if self._state.handed_over is not None:
            self._not_taken(f"nobody has taken the call for {self._state.handed_over}")
            return
        if self._state.closing:
            self._out.emit(HangUp("the call was over", drain=False))
            return
        if self._state.swapping:
            self._last_said = None  # the phase that is being entered begins with words of its own
        self._phasing.put_in_force_again()
        self._doing.fetch_again()
        self._saying.say(self._state.phrases.resumed)

    def _not_taken(self, reason: str) -> None:
        """The caller comes back from somebody who was not there: nothing was broken off that could be taken up."""
        self._broken_off, self._last_said = False, None
        self._closing.transfer_failed(reason)
        self._doing.fetch_again()
        if not self._phasing.advance([Signal(TransferFails)]):
            self._phasing.put_in_force_again()
            self._closing.nobody_took_them(reason)

    def in_force(self) -> None:
        """A phase is in force: take up what was broken off; the caller hears at least where we were."""
        if not self._broken_off:
            return
        self._broken_off = False
        last_said, self._last_said = self._last_said, None
        self._doing.look_up_again()
        if self._confirming.ask_again():
            return
        if self._saying.owed or self._doing.calls.outstanding or self._doing.signals:
            return  # a reply is on its way
        if last_said is not None:
            self._saying.say(last_said)
