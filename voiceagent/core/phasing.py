"""The desk for phases: which one the call is in, how it leaves one for another, and what its model is shown."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

from voiceagent.core.doing import Doing
from voiceagent.core.effects import ModelRequest, PrimePhase, ReportProblem, SendDigits, SwapPhase
from voiceagent.core.hearing import Hearing
from voiceagent.core.ids import Epoch, TurnId
from voiceagent.core.phase_machine import PhaseMachine, Signal
from voiceagent.core.saying import Saying
from voiceagent.core.state import CallState, Outbox
from voiceagent.core.transcript import Transcript
from voiceagent.core.versions import Versions
from voiceagent.errors import PhaseError
from voiceagent.language import language_for
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import holds
from voiceagent.spec.phase import Ask, Phase, Press, Requested, Say, ToolSucceeds, Transition, Wait
from voiceagent.spec.prompt import render

__all__ = ["Phasing", "Weighed"]

_KEYS = re.compile(r"[0-9*#A-D]{1,32}")
_REMEMBERED = 16
"""Decisions about the phase: more than one turn of the caller's brings about."""


@dataclass(frozen=True, slots=True)
class Weighed:
    """A decision about the phase, with all that it was made of: for whoever asks why a call went where it did."""

    turn: TurnId
    flow: Flow
    phase: Phase
    """As the call stood."""
    signals: tuple[Signal, ...]
    """What tried the transitions out of it."""
    facts: Facts
    """What their guards were held against."""
    taken: Transition | None
    """None: the call has stayed where it was."""


