"""The conversation: events in, effects out, and the next instant at which something is due.

Nothing here waits, sleeps, reads a clock or talks to anything. `handle` changes the state completely before it returns,
and the same events at the same instants give the same effects in every process.
"""

from __future__ import annotations

from typing import assert_never

from voiceagent.core import events as ev
from voiceagent.core.agent_speech import Spoken
from voiceagent.core.authority import Authority
from voiceagent.core.closing import Closing
from voiceagent.core.confirmations import Confirmation, pressed_answer
from voiceagent.core.doing import Doing
from voiceagent.core.effects import Outgoing, ReportProblem
from voiceagent.core.events import Event
from voiceagent.core.hearing import OVERLAP_MS, Hearing, TurnTaken
from voiceagent.core.ids import LegId, TurnId, UtteranceId
from voiceagent.core.phase_machine import Signal
from voiceagent.core.phasing import Phasing
from voiceagent.core.saying import Reply, Saying
from voiceagent.core.sealing import Sealing
from voiceagent.core.silence import SilenceLadder
from voiceagent.core.state import CallState, Inherited, Outbox
from voiceagent.core.tool_calls import ToolCall
from voiceagent.core.transcript import Transcript
from voiceagent.errors import PhaseError
from voiceagent.language import language_for
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import (
    HostSignals,
    NotUnderstood,
    Pressed,
    Silent,
    TimedOut,
    TurnLimitReached,
    VoiceFails,
)

__all__ = ["Conversation"]

_MOST_SPEECH_FAILURES = 3
_BEFORE_THE_CALL = (ev.CallStarted, ev.LegAttached, ev.LegLost, ev.CallEnded)


