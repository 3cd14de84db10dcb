"""The model's side of the conversation: replies as they come, what they ask for, and what follows when they fail."""

from __future__ import annotations

from collections.abc import Sequence

from voiceagent.core import events as ev
from voiceagent.core.confirming import Confirming
from voiceagent.core.desks import Desks
from voiceagent.core.effects import CancelReply, ReportProblem
from voiceagent.core.ids import ReplyId
from voiceagent.core.phase_machine import Signal
from voiceagent.core.saying import Reply
from voiceagent.spec.phase import NotUnderstood, VoiceFails

__all__ = ["Replying"]

_MOST_CLAUSES = 200
"""Of one reply: some five minutes, and more than anybody listens to."""
_MOST_UNSPOKEN = 3
"""The first is apologised for, after the second the flow goes another way, and this one ends the call."""


class Replying:
    """Decides what follows from what the model says, asks for, or fails to say."""

    def __init__(self, desks: Desks, *, confirming: Confirming) -> None:
        self._state = desks.state
        self._out = desks.out
        self._saying = desks.saying
        self._doing = desks.doing
        self._hearing = desks.hearing
        self._phasing = desks.phasing
        self._closing = desks.closing
        self._silence = desks.silence
        self._confirming = confirming
        self._voice_failures = 0
        self._unspoken = 0
        """How often something could not be said since a reply was last heard whole."""

    def made(self, event: ev.ReplyText | ev.ToolRequested | ev.ReplyFinished | ev.ReplyFailed) -> None:
        """A reply goes on."""
        reply = self._saying.current(event.reply)
        if reply is None or reply.finished:
            return  # cut off, by the caller, a transition or its length: nothing of it counts any more
        reply.heard_from_ms = self._state.now_ms
        match event:
            case ev.ReplyText(text=text):
                if not self._comes_between(reply):
                    self._saying.add_text(reply, text)
                reply.clauses += 1
                if reply.clauses == _MOST_CLAUSES:
                    self._cut_off(reply)
            case ev.ToolRequested():
                reply.requests += 1
                # A speech model goes on while the caller cuts in: what they say may be that they do not want it.
                if reply.held or (reply.in_audio and self._hearing.turn_open):
                    reply.held_requests.append(event)
                else:
                    self.request(event)
            case ev.ReplyFinished():
                self._reply_finished(reply, event)
            case ev.ReplyFailed(reason=reason):
                self._reply_failed(reply, reason)

    def _comes_between(self, reply: Reply) -> bool:
        """Whether words of a reply would come between a question that waits for a yes, and the yes.

        It answers what was heard last, and that might be any question. What is being played already comes before.
        """
        return self._doing.confirmation is not None and not (reply.in_audio and reply.spoken is not None)

    def _cut_off(self, reply: Reply) -> None:
        """The model does not come to an end: what it has said is heard, and the caller has the floor again."""
        self._out.emit(ReportProblem("reply cut off", f"{reply.clauses} clauses"))
        self._voice_failures = 0
        self._saying.finish(reply)
        self._out.emit(CancelReply(reply.id))

    def _reply_finished(self, reply: Reply, event: ev.ReplyFinished) -> None:
        if reply.is_empty and not (reply.in_audio and self._hearing.turn_open):
            self._reply_failed(reply, "the reply was empty")
            return
        self._voice_failures = 0
        self._saying.finish(reply)
        self._hearing.reply_asks(event.asks)
        if event.understood:
            self._silence.understood()
        elif self._silence.not_understood(self._state.wording.no_match.phrases) is None:
            # The reply has said so, again and again: it is time for another way.
            self._phasing.signal(Signal(NotUnderstood))

    def request(self, event: ev.ToolRequested) -> None:
        """The model asks for a tool or a move."""
        call = self._doing.request(event)
        if call is not None:
            self._confirming.ask(call)
        if self._doing.model_is_broken:
            self._doing.bad_requests = 0
            self._saying.drop_reply()
            self._give_up_voice("the model's requests do not fit")

    def _reply_failed(self, reply: Reply, reason: str) -> None:
        self._saying.finish(reply)
        self._saying.drop_reply()
        self._voice_failed(reason)

    def _voice_failed(self, reason: str) -> None:
        """Try once more; then go where the flow says, or end the call: never silence."""
        self._out.emit(ReportProblem("voice failed", reason))
        if self._state.closing:
            return  # nobody is left to hear an apology
        self._voice_failures += 1
        if self._voice_failures == 1:
            self._saying.say(self._state.phrases.apology)
            self._saying.owed = True
        else:
            self._give_up_voice(reason)

    def _give_up_voice(self, reason: str) -> None:
        self._voice_failures = 0
        if not self._phasing.signal(Signal(VoiceFails)):
            self._closing.politely(f"voice failed: {reason}", self._state.phrases.not_available)

    # --- what cannot be said ---

    def unspeakable(self, failed: ev.SpeechFailed) -> None:
        """No engine could say a clause: what is left of its utterance is not wanted any more.

        Apology and goodbye are kept as audio, so they can be said all the same.
        """
        self._out.emit(ReportProblem("speech failed", failed.reason))
        spoken = self._saying.speech.failed(failed.utterance, failed.clause, failed.said_ms)
        if spoken is None or spoken.kind == "filler":
            return
        reply = self._saying.reply
        if reply is not None and reply.spoken is spoken:
            self._saying.drop_reply()
        confirmation = self._doing.confirmation
        if confirmation is not None and confirmation.read_back == spoken.id:
            self._doing.confirmed(yes=False, reason="the read-back could not be said")
        self._unspoken += 1
        self._say_otherwise()

    def _say_otherwise(self) -> None:
        """Apologise and try once more; then go where the flow says, or end the call in words that are kept."""
        phase, phrases = self._state.phase, self._state.phrases
        if self._state.closing:
            self._closing.at_once("speech failed")
        elif self._unspoken == 1:
            self._saying.say(phrases.apology)
            self._saying.owed = self._saying.owed or (phase.has_model and not phase.ends)
        elif phase.ends:
            pass  # it lets the caller go, or hands them over, as soon as nothing is being said
        elif self._unspoken == _MOST_UNSPOKEN or not self._phasing.signal(Signal(VoiceFails)):
            self._closing.politely("speech failed", phrases.not_available)

    def heard_whole(self) -> None:
        """The caller has heard a reply to its end: there is a voice."""
        self._unspoken = 0

    # --- voices ---

    def swap_failed(self, reason: str) -> None:
        """The voice has not taken over a phase: go back to the one it still has; without one the call cannot go on."""
        self._out.emit(ReportProblem("swap failed", reason))
        if self._state.closing:
            self._state.swapping = False
        elif self._phasing.lead_back():
            if self._state.answered_by != "nobody knows":  # they have been told nothing, so nothing has gone wrong
                self._saying.speech.excused()
                self._saying.say(self._state.phrases.apology)
        else:
            self._closing.politely(f"swap failed: {reason}", self._state.phrases.not_available)

    def voice_changed(self, event: ev.VoiceChanged) -> None:
        """Another voice has taken over: what the old one had begun to say, or should have begun, the new one says."""
        self._out.emit(ReportProblem("voice changed", event.reason))
        self._state.voice_speaks = event.speaks
        self._state.voice_takes_turns = event.replies_unasked
        self.session_lost()

    def session_lost(self) -> None:
        """What a model was saying, or was about to begin, it will not: it has to be asked for."""
        saying = self._saying
        cut_short = saying.reply is not None and not saying.reply.finished
        awaited = saying.awaited_until_ms is not None
        saying.awaited_until_ms = None
        if cut_short:
            saying.drop_reply()
        if (cut_short or awaited) and not self._state.closing:
            saying.owed = True

    def session_began(self, lost: Sequence[ReplyId]) -> None:
        """Another session goes on: what it was not told has to be asked for."""
        saying = self._saying
        cut_short = saying.reply is not None and not saying.reply.finished and saying.reply.id in lost
        if cut_short:
            saying.drop_reply()
        awaited, saying.awaited_until_ms = saying.awaited_until_ms is not None, None
        if (cut_short or awaited) and not self._state.closing:
            saying.owed = True

    def ask_model(self) -> None:
        """Have the next reply made."""
        self._saying.ask(self._phasing.model_request())

    def timed_out(self) -> None:
        """The model has sent nothing for too long."""
        reply = self._saying.reply
        if reply is not None:
            self._saying.drop_reply()
            self._voice_failed("the model did not answer in time")

    def deadline_ms(self) -> int | None:
        """When the reply that is being made has failed if nothing more of it comes."""
        reply = self._saying.reply
        if reply is None or reply.finished or reply.held:
            return None
        return reply.heard_from_ms + self._state.flow.limits.model_timeout_ms
