"""Answering: what a call that we have placed makes of who answers it; nobody talks over a machine's greeting."""

from __future__ import annotations

from typing import Literal

from voiceagent.core import events as ev
from voiceagent.core.answerer import Answerer, Verdict, Who, is_beep
from voiceagent.core.deadlines import earliest
from voiceagent.core.desks import Desks
from voiceagent.core.effects import ListenForTones, NoteDecision
from voiceagent.core.listening import Listening
from voiceagent.core.phase_machine import Signal
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import BeepHeard, MachineAnswers, PersonAnswers, Phase, Wait

__all__ = ["Answering"]

_ANSWERED_BY = "answered_by"
"""The parameter of a call whose carrier has found out who answers before it connected us."""
_TONES_MS = 30_000
"""So long after a person has answered a beep may still tell that it was none."""

_NOTED: dict[Who, Literal["a person answers", "a machine answers", "a fax answers"]] = {
    "person": "a person answers",
    "machine": "a machine answers",
    "fax": "a fax answers",
}


def _edge(flow: Flow, phase: Phase, kind: type[BeepHeard | MachineAnswers]) -> BeepHeard | MachineAnswers | None:
    return next((edge.on for edge in flow.transitions_of(phase) if isinstance(edge.on, kind)), None)


class Answering:
    """Decides who has answered, when a phase may begin, and when a machine takes down a message."""

    def __init__(self, desks: Desks, *, listening: Listening) -> None:
        self._state = desks.state
        self._out = desks.out
        self._saying = desks.saying
        self._hearing = desks.hearing
        self._phasing = desks.phasing
        self._closing = desks.closing
        self._listening = listening
        self._answerer: Answerer | None = None
        """None where nobody wants to know."""
        self._answered_ms = 0
        self._ready: str | None = None
        """Why a machine takes down a message from now on; None where it does not, or the flow has been told."""
        self._machine_since_ms = 0
        self._listened = False
        self._hears_tones = False

    def begins(self, parameters: dict[str, str]) -> None:
        """Somebody, or something, has answered; the first phase is about to be entered."""
        state = self._state
        if not state.outbound or _edge(state.flow, state.phase, MachineAnswers) is None:
            return
        state.answered_by = "nobody knows"
        self._answered_ms = state.now_ms
        self._answerer = Answerer(state.language.greeting, state.now_ms)
        if _ANSWERED_BY in parameters:
            self.carrier(ev.CarrierDetected(parameters[_ANSWERED_BY]))

    # --- what is heard ---

    def heard(
        self, event: ev.CallerStartedSpeaking | ev.CallerPaused | ev.TranscriptPartial | ev.TranscriptFinal
    ) -> None:
        """The voice on the other end comes or goes, or words of it."""
        answerer, now_ms = self._answerer, self._state.now_ms
        if answerer is None:
            return
        match event:
            case ev.CallerStartedSpeaking(utterance, at_ms):
                self._follow(answerer.voice_on(utterance, min(at_ms, now_ms)))
            case ev.CallerPaused(_, at_ms):
                answerer.voice_off(min(at_ms, now_ms))
            case ev.TranscriptPartial(utterance, text):
                self._follow(answerer.words(utterance, text, now_ms, final=False))
            case ev.TranscriptFinal(utterance, text):
                self._follow(answerer.words(utterance, text, now_ms, final=True))

    def tone(self, tone: ev.ToneHeard) -> None:
        """A tone has come over the line."""
        if self._answerer is None:
            return
        self._follow(self._answerer.tone(tone))
        if self._state.answered_by == "machine" and is_beep(tone):
            self._ready = f"a tone of {tone.hz} Hz for {tone.lasted_ms} ms"

    def carrier(self, detected: ev.CarrierDetected) -> None:
        """The carrier says who it is."""
        if self._answerer is None:
            return
        verdict, ready = self._answerer.carrier(detected, self._state.now_ms)
        self._follow(verdict)
        if ready and self._state.answered_by == "machine":
            self._ready = f"the carrier says {detected.answered_by}"

    def pressed(self) -> bool:
        """They have pressed keys; True where that says no more than that somebody is there, who was not asked yet."""
        unknown = self._state.answered_by == "nobody knows"
        if self._answerer is not None:
            self._follow(self._answerer.acts("they press keys", self._state.now_ms))
        return unknown

    # --- what follows ---

    def _follow(self, verdict: Verdict | None) -> None:
        if verdict is None or self._state.closing:
            return
        before, waited_ms = self._state.answered_by, self._state.now_ms - self._answered_ms
        self._out.emit(NoteDecision(_NOTED[verdict.who], verdict.reason, waited_ms, verdict.confidence))
        match verdict.who:
            case "person":
                self._state.answered_by = "person"
                self._person(corrected=before == "machine")
            case "machine":
                self._state.answered_by = "machine"
                self._machine_since_ms = self._state.now_ms
                if not self._phasing.signal(Signal(MachineAnswers)) and self._phasing.waits_for_answerer:
                    self._phasing.begin()
            case "fax":
                self._closing.at_once("a fax machine has answered")

    def _person(self, *, corrected: bool) -> None:
        self._ready = None
        if corrected and self._phasing.signal(Signal(PersonAnswers)):
            self._listening.greeted()
        elif self._phasing.waits_for_answerer:
            if not isinstance(self._state.phase.on_enter, Wait):
                self._listening.greeted()  # what the phase begins with answers them
            self._phasing.begin()

    # --- time ---

    def deadline_ms(self) -> int | None:
        """When time decides something."""
        if self._answerer is None or self._state.closing or self._state.swapping:
            return None
        listen_at_ms = None if self._listened else self._answerer.listen_at_ms
        return earliest(self._answerer.deadline_ms(), listen_at_ms, self._silent_at_ms())

    def settle(self) -> None:
        """See what is due, what the phase waits for, and whether tones still say anything."""
        answerer, state = self._answerer, self._state
        if answerer is None:
            return
        if not state.closing and not state.swapping:
            self._leave_it_to_the_phase()
            self._due(answerer)
            self._take_message()
        self._listen_for_tones()

    def _leave_it_to_the_phase(self) -> None:
        """Where the flow has gone on and does not want to know any more, it begins."""
        state = self._state
        if state.answered_by == "nobody knows" and _edge(state.flow, state.phase, MachineAnswers) is None:
            state.answered_by = "person"
            if self._phasing.waits_for_answerer:
                self._phasing.begin()

    def _due(self, answerer: Answerer) -> None:
        now_ms = self._state.now_ms
        listen_at_ms = answerer.listen_at_ms
        if listen_at_ms is not None and now_ms >= listen_at_ms and not self._listened:
            self._listened = True
            self._hearing.listen_now()
        self._follow(answerer.due(now_ms))

    def _silent_at_ms(self) -> int | None:
        """When a machine whose beep nobody hears has been silent for long enough."""
        if self._state.answered_by != "machine" or self._answerer is None or self._state.swapping:
            return None
        waits, silent_ms = _edge(self._state.flow, self._state.phase, BeepHeard), self._answerer.silent_since_ms
        if not isinstance(waits, BeepHeard) or silent_ms is None:
            return None
        return max(silent_ms, self._machine_since_ms) + waits.silence_ms

    def _take_message(self) -> None:
        """Tell the phase that waits for the beep."""
        state = self._state
        if state.answered_by != "machine" or state.swapping or _edge(state.flow, state.phase, BeepHeard) is None:
            return
        silent_at_ms = self._silent_at_ms()
        silent = silent_at_ms is not None and state.now_ms >= silent_at_ms
        reason = self._ready or ("no beep, and silence" if silent else None)
        if reason is None:
            return
        self._ready = None
        self._machine_since_ms = state.now_ms  # where no transition is permitted, another silence has to pass
        self._out.emit(NoteDecision("beep", reason, state.now_ms - self._answered_ms))
        self._phasing.signal(Signal(BeepHeard))

    # --- tones ---

    def connected_again(self) -> None:
        """Who listened is gone, and what they had heard is worth nothing: whoever is connected again is a person."""
        self._hears_tones = False
        if self._answerer is not None and self._state.answered_by == "nobody knows":
            self._follow(self._answerer.acts("the call was broken off", self._state.now_ms))

    def _listen_for_tones(self) -> None:
        state = self._state
        early = state.now_ms - self._answered_ms <= _TONES_MS
        wanted = not state.closing and not state.ended and (state.only_listens or early)
        if wanted != self._hears_tones:
            self._hears_tones = wanted
            self._out.emit(ListenForTones(on=wanted))