class Conversation:
    """One call. `handle` is told what happened and when, and returns what to do."""

    def __init__(self, flow: Flow, inherited: Inherited) -> None:
        phase = flow.phase(flow.initial)
        self.state = CallState(flow, inherited, language_for(flow.locale), flow.facts(), phase)
        self.transcript = Transcript()
        self._out = Outbox(self.state)
        self._saying = Saying(self.state, self._out, self.transcript)
        self._doing = Doing(self.state, self._out, self.transcript)
        self._hearing = Hearing(self.state, self._out)
        self._phasing = Phasing(
            self.state, self._out, self.transcript, saying=self._saying, doing=self._doing, hearing=self._hearing
        )
        self._closing = Closing(self.state, self._out)
        self._silence = SilenceLadder()
        self._voice_failures = 0
        self._speech_failures = 0

    # --- what the outside may know -----------------------------------------------------------------------------------

    @property
    def deadline_ms(self) -> int | None:
        """When to send TimePassed if nothing else happens; None for never."""
        if self.state.ended or not self.state.started:
            return None
        due = (
            self._hearing.deadline_ms,
            None if self._saying.speech.sounding else self._saying.fillers.deadline_ms,
            self._silence.deadline_ms(self.state.phase.no_input.after_ms),
            self._model_deadline_ms(),
            self._confirmation_deadline_ms(),
            self._phasing.deadline_ms(),
            self._phasing.swap_deadline_ms(),
            self._closing.deadline_ms(),
        )
        return min((at for at in due if at is not None), default=None)

    @property
    def is_working(self) -> bool:
        """Whether something is being said, made, looked up, listened to or decided."""
        return (
            self._working()
            or self._saying.owed
            or self._hearing.turn_open
            or self._saying.speech.busy
            or bool(self._doing.calls.outstanding)
            or (self.state.closing and not self.state.ended)
        )

    @property
    def authority(self) -> Authority:
        """What holds now: read again at the moment a tool is executed."""
        return self.state.authority

    def sealing_of(self, utterance: UtteranceId | None = None) -> Sealing | None:
        """Return where the digits of an utterance, or pressed keys, go; None where nothing is secret."""
        return self._hearing.sealing_of(utterance)

    @property
    def phase(self) -> str:
        """The current phase."""
        return self.state.phase.name

    # --- the one entrance --------------------------------------------------------------------------------------------

    def handle(self, event: Event, now_ms: int) -> tuple[Outgoing, ...]:
        """Return what `event` makes necessary."""
        if self.state.ended:
            return ()
        self.state.now_ms = max(now_ms, self.state.now_ms)
        if not self.state.started and not isinstance(event, _BEFORE_THE_CALL):
            return ()  # nobody is there who could have done it
        self._take(event)
        if not self.state.ended and self.state.started:
            self._deadlines()
            self._settle()
        return self._out.take()

    def _take(self, event: Event) -> None:  # noqa: C901 - one decision table: a row per event
        match event:
            case ev.CallStarted():
                self._call_started(event)
            case ev.LegAttached(leg):
                self._leg_attached(leg)
            case ev.LegLost(leg, reason):
                self._leg_lost(leg, reason)
            case ev.CallResumed():
                if not self.state.closing:
                    self._saying.say(self.state.flow.phrases.resumed)
            case ev.CallEnded():
                self._call_ended()
            case ev.CallerStartedSpeaking() | ev.CallerPaused() | ev.TranscriptPartial() | ev.TranscriptFinal():
                self._caller(event)
            case ev.TranscriptFailed(utterance, reason):
                self._out.emit(ReportProblem("transcript failed", reason))
                self._hearing.transcribed(utterance, "")
            case ev.DigitsPressed(digits, handle):
                self._pressed(digits, handle)
            case ev.ReplyStarted() | ev.ReplyText() | ev.ToolRequested() | ev.ReplyFinished() | ev.ReplyFailed():
                self._model(event)
            case ev.ToolFinished(call, result):
                self._doing.finished(call, result)
            case ev.ToolFailed():
                self._doing.failed(event)
            case ev.PrefetchFinished(fetch, result):
                self._doing.fetched(fetch, result)
            case ev.PrefetchFailed(fetch, reason):
                self._doing.fetch_failed(fetch, reason)
            case ev.SpeechQueued() | ev.SpeechFailed():
                self._synthesis(event)
            case ev.PlayoutStarted() | ev.PlayoutReached() | ev.PlayoutStopped():
                self._playout(event)
            case ev.PhaseSwapped(epoch):
                if self._phasing.swapped(epoch):
                    self._closing.phase_entered()
                    self._phasing.try_deferred()
            case ev.SwapFailed(epoch, reason):
                if epoch == self.state.epoch and self.state.swapping:
                    self._swap_failed(reason)
            case ev.HostEvent(name):
                self._phasing.signal(Signal(HostSignals, name))
            case ev.TimePassed():
                pass  # what is due is looked at after every event
            case _:
                assert_never(event)

    # --- the call and its legs ---------------------------------------------------------------------------------------

    def _call_started(self, event: ev.CallStarted) -> None:
        if self.state.known:
            return
        self.state.known = True
        self.state.started_ms = self.state.now_ms
        self.state.unix_anchor_ms = event.unix_ms
        self.state.time_zone = event.time_zone
        self._begin_if_ready()

    def _leg_attached(self, leg: LegId) -> None:
        self.state.legs[leg] = None
        self._begin_if_ready()

    def _begin_if_ready(self) -> None:
        """The first phase wants somebody to speak to, and to know what day it is."""
        if self.state.known and self.state.legs and not self.state.started:
            self.state.started = True
            self._phasing.enter()

    def _leg_lost(self, leg: LegId, reason: str) -> None:
        if leg not in self.state.legs:
            return
        del self.state.legs[leg]
        if not self.state.legs:
            self._let_go(reason)

    def _let_go(self, reason: str) -> None:
        """Nobody can hear us any more: end the call at once, and begin nothing more."""
        self._saying.drop_reply()
        self._hearing.drop()
        self._doing.confirmed(yes=False, reason="the caller is gone")
        self._doing.prefetch.close()
        self._closing.at_once(reason)

    def _call_ended(self) -> None:
        self._saying.drop_reply()
        self._doing.close()
        self._phasing.close()
        self.state.ended = True

    def _close(self, reason: str, phrase: str) -> None:
        """End the call politely: a last sentence, heard to its end."""
        if self.state.closing:
            return
        self._saying.drop_reply()
        self._hearing.drop()
        self._saying.say(phrase, interruptible=False)
        self._closing.begin(reason)

    # --- the caller --------------------------------------------------------------------------------------------------

    def _caller(
        self, event: ev.CallerStartedSpeaking | ev.CallerPaused | ev.TranscriptPartial | ev.TranscriptFinal
    ) -> None:
        if self.state.closing:
            return
        self._silence.broken()
        match event:
            case ev.CallerStartedSpeaking(utterance, at_ms):
                self._hearing.started(utterance, at_ms, over_speech=bool(self._saying.speech.sounding))
                self._saying.fillers.stop()
            case ev.CallerPaused(utterance, at_ms):
                self._hearing.paused(utterance, at_ms)
            case ev.TranscriptPartial(utterance, text):
                if self._hearing.is_speaking(utterance) and self._hearing.has_words(text):
                    self._barge_in()
            case ev.TranscriptFinal(utterance, text):
                known = self._hearing.transcribed(utterance, text)
                if known and self._hearing.has_words(text):
                    self._barge_in()
                elif not known and text:
                    self._out.emit(ReportProblem("late transcript", utterance))
                    self.transcript.caller(text, self.state.epoch)

    def _barge_in(self) -> None:
        """The caller has taken the floor: whatever of the agent's may be interrupted stops."""
        self._hearing.barge_in_decided()
        playing = self._saying.speech.unfinished
        if playing and all(spoken.interruptible for spoken in playing):
            self._saying.stop()

    def _turn_over(self) -> None:
        turn = self._hearing.take_turn()
        if not turn.text or (turn.over_speech and self.state.language.is_backchannel(turn.text)):
            self._nothing_said(turn)
            return
        self._turn_taken()
        if self._answers_confirmation(turn):
            return
        self.transcript.caller(turn.text, self.state.epoch)
        self._answer_or_ask_again()

    def _turn_taken(self) -> None:
        """The caller has had their turn: what they cut off is not said again."""
        self.state.turn = TurnId(self.state.turn + 1)
        self.state.phase_turns += 1
        self._silence.answered()
        self._saying.forget_cut_off()

    def _nothing_said(self, turn: TurnTaken) -> None:
        """It was a cough, a noise, an "uh-huh": go on as if nothing had been, unless they did try to say something."""
        for request in self._saying.resume():
            self._request(request)
        if not (turn.over_speech or turn.was_noise or self._saying.speech.busy):
            self._not_understood()

    def _not_understood(self) -> None:
        if self.state.phase.ends:
            return  # the last words are being said: there is nothing to ask any more
        phrases = self.state.phase.no_match.phrases
        phrase = self._silence.not_understood(phrases)
        if phrase is not None:
            self._saying.say(phrase)
        elif not self._phasing.signal(Signal(NotUnderstood)):
            self._close("not understood", self.state.flow.phrases.not_available)

    def _count_turns(self) -> None:
        limit = self.state.phase.max_turns
        if self.state.turn >= self.state.flow.limits.max_turns:
            self._close("turn limit of the call", self.state.flow.phrases.too_long)
        elif limit is not None and self.state.phase_turns > limit:
            self._phasing.signal(Signal(TurnLimitReached))

    def _pressed(self, digits: str, handle: str | None) -> None:
        if self.state.closing:
            return
        self._silence.broken()
        self._saying.fillers.stop()
        self._barge_in()
        confirmation = self._doing.confirmation
        if confirmation is not None and confirmation.heard and pressed_answer(digits) is not None:
            self._turn_taken()
            self._doing.confirmed(yes=pressed_answer(digits) is True, reason="the caller pressed no")
            return
        keys = self._hearing.pressed(digits, handle)
        # A wrong key before the right one does no harm: the end of what was pressed counts too.
        if any(self._phasing.signal(Signal(Pressed, keys[start:])) for start in range(len(keys))):
            self._hearing.forget_keys()

    def _keys_complete(self) -> None:
        entry = self._hearing.take_keys()
        if self._phasing.signal(Signal(Pressed, entry)):
            return
        self._turn_taken()
        self.transcript.caller(entry, self.state.epoch)
        self._doing.confirmed(yes=False, reason="the caller pressed keys instead of answering")
        self._answer_or_ask_again()

    def _answer_or_ask_again(self) -> None:
        if not self.state.phase.has_model and not self.state.inherited.replies_unasked:
            self._not_understood()
            return
        self._saying.words_unanswered = True
        self._saying.owed = self._saying.owed or not self.state.inherited.replies_unasked
        self._count_turns()

    # --- the model ---------------------------------------------------------------------------------------------------

    def _model(
        self, event: ev.ReplyStarted | ev.ReplyText | ev.ToolRequested | ev.ReplyFinished | ev.ReplyFailed
    ) -> None:
        reply = self._saying.current(event.reply)
        if isinstance(event, ev.ReplyStarted):
            if reply is None and self.state.inherited.replies_unasked and event.epoch == self.state.epoch:
                self._saying.words_unanswered = False
                self._saying.unasked(event.reply, event.epoch)
            return
        if reply is None:
            return  # cut off by the caller or by a transition: nothing of it counts any more
        reply.heard_from_ms = self.state.now_ms
        match event:
            case ev.ReplyText(text=text):
                self._saying.add_text(reply, text)
            case ev.ToolRequested():
                reply.requests += 1
                if reply.held:
                    reply.held_requests.append(event)
                else:
                    self._request(event)
            case ev.ReplyFinished():
                self._reply_finished(reply, event)
            case ev.ReplyFailed(reason=reason):
                self._reply_failed(reply, reason)

    def _reply_finished(self, reply: Reply, event: ev.ReplyFinished) -> None:
        if reply.is_empty and not self.state.inherited.voice_speaks:
            self._reply_failed(reply, "the reply was empty")
            return
        self._voice_failures = 0
        self._saying.finish(reply)
        self._hearing.reply_asks(event.asks)
        if event.understood:
            self._silence.understood()
        elif self._silence.not_understood(self.state.phase.no_match.phrases) is None:
            # The reply has said so, again and again: it is time for another way.
            self._phasing.signal(Signal(NotUnderstood))

    def _request(self, event: ev.ToolRequested) -> None:
        call = self._doing.request(event)
        if call is not None:
            self._ask_for_confirmation(call)
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
        if self.state.closing:
            return  # nobody is left to hear an apology
        self._voice_failures += 1
        if self._voice_failures == 1:
            self._saying.say(self.state.flow.phrases.apology)
            self._saying.owed = True
        else:
            self._give_up_voice(reason)

    def _give_up_voice(self, reason: str) -> None:
        self._voice_failures = 0
        if not self._phasing.signal(Signal(VoiceFails)):
            self._close(f"voice failed: {reason}", self.state.flow.phrases.not_available)

    def _swap_failed(self, reason: str) -> None:
        """The voice has not taken over a phase: go back to the one it still has; without one the call cannot go on."""
        self._out.emit(ReportProblem("swap failed", reason))
        if self.state.closing:
            self.state.swapping = False
        elif self._phasing.lead_back():
            self._saying.say(self.state.flow.phrases.apology)
        else:
            self._close(f"swap failed: {reason}", self.state.flow.phrases.not_available)

    def _ask_model(self) -> None:
        self._saying.ask(self._phasing.model_request())

    # --- confirmations -----------------------------------------------------------------------------------------------

    def _ask_for_confirmation(self, call: ToolCall) -> None:
        try:
            words = self._doing.read_back(call)
        except PhaseError as exc:
            self._out.emit(ReportProblem("read-back", str(exc)))
            self._doing.decline(call, "the read-back could not be made")
            return
        spoken = self._saying.say(words, "read_back")
        self._doing.confirmation = Confirmation(
            number=self._doing.next_confirmation(),
            call=call.id,
            read_back=spoken.id,
            epoch=self.state.epoch,
            deadline_ms=self.state.now_ms + self.state.flow.limits.confirm_within_ms,
        )

    def _answers_confirmation(self, turn: TurnTaken) -> bool:
        """Take the caller's turn as the answer to a read-back; True where nothing else is to be made of it."""
        confirmation = self._doing.confirmation
        if confirmation is None:
            return False
        answer = self.state.language.yes_no(turn.after_speech)
        if answer is None or not confirmation.heard:
            self._doing.confirmed(yes=False, reason="the caller said something else instead of a clear yes")
            return False
        self.transcript.caller(turn.text, self.state.epoch)
        self._doing.confirmed(yes=answer, reason="the caller said no")
        return True

    def _confirmation_deadline_ms(self) -> int | None:
        if self._doing.confirmation is None or self._hearing.turn_open:
            return None  # whoever is speaking may be saying yes: time is up when they have finished
        return self._doing.confirmation.deadline_ms

    def _confirmation_expired(self) -> None:
        self._saying.say(self.state.flow.phrases.confirm_expired)
        self._doing.confirmed(yes=False, reason="the caller gave no answer in time")

    # --- what the caller hears ---------------------------------------------------------------------------------------

    def _synthesis(self, event: ev.SpeechQueued | ev.SpeechFailed) -> None:
        match event:
            case ev.SpeechQueued(utterance, clause, duration_ms):
                self._speech_failures = 0
                self._saying.speech.queued(utterance, clause, duration_ms)
            case ev.SpeechFailed(utterance, clause, reason):
                self._out.emit(ReportProblem("speech failed", reason))
                self._saying.speech.queued(utterance, clause, 0)
                self._speech_failures += 1
                if self._speech_failures == _MOST_SPEECH_FAILURES:
                    self._let_go("speech failed")

    def _playout(self, event: ev.PlayoutStarted | ev.PlayoutReached | ev.PlayoutStopped) -> None:
        saying = self._saying
        match event:
            case ev.PlayoutStarted(utterance, at_ms):
                spoken = saying.speech.started(utterance, at_ms)
                if spoken and spoken.kind != "filler":
                    saying.fillers.stop()
            case ev.PlayoutReached(utterance, clause, heard_ms, finished):
                over = saying.speech.reached(utterance, clause, heard_ms, finished=finished)
                if not finished:
                    saying.go_on_with_filler(utterance)
                elif over:
                    self._heard(over)
            case ev.PlayoutStopped(utterance, heard_ms):
                stopped = saying.stopped(utterance, heard_ms)
                if stopped is not None:
                    self._cut_off(stopped)

    def _heard(self, spoken: Spoken) -> None:
        """An utterance was heard to its end."""
        if spoken.kind == "filler":
            self._saying.fillers.quiet_again(self.state.now_ms)
        else:
            self._hearing.agent_finished()
        confirmation = self._doing.confirmation
        if confirmation is not None and confirmation.read_back == spoken.id:
            confirmation.heard = True
        self._saying.speech.forget_finished()

    def _cut_off(self, spoken: Spoken) -> None:
        """An utterance was stopped: by the caller, who may have heard all of it that mattered."""
        if spoken.whole and spoken.left_ms <= OVERLAP_MS:
            self._heard(spoken)
            return
        confirmation = self._doing.confirmation
        if confirmation is not None and confirmation.read_back == spoken.id:
            self._doing.confirmed(yes=False, reason="the caller interrupted the read-back")

    # --- time --------------------------------------------------------------------------------------------------------

    def _deadlines(self) -> None:
        """Do what is due by now, in the order in which it matters."""
        now_ms = self.state.now_ms
        self._hearing.voice_overdue()
        if self._hearing.barge_in_due():
            self._barge_in()
        if self._hearing.turn_due():
            self._turn_over()
        if self._hearing.keys_due():
            self._keys_complete()
        if _due(self._confirmation_deadline_ms(), now_ms):
            self._confirmation_expired()
        if _due(self._model_deadline_ms(), now_ms):
            self._model_timed_out()
        if _due(self._phasing.swap_deadline_ms(), now_ms):
            self._swap_failed("the voice did not answer in time")
        if _due(self._phasing.deadline_ms(), now_ms):
            self._phasing.timed_out = True
            self._phasing.signal(Signal(TimedOut))
        if _due(self._closing.deadline_ms(), now_ms):
            self._call_over_time()
        if _due(self._silence.deadline_ms(self.state.phase.no_input.after_ms), now_ms):
            self._caller_silent()

    def _caller_silent(self) -> None:
        phrase = self._silence.step(self.state.phase.no_input.phrases)
        if phrase is not None:
            self._saying.say(phrase)
        elif not self._phasing.signal(Signal(Silent)):
            self._close("caller silent", self.state.flow.phrases.goodbye_silent)

    def _model_timed_out(self) -> None:
        reply = self._saying.reply
        if reply is not None:
            self._saying.drop_reply()
            self._voice_failed("the model did not answer in time")

    def _call_over_time(self) -> None:
        if self._closing.saying_goodbye:
            self._let_go("the last words were not heard in time")
        else:
            self._close("time limit of the call", self.state.flow.phrases.too_long)

    def _model_deadline_ms(self) -> int | None:
        reply = self._saying.reply
        if reply is None or reply.finished or reply.held:
            return None
        return reply.heard_from_ms + self.state.flow.limits.model_timeout_ms

    # --- after every event -------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Draw the consequences: transitions that finished tools ask for, replies owed, fillers, silence, the end."""
        self._settle_tools()
        self._settle_reply()
        self._settle_waiting()
        self._settle_silence()
        saying, hearing = self._saying, self._hearing
        at_work = saying.owed or saying.reply is not None or bool(self._doing.calls.outstanding) or hearing.turn_open
        self._closing.settle(silent=not self._saying.speech.busy, idle=not at_work)

    def _settle_tools(self) -> None:
        reply = self._saying.reply
        if self.state.swapping or self._hearing.turn_open:
            return
        if reply is not None and (reply.held or (reply.requests and not reply.finished)):
            return
        if not self._doing.batch_finished(reply.id if reply else None):
            return
        signals, self._doing.signals = self._doing.signals, []
        if reply is not None and reply.finished:
            self._saying.owed = self._saying.owed or reply.requests > 0
            self._saying.reply = None
        elif signals:
            self._saying.owed = True
        if signals and not self.state.closing:
            if self._phasing.advance(signals):
                return
            self._hearing.answers_used()
        self._doing.answer_moves(taken=False)

    def _settle_reply(self) -> None:
        if self.state.closing or self.state.swapping or not self._saying.owed or self._hearing.turn_open:
            return
        if self._saying.reply is None and self._doing.confirmation is None:
            self._ask_model()

    def _settle_waiting(self) -> None:
        saying = self._saying
        speaking = [spoken for spoken in saying.speech.sounding if spoken.kind != "filler"]
        if not self._working() or speaking or self._hearing.turn_open or self.state.closing:
            saying.fillers.stop()
            return
        filler = self.state.flow.filler_of(self.state.phase)
        expected: list[int] = []
        for call in self._doing.calls.outstanding:
            filler = call.tool.filler or filler
            latency_ms = self.state.inherited.tool_latency_ms.get(call.tool.name)
            if latency_ms is not None:
                expected.append(call.started_ms + latency_ms)
        saying.fillers.wait(self.state.now_ms, filler, expected_at_ms=max(expected, default=None))
        if saying.speech.sounding:
            return
        due = saying.fillers.take(self.state.now_ms)
        if due is not None:
            saying.say_filler(due.text)
            if due.tier == "apology":
                self._doing.give_up_waiting("it took too long")

    def _working(self) -> bool:
        """Whether the caller waits for something."""
        reply = self._saying.reply
        thinking = reply is not None and not reply.finished and not reply.held
        return thinking or bool(self._doing.calls.outstanding) or self.state.swapping

    def _settle_silence(self) -> None:
        idle = not (
            self.state.swapping
            or self.state.closing
            or self.state.phase.ends
            or self._working()
            or self._saying.owed
            or self._hearing.turn_open
            or self._saying.speech.busy
        )
        if idle:
            self._silence.quiet(self.state.now_ms)
        else:
            self._silence.broken()


def _due(deadline_ms: int | None, now_ms: int) -> bool:
    return deadline_ms is not None and now_ms >= deadline_ms