class Phasing:
    """Every change of phase goes through here, and nowhere else."""

    def __init__(
        self,
        state: CallState,
        out: Outbox,
        transcript: Transcript,
        *,
        saying: Saying,
        doing: Doing,
        hearing: Hearing,
    ) -> None:
        self._machine = PhaseMachine(state.flow)
        self.versions = Versions(state, out)
        self._state = state
        self._out = out
        self._transcript = transcript
        self._saying = saying
        self._doing = doing
        self._hearing = hearing
        self._deferred: list[Signal] = []
        """What tried a transition while another one was under way."""
        self.timed_out = False
        """The phase's time-out has been signalled."""
        self.waits_for_answerer = False
        """The phase is in force and begins as soon as it is known who has answered."""
        self._in_force: str | None = None
        """The phase whose prompt and tools the voice has; None before the first."""
        self._not_reached: str | None = None
        """The phase that could not be put in force, while the call is led back from it."""
        self._again = False
        """The phase is being put in force once more: it has begun already."""
        self.weighed: deque[Weighed] = deque(maxlen=_REMEMBERED)
        """The last decisions, the newest last."""

    # --- leaving and entering ---

    def signal(self, signal: Signal) -> bool:
        """Let something try a transition; while one is under way it waits for the next phase. True if it was taken."""
        if self._state.closing:
            return False
        if self._state.swapping:
            self._deferred.append(signal)
            return True
        return self.advance([signal])

    def advance(self, signals: list[Signal]) -> bool:
        """Take the transition that these signals set off, if any: from here on the old phase is over."""
        state = self._state
        transition = self._machine.advance(signals, state.facts)
        self.weighed.append(Weighed(state.turn, state.flow, state.phase, tuple(signals), state.facts, transition))
        if transition is None:
            return False
        self._doing.leave_phase()
        self._saying.leave_phase()
        self._hearing.leave_phase()
        self.enter()
        self._doing.prefetch_on(transition.prefetch)
        if transition.say:
            self._say_template(transition.say)
        return True

    def enter(self) -> None:
        """A phase is decided: ask for its prompt and tools; nothing of it happens before they are in force."""
        state = self._state
        if self.versions.take(self._machine.phase):
            self._go_by(self._machine.phase)
        state.phase = state.flow.by_name[self._machine.phase]
        state.language = self._saying.speech.language = language_for(state.locale)
        state.epoch = Epoch(state.epoch + 1)
        state.swapping = True
        self.waits_for_answerer = False
        state.phase_turns = 0
        state.entered_ms = state.now_ms
        self.timed_out = False
        self._hearing.enter_phase(state.phase)
        self._out.emit(SwapPhase(self.model_request(), state.flow.manner_of(state.phase)))

    def _go_by(self, phase: str) -> None:
        """Another version of the agent holds from here on, in which the call is in this phase."""
        self._machine.close()
        self._machine = PhaseMachine(self._state.flow)
        self._machine.set_phase(phase)
        self._hearing.agent_changed()
        self._doing.agent_changed()

    def put_in_force_again(self) -> None:
        """Another voice goes on where the call stands; a phase that was only being entered is entered now."""
        state = self._state
        self._again = not (state.swapping or self.waits_for_answerer)
        self.waits_for_answerer = False
        state.swapping = True
        state.entered_ms = state.now_ms
        self._out.emit(SwapPhase(self.model_request(), state.flow.manner_of(state.phase)))

    def swapped(self, epoch: Epoch) -> bool:
        """Prompt and tools are in force: begin; False where this is news of another epoch."""
        state = self._state
        if epoch != state.epoch or not state.swapping:
            return False
        state.swapping = False
        self._in_force = state.phase.name
        self._prime()
        if state.closing:
            return False  # nobody is left to begin it with
        state.entered_ms = state.now_ms
        if self._not_reached is not None:
            self._transcript.note(f"[moving on to {self._not_reached} was not possible]", state.epoch)
            self._not_reached = None
            self.waits_for_answerer = state.answered_by == "nobody knows"
            self._saying.owed = state.phase.has_model and not self.waits_for_answerer
            return True
        if not state.phase.has_model:
            self._saying.owed = self._saying.words_unanswered = False
        again, self._again = self._again, False
        if not again and state.answered_by == "nobody knows":
            self.waits_for_answerer = True
        elif not again:
            self.begin()
        return True

    def begin(self) -> None:
        """Do what the phase does first."""
        state = self._state
        self.waits_for_answerer = False
        match state.phase.on_enter:
            case Say(text=text):
                self._say_template(text)
            case Ask():
                self._saying.owed = state.phase.has_model
            case Press(digits=digits):
                self._press(digits)
            case Wait():
                pass

    def _prime(self) -> None:
        """Have what is likely to come next made ready, where the flow says that it is worth its price."""
        state = self._state
        if not state.voice_speaks:
            return
        for edge in state.flow.transitions_of(state.phase):
            if edge.standby and edge.to != state.phase.name:
                phase = state.flow.by_name[edge.to]
                given = edge.on.tool.grants if isinstance(edge.on, ToolSucceeds) else ()
                tools = self._offered(phase, given=given)
                prompt = state.flow.prompt_of(phase).static
                self._out.emit(PrimePhase(phase.name, prompt, tools, state.flow.manner_of(phase)))

    def lead_back(self) -> bool:
        """The phase could not be put in force: return to the one that is; False where that cannot be done either."""
        state = self._state
        if self._in_force is None or self._not_reached is not None:
            state.swapping = False
            return False
        self._not_reached = state.phase.name
        self._hearing.leave_phase()
        if self.versions.lead_back(self._in_force):
            self._go_by(self._in_force)
        self._machine.set_phase(self._in_force)
        self.enter()
        return True

    def swap_deadline_ms(self) -> int | None:
        """When a swap that nobody has confirmed has failed."""
        return self._state.entered_ms + self._state.flow.limits.swap_timeout_ms if self._state.swapping else None

    def try_deferred(self) -> None:
        """What had to wait for the swap tries its transitions now, in order."""
        deferred, self._deferred = self._deferred, []
        for signal in deferred:
            self.signal(signal)

    def deadline_ms(self) -> int | None:
        """When the phase has lasted too long."""
        timeout_ms = self._state.phase.timeout_ms
        if timeout_ms is None or self.timed_out or self._state.swapping or self._state.closing:
            return None
        return self._state.entered_ms + timeout_ms

    def close(self) -> None:
        """The call is over."""
        self._hearing.leave_phase()
        self._machine.close()

    def _say_template(self, text: str) -> None:
        if (words := self._filled_in(text)) is not None:
            self._saying.say(words)

    def _press(self, template: str) -> None:
        digits = self._filled_in(template)
        if digits is None:
            return
        if _KEYS.fullmatch(digits):
            self._out.emit(SendDigits(digits))
        else:
            self._out.emit(ReportProblem("keys", f"phase {self._state.phase.name}: a fact in `press` is no keys"))

    def _filled_in(self, template: str) -> str | None:
        try:
            return render(template, self._state.facts.known(), locale=self._state.locale)
        except PhaseError as exc:
            self._out.emit(ReportProblem("template", f"phase {self._state.phase.name}: {exc}"))
            return None

    # --- what the model is shown ---

    def model_request(self) -> ModelRequest:
        """Return what the model is shown now: this phase, its tools that could run, and the newest words."""
        state = self._state
        prompt = state.flow.prompt_of(state.phase)
        known = state.facts.known()
        try:
            late = prompt.late_facts(known, locale=state.locale)
        except PhaseError as exc:
            self._out.emit(ReportProblem("prompt", str(exc)))
            late = ""
        return ModelRequest(
            phase=state.phase.name,
            epoch=state.epoch,
            prompt=prompt.static,
            late_facts=late,
            tools=self._offered(state.phase),
            history=self._transcript.window(
                state.epoch, state.phase.carry, state.flow.limits.max_history_messages, awaited=state.voice_speaks
            ),
            facts=known,
            unix_ms=state.unix_ms,
        )

    def _offered(self, phase: Phase, *, given: Sequence[str] | None = None) -> tuple[str, ...]:
        """Names of what the model may ask for in the phase: what could not run is not shown either.

        With `given` the phase is yet to come: these grants are held then, and whatever facts its tools need are known.
        """
        state = self._state
        grants = {*state.grants, *(given or ())}
        known = state.facts.known()
        tools = [
            tool.name
            for tool in state.flow.tools_of(phase)
            if set(tool.requires) <= grants and (given is not None or set(tool.binds.values()) <= known.keys())
        ]
        moves = [
            edge.on.name
            for edge in state.flow.transitions_of(phase)
            if isinstance(edge.on, Requested) and holds(edge.when, state.facts)
        ]
        return tuple(dict.fromkeys([*tools, *moves]))
