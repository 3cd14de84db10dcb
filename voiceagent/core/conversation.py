"""The conversation: events in, effects out, and the next instant at which something is due.

Nothing here waits, sleeps, reads a clock or talks to anything. `handle` changes the state completely before it returns,
and the same events at the same instants give the same effects in every process.
"""

from __future__ import annotations

from typing import assert_never

from voiceagent.core import events as ev
from voiceagent.core.agent_speech import Spoken
from voiceagent.core.ahead import Ahead
from voiceagent.core.answering import Answering
from voiceagent.core.authority import Authority
from voiceagent.core.backchannels import Backchannels
from voiceagent.core.budget import Budget, Usage
from voiceagent.core.confirming import Confirming
from voiceagent.core.deadlines import earliest
from voiceagent.core.desks import Desks
from voiceagent.core.effects import Outgoing, ReportProblem
from voiceagent.core.events import Event
from voiceagent.core.hearing import OVERLAP_MS
from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.core.listening import Listening
from voiceagent.core.phase_machine import Signal
from voiceagent.core.phasing import Weighed
from voiceagent.core.renewal import Renewal
from voiceagent.core.replying import Replying
from voiceagent.core.resuming import Resuming
from voiceagent.core.sealing import Sealing
from voiceagent.core.state import CallState, Inherited
from voiceagent.core.unasked import Unasked
from voiceagent.language import language_for
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import (
    HostSignals,
    Silent,
    TimedOut,
    TransferFails,
)

__all__ = ["Conversation"]

_BEFORE_THE_CALL = (ev.CallStarted, ev.LegAttached, ev.LegLost, ev.CallEnded)


