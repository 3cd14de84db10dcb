"""The end of a call: last words, heard to their end, then the line is let go; never the other way round."""

from __future__ import annotations

from voiceagent.core.doing import Doing
from voiceagent.core.effects import HangUp, ReportProblem, Transfer
from voiceagent.core.hearing import Hearing
from voiceagent.core.saying import Saying
from voiceagent.core.state import CallState, Outbox
from voiceagent.errors import PhaseError
from voiceagent.spec.phase import TransferTo
from voiceagent.spec.prompt import render

__all__ = ["Closing"]

_DRAIN_AT_MOST_MS = 30_000
"""After this the call is ended even if the last words have not been reported as heard."""


class Closing:
    """Whether the call is on its way out, why, and since when."""

    def __init__(self, state: CallState, out: Outbox, *, saying: Saying, doing: Doing, hearing: Hearing) -> None:
        self._state = state
        self._out = out
        self._saying = saying
        self._doing = doing
        self._hearing = hearing
        self._since_ms: int | None = None
        """Since when the last words are being said; None before that, and once the line is let go."""
        self._let_go = False
        """The line has been let go: nobody is asked to do it twice."""
        self.handing_over = False
        """The caller is to go to somebody else, and nobody has said yet what came of it."""
        self._reason: str | None = None
        """Set where the framework ends the call; a phase that ends it has its own way."""

    def politely(self, reason: str, phrase: str) -> None:
        """End the call with a last sentence, heard to its end."""
        if self._state.closing:
            return
        self._saying.drop_reply()
        self._hearing.drop()
        self._saying.say(phrase, interruptible=False)
        self._state.closing = True
        self._reason = reason
        self._since_ms = self._state.now_ms

    def limit_reached(self, limit: str) -> None:
        """The call has used up something that it has only so much of: say so, here and to the caller."""
        if not self._state.closing:
            self._out.emit(ReportProblem("limit reached", limit))
            self.politely(limit, self._state.phrases.too_long)

    def told_of_limit(self, limit: str) -> None:
        """The server says that a limit of its own is reached: a call that is saying goodbye already is left to that."""
        if self.saying_goodbye:
            self._out.emit(ReportProblem("limit reached", limit))
        else:
            self.limit_reached(limit)

    def server_stops(self) -> None:
        """The process ends soon: say goodbye, unless that is being done already."""
        if not self.saying_goodbye:
            self.politely("server stops", self._state.phrases.server_stops)

    def phase_entered(self) -> None:
        """If this phase ends the call, its words are the last."""
        if self._state.phase.ends:
            self._since_ms = self._state.now_ms

    def at_once(self, reason: str) -> None:
        """Nobody can hear us any more: end the call now, and begin nothing more."""
        self._saying.drop_reply()
        self._hearing.drop()
        self._doing.confirmed(yes=False, reason="the caller is gone")
        self._doing.prefetch.close()
        self._state.closing = True
        self._since_ms = None
        if not self._let_go:
            self._let_go = True
            self._out.emit(HangUp(reason, drain=False))

    def caller_left(self, reason: str) -> None:
        """The connection is over; a caller who is being handed over leaves it that way."""
        if not self.handing_over:
            self.at_once(reason)

    def transfer_failed(self, reason: str) -> bool:
        """Nobody takes the caller, so the call goes on. False where they were not to be handed over."""
        if not self.handing_over:
            return False
        self._out.emit(ReportProblem("transfer failed", reason))
        self.handing_over = self._let_go = self._state.closing = False
        self._state.handed_over = None
        return True

    def nobody_took_them(self, reason: str) -> None:
        """The flow does not say how a call goes on whose caller nobody takes: in words, to its end."""
        self.politely(f"transfer failed: {reason}", self._state.phrases.not_available)

    def deadline_ms(self) -> int | None:
        """When the last words have had long enough, or the call has lasted too long."""
        if self._since_ms is not None:
            return self._since_ms + _DRAIN_AT_MOST_MS
        if self._state.closing:
            return None
        return self._state.started_ms + self._state.flow.limits.max_call_ms

    @property
    def saying_goodbye(self) -> bool:
        """Whether the last words are being said."""
        return self._since_ms is not None

    def settle(self, *, silent: bool, idle: bool) -> None:
        """Let go of the line if everything was said (`silent`) and nothing is still being made (`idle`)."""
        if self._since_ms is None or not silent or self._state.swapping:
            return
        if self._reason is not None:
            self._since_ms = None
            self._let_go = True
            self._out.emit(HangUp(self._reason, drain=True))
        elif idle:
            self._since_ms = None
            self._let_go = True
            self._state.closing = True
            self._leave()

    def _leave(self) -> None:
        match self._state.phase.ends:
            case TransferTo(target=target, announce=announce, accept=accept):
                self.handing_over = True
                question = (self._filled_in(accept) or "") if accept else None
                self._out.emit(Transfer(target, self._filled_in(announce), question))
            case _:
                self._out.emit(HangUp(f"phase {self._state.phase.name}", drain=True))

    def _filled_in(self, said: str | None) -> str | None:
        state = self._state
        if not said:
            return None
        try:
            return render(said, state.facts.known(), locale=state.flow.locale)
        except PhaseError as exc:
            self._out.emit(ReportProblem("template", f"phase {state.phase.name}: {exc}"))
            return None