class Conversation:
    """One call. `handle` is told what happened and when, and returns what to do."""

    def __init__(self, flow: Flow, inherited: Inherited) -> None:
        phase = flow.phase(flow.initial)
        self.state = CallState(
            flow,
            inherited,
            language_for(flow.language_of(phase)),
            flow.facts(),
            phase,
            voice_speaks=inherited.voice_speaks,
            voice_takes_turns=inherited.replies_unasked,
        )
        desks = Desks.of(self.state)
        self.transcript = desks.transcript
        self._out = desks.out
        self._saying = desks.saying
        self._doing = desks.doing
        self._hearing = desks.hearing
        self._phasing = desks.phasing
        self._closing = desks.closing
        self._silence = desks.silence
        self._confirming = Confirming(desks)
        self._replying = Replying(desks, confirming=self._confirming)
        self._listening = Listening(desks, replying=self._replying, confirming=self._confirming)
        self._answering = Answering(desks, listening=self._listening)
        self._unasked = Unasked(desks, listening=self._listening, replying=self._replying)
        self._backchannels = Backchannels(desks)
        self._ahead = Ahead(desks, replying=self._replying)
        self._renewal = Renewal(self.state, self._out, phasing=self._phasing)
        self._resuming = Resuming(desks, confirming=self._confirming, unasked=self._unasked)
        self._budget = Budget(flow.limits)
        self._parameters: dict[str, str] = {}

    # --- what the outside may know -----------------------------------------------------------------------------------

    @property
    def agent_is_audible(self) -> bool:
        """Whether something that the agent says is being played to the caller."""
        return bool(self._saying.speech.sounding) or self._backchannels.audible

    @property
    def deadline_ms(self) -> int | None:
        """When to send TimePassed if nothing else happens; None for never."""
        if self.state.ended or self.state.suspended or not self.state.started:
            return None
        return earliest(
            self._hearing.deadline_ms,
            self._backchannels.deadline_ms(),
            self._answering.deadline_ms(),
            None if self._saying.speech.sounding else self._saying.fillers.deadline_ms,
            self._silence.deadline_ms(self.state.wording.no_input),
            self._replying.deadline_ms(),
            self._unasked.deadline_ms(),
            self._renewal.deadline_ms(),
            self._confirming.deadline_ms(),
            self._phasing.deadline_ms(),
            self._phasing.swap_deadline_ms(),
            self._closing.deadline_ms(),
        )

    @property
    def is_working(self) -> bool:
        """Whether something is being said, made, looked up, listened to or decided."""
        return (
            self._working()
            or self._owes
            or self._hearing.turn_open
            or self._saying.speech.busy
            or bool(self._doing.calls.outstanding)
            or self._answering.deadline_ms() is not None
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
    def usage(self) -> Usage:
        """What the call has used so far of what costs money."""
        lasted_ms = self.state.now_ms - self.state.started_ms if self.state.known else 0
        return self._budget.usage(lasted_ms=lasted_ms)

    @property
    def phase(self) -> str:
        """The current phase."""
        return self.state.phase.name

    @property
    def weighed(self) -> tuple[Weighed, ...]:
        """The last decisions about the phase and what they were made of, the newest last."""
        return tuple(self._phasing.weighed)

    def prepare(self, version: str, flow: Flow) -> None:
        """Have a version of the agent at hand, for when AgentChanged names it."""
        self._phasing.versions.prepare(version, flow)

    # --- the one entrance --------------------------------------------------------------------------------------------

    def handle(self, event: Event, now_ms: int) -> tuple[Outgoing, ...]:
        """Return what `event` makes necessary."""
        if self.state.ended:
            return ()
        self.state.now_ms = max(now_ms, self.state.now_ms)
        if not self.state.started and not isinstance(event, _BEFORE_THE_CALL):
            return ()  # nobody is there who could have done it
        self._take(event)
        if not (self.state.ended or self.state.suspended) and self.state.started:
            self._deadlines()
            self._settle()
        outgoing = self._out.take()
        return outgoing + self._kept_within_budget(event, outgoing)

    def _kept_within_budget(self, event: Event, outgoing: tuple[Outgoing, ...]) -> tuple[Outgoing, ...]:
        """Count what this has cost; where the call has had enough, it is ended in words."""
        unasked = isinstance(event, ev.ReplyStarted) and not self._saying.was_asked(event.reply)
        self._budget.count(event, outgoing, turn=self.state.turn, unasked=unasked)
        overrun = self._budget.overrun
        if overrun is not None and not self.state.ended:
            self._closing.limit_reached(overrun)
        return self._out.take()

    def _take(self, event: Event) -> None:  # noqa: C901 - one decision table: a row per event
        match event:
            case ev.CallStarted():
                self._call_started(event)
            case ev.LegAttached(leg):
                self._leg_attached(leg)
            case ev.LegLost():
                self._leg_lost(event)
            case ev.CallResumed():
                self._ahead.drop()
                self._backchannels.line_lost()
                self._resuming.folded()
            case ev.HandedOver(target):
                self._handed_over(target)
            case ev.TransferFailed(_, reason):
                self._transfer_failed(reason)
            case ev.CallEnded():
                self._call_ended()
            case ev.CallerStartedSpeaking() | ev.CallerPaused() | ev.TranscriptPartial() | ev.TranscriptFinal():
                if isinstance(event, ev.CallerStartedSpeaking):
                    self._backchannels.caller_goes_on()
                self._listening.heard(event)
                self._answering.heard(event)
            case ev.ToneHeard():
                self._answering.tone(event)
            case ev.CarrierDetected():
                self._answering.carrier(event)
            case ev.TranscriptFailed(utterance, reason):
                self._out.emit(ReportProblem("transcript failed", reason))
                self._hearing.transcribed(utterance, "")
                self._listening.not_transcribed(utterance)
            case ev.TurnJudged(utterance, done):
                self._hearing.judged(utterance, done)
            case ev.VoiceFoundFaint(utterance, below_db):
                self._hearing.found_faint(utterance, below_db)
            case ev.DigitsPressed(digits, handle):
                if not self._answering.pressed():
                    self._listening.pressed(digits, handle)
            case ev.ReplyStarted(reply):
                if not self._ahead.makes(reply):
                    self._unasked.begun(event)
            case ev.ReplyInterrupted():
                self._unasked.interrupted(event)
            case ev.ReplyText() | ev.ToolRequested() | ev.ReplyFinished() | ev.ReplyFailed():
                if not (self._ahead.keeps(event) or self._unasked.keeps(event)):
                    self._replying.made(event)
            case ev.VoiceChanged():
                self._unasked.session_over()
                self._replying.voice_changed(event)
            case ev.VoiceExpiring(left_ms, reason):
                self._out.emit(ReportProblem("session ends", reason))
                self._renewal.wanted(left_ms)
                if left_ms == 0:
                    self._unasked.session_over()
                    self._replying.session_lost()
            case ev.SessionBegan(told, lost):
                self.transcript.untold(told)
                self._hearing.heard_by_nobody()
                self._unasked.session_over()
                self._replying.session_began(lost)
            case ev.StandbyClosed():
                pass  # for the record
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
                    self._resuming.in_force()
                    self._doing.start_held()
                    self._phasing.try_deferred()
                    self._listening.try_keys()
            case ev.SwapFailed(epoch, reason):
                if epoch == self.state.epoch and self.state.swapping:
                    self._replying.swap_failed(reason)
            case ev.HostEvent(name):
                self._phasing.signal(Signal(HostSignals, name))
            case ev.AgentChanged():
                self._phasing.versions.changed(event)
            case ev.ServerStops():
                self._closing.server_stops()
            case ev.LimitReached(limit):
                self._closing.told_of_limit(limit)
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
        self.state.outbound = event.outbound
        self._parameters = dict(event.parameters or {})
        self._begin_if_ready()

    def _leg_attached(self, leg: LegId) -> None:
        self.state.legs[leg] = None
        if self.state.suspended:
            self.state.suspended = False
            self._resuming.connected()
            self._answering.connected_again()
        self._begin_if_ready()

    def _begin_if_ready(self) -> None:
        """The first phase wants somebody to speak to, and to know what day it is."""
        if self.state.known and self.state.legs and not self.state.started:
            self.state.started = True
            self._answering.begins(self._parameters)
            self._phasing.enter()

    def _leg_lost(self, event: ev.LegLost) -> None:
        if event.leg not in self.state.legs:
            return
        del self.state.legs[event.leg]
        self._backchannels.line_lost()
        if self.state.legs:
            return
        if event.may_return and not self.state.closing:
            self.state.suspended = True
        else:
            self._closing.caller_left(event.reason)

    def _handed_over(self, target: str) -> None:
        if not self._closing.handing_over:
            return
        self.state.legs.clear()
        self.state.handed_over = target
        self.state.suspended = True

    def _transfer_failed(self, reason: str) -> None:
        if not self._closing.transfer_failed(reason):
            return
        if not self.state.legs:
            self._closing.at_once(reason)
        elif not self._phasing.signal(Signal(TransferFails)):
            self._closing.nobody_took_them(reason)

    def _call_ended(self) -> None:
        self._ahead.drop()
        self._saying.drop_reply()
        self._doing.close()
        self._phasing.close()
        self.state.ended = True

    # --- what the caller hears ---------------------------------------------------------------------------------------

    def _synthesis(self, event: ev.SpeechQueued | ev.SpeechFailed) -> None:
        match event:
            case ev.SpeechQueued(utterance, clause, duration_ms, word_ends_ms):
                self._saying.speech.queued(utterance, clause, duration_ms, word_ends_ms)
            case ev.SpeechFailed():
                self._replying.unspeakable(event)

    def _playout(self, event: ev.PlayoutStarted | ev.PlayoutReached | ev.PlayoutStopped) -> None:
        saying = self._saying
        self._backchannels.played(event)
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
                    self._listening.give_way()
            case ev.PlayoutStopped(utterance, heard_ms):
                stopped = saying.stopped(utterance, heard_ms)
                if stopped is not None:
                    self._cut_off(stopped)
        if not saying.speech.busy:
            self._hearing.agent_is_silent()

    def _heard(self, spoken: Spoken) -> None:
        """An utterance was heard to its end."""
        if spoken.kind == "filler":
            self._saying.fillers.quiet_again(self.state.now_ms)
        else:
            self._hearing.agent_finished(began_ms=spoken.started_ms)
        self._silence.sound(self.state.now_ms)
        if not spoken.broken:
            self._confirming.heard(spoken)
            if spoken.kind == "reply":
                self._replying.heard_whole()
        self._saying.speech.forget_finished()

    def _cut_off(self, spoken: Spoken) -> None:
        """An utterance was stopped: by the caller, who may have heard all of it that mattered."""
        if spoken.whole and not spoken.unbegun and spoken.left_ms <= OVERLAP_MS:
            self._heard(spoken)
        else:
            self._confirming.cut_off(spoken)

    # --- time --------------------------------------------------------------------------------------------------------

    def _deadlines(self) -> None:
        """Do what is due by now, in the order in which it matters."""
        now_ms = self.state.now_ms
        due = _due(self.deadline_ms, now_ms)
        if due:
            self._hearing.voice_overdue()
            self._hearing.listen_if_due()
            if self._hearing.barge_in_due():
                self._listening.barge_in("voice")
            if self._hearing.turn_due():
                self._listening.turn_over()
            if _due(self._backchannels.deadline_ms(), now_ms):
                self._backchannels.decide()
        if self._hearing.keys_due():  # by their number too, not only by the time
            self._listening.keys_complete()
        if due:
            self._other_deadlines(now_ms)

    def _other_deadlines(self, now_ms: int) -> None:
        if _due(self._confirming.deadline_ms(), now_ms):
            self._confirming.expired()
        if _due(self._replying.deadline_ms(), now_ms):
            self._replying.timed_out()
        if _due(self._unasked.deadline_ms(), now_ms):
            self._unasked.due()
        if _due(self._phasing.swap_deadline_ms(), now_ms):
            self._replying.swap_failed("the voice did not answer in time")
        if _due(self._phasing.deadline_ms(), now_ms):
            self._phasing.timed_out = True
            self._phasing.signal(Signal(TimedOut))
        if _due(self._closing.deadline_ms(), now_ms):
            self._call_over_time()
        if _due(self._silence.deadline_ms(self.state.wording.no_input), now_ms):
            self._caller_silent()

    def _caller_silent(self) -> None:
        phrase = self._silence.step(self.state.wording.no_input.phrases)
        if phrase is not None:
            self._saying.say(phrase)
            self._confirming.ask_again()  # a yes answers what was heard last
        elif not self._phasing.signal(Signal(Silent)):
            self._closing.politely("caller silent", self.state.phrases.goodbye_silent)

    def _call_over_time(self) -> None:
        if self._closing.saying_goodbye:
            self._closing.at_once("the last words were not heard in time")
        else:
            self._closing.limit_reached("time limit of the call")

    # --- after every event -------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        """Draw the consequences: transitions that finished tools ask for, replies owed, fillers, silence, the end."""
        self._unasked.settle()
        self._answering.settle()
        self._settle_tools()
        self._settle_reply()
        self._ahead.settle()
        self._settle_waiting()
        self._settle_silence()
        saying, hearing = self._saying, self._hearing
        at_work = saying.owed or saying.reply is not None or bool(self._doing.calls.outstanding) or hearing.turn_open
        self._renewal.settle(quiet=not at_work and saying.awaited_until_ms is None)
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
            self._saying.result_untold = self._saying.result_untold or reply.requests > 0 or bool(signals)
            self._saying.reply = None
        elif signals:
            self._saying.result_untold = True
        self._saying.owed = self._saying.owed or self._saying.result_untold
        if signals and not self.state.closing:
            if self._phasing.advance(signals):
                return
            self._hearing.answers_used()
        self._doing.answer_moves(taken=False)

    def _settle_reply(self) -> None:
        if self.state.closing or self.state.swapping or not self._owes or self._hearing.turn_open:
            return
        if self._saying.reply is not None:
            return
        if self._ahead.take():
            self._settle_tools()  # what it asks for was asked for before this
            self._settle_reply()
        else:
            self._replying.ask_model()

    def _settle_waiting(self) -> None:
        saying = self._saying
        speaking = [spoken for spoken in saying.speech.sounding if spoken.kind != "filler"]
        quiet = self.state.only_listens
        if not self._working() or speaking or self._hearing.taking_their_turn or self.state.closing or quiet:
            saying.fillers.stop()
            return
        filler = self.state.flow.filler_of(self.state.phase)
        expected: list[int] = []
        for call in self._doing.calls.outstanding:
            filler = self.state.flow.filler_of(self.state.phase, call.tool)
            latency_ms = self.state.inherited.tool_latency_ms.get(call.tool.name)
            if latency_ms is not None:
                expected.append(call.started_ms + latency_ms)
        saying.fillers.wait(
            self.state.now_ms,
            filler,
            expected_at_ms=max(expected, default=None),
            heard_by_ms=self._silence.last_sound_ms + self.state.flow.limits.filler_by_ms,
        )
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
        awaited = self._saying.awaited_until_ms is not None
        return thinking or awaited or bool(self._doing.calls.outstanding) or self.state.swapping

    @property
    def _owes(self) -> bool:
        """Whether a reply is about to be asked for; not before the caller has answered what was read back to them."""
        return self._saying.owed and self._doing.confirmation is None

    def _settle_silence(self) -> None:
        idle = not (
            self.state.swapping
            or self.state.closing
            or self.state.only_listens
            or self.state.phase.ends
            or self._working()
            or self._owes
            or self._hearing.turn_open
            or self._saying.speech.busy
        )
        if idle:
            self._silence.quiet(self.state.now_ms)
        else:
            self._silence.broken()


def _due(deadline_ms: int | None, now_ms: int) -> bool:
    return deadline_ms is not None and now_ms >= deadline_ms
