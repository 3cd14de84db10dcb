"""A caller who follows a script: speaks, waits for the agent, interrupts it, presses keys, hangs up.

No clock and no socket: it is told what happens on the line and asked before every frame what it does, so that the same
agent gets the same caller to the frame.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import assert_never

from voiceagent.errors import Source
from voiceagent.testing.caller_script import (
    BargeInStep,
    CallerScript,
    CallerStep,
    ExpectHangUpStep,
    HangUpStep,
    PressStep,
    SayStep,
    WaitForAgentStep,
    WaitStep,
)
from voiceagent.testing.carrier import CallerAct, PressKey, PutDown, Say
from voiceagent.testing.timeline import (
    AgentSpeechStarted,
    AgentSpeechStopped,
    CallerUtteranceEnded,
    CallerUtteranceStarted,
    ClearReceived,
    Closed,
    DigitSent,
    TimelineEvent,
)

__all__ = ["ScriptedCaller", "StepFailed"]

_KEY_MS = 200
"""From one key to the next, as fast fingers do it."""

_SETTLED_MS = 420
"""After so long it is known whether the agent was speaking: its silence shows only after 400 ms of it."""

_STUBBORN_MS = 1_000
"""An agent that goes on for so long after an interruption was not interrupted: what it says counts as an answer."""


@dataclass(frozen=True, slots=True)
class StepFailed:
    """A step of the script that did not come about, and why."""

    number: int
    """1 is the first step."""
    step: CallerStep
    at_ms: int
    reason: str

    def __str__(self) -> str:
        place: Source | None = self.step.source
        return f"{place}: step {self.number}: {self.reason}" if place else f"step {self.number}: {self.reason}"


class _AgentAsHeard:
    """What the caller keeps in mind about the agent's speech."""

    __slots__ = (
        "_caller_from_ms",
        "_caller_until_ms",
        "_heard_out_ms",
        "_run_from_ms",
        "_run_until_ms",
        "_taken_back",
        "_under_the_caller",
        "turn_from_ms",
    )

    def __init__(self) -> None:
        self._caller_from_ms = 0
        self._caller_until_ms = 0
        self._heard_out_ms = 0
        self._run_from_ms: int | None = None
        self._run_until_ms: int | None = None
        self._under_the_caller = False
        """The agent was audible when the caller last began to speak."""
        self._taken_back = False
        """It has taken back words since."""
        self.turn_from_ms: int | None = None
        """When the agent began to speak since the caller last did something or waited for it to finish."""

    @property
    def ever_spoke(self) -> bool:
        return self._run_from_ms is not None

    @property
    def was_cut_off(self) -> bool:
        return self._under_the_caller or self._taken_back

    def agent_started(self, at_ms: int) -> None:
        self._run_from_ms, self._run_until_ms = at_ms, None
        if self.turn_from_ms is None:
            self.turn_from_ms = at_ms

    def agent_stopped(self, at_ms: int) -> None:
        self._run_until_ms = at_ms
        if at_ms <= self._caller_from_ms:  # it was silent already, which nobody could know at that moment
            self._under_the_caller = False

    def agent_took_back(self) -> None:
        self._taken_back = True

    def caller_started(self, at_ms: int) -> None:
        self._caller_from_ms = self._caller_until_ms = at_ms
        self.turn_from_ms = None
        self._under_the_caller = self.ever_spoke and self._run_until_ms is None
        self._taken_back = False

    def caller_stopped(self, at_ms: int) -> None:
        self._caller_until_ms = at_ms

    def has_answered(self) -> bool:
        """Whether the agent has fallen silent, having said something that the caller has not waited for yet.

        The rest of a sentence that the caller interrupted is no answer, nor is an "mm-hm" under the caller's words.
        """
        began_ms, ended_ms = self._run_from_ms, self._run_until_ms
        if began_ms is None or ended_ms is None or ended_ms <= max(self._caller_until_ms, self._heard_out_ms):
            return False
        return began_ms >= self._caller_from_ms or ended_ms >= self._caller_until_ms + _STUBBORN_MS

    def is_done(self, at_ms: int, *, quiet_ms: int) -> bool:
        return self._run_until_ms is not None and self.has_answered() and at_ms - self._run_until_ms >= quiet_ms

    def hear_out(self, at_ms: int) -> None:
        """Count what was said as waited for."""
        self._heard_out_ms = at_ms
        self.turn_from_ms = None


class ScriptedCaller:
    """Performs one script in one call: the `Caller` of a carrier."""

    def __init__(self, script: CallerScript) -> None:
        self._steps = script.steps
        self._number = 0
        self._step_from_ms = 0
        self._started = False
        self._spoken_from_ms = 0
        self._spoken = False
        self._keys_pressed = 0
        self._agent = _AgentAsHeard()
        self._over = False
        self.failure: StepFailed | None = None
        """The step that failed; then the caller hangs up."""

    def notice(self, event: TimelineEvent) -> None:
        """Keep in mind what matters for the script."""
        match event:
            case AgentSpeechStarted(at_ms):
                self._agent.agent_started(at_ms)
            case AgentSpeechStopped(at_ms):
                self._agent.agent_stopped(at_ms)
            case ClearReceived(_, dropped_ms) if dropped_ms > 0:
                self._agent.agent_took_back()
            case CallerUtteranceStarted(at_ms) | DigitSent(at_ms):
                self._agent.caller_started(at_ms)
                self._spoken_from_ms = at_ms
            case CallerUtteranceEnded(at_ms):
                self._agent.caller_stopped(at_ms)
                self._spoken = True
            case Closed() if not self._over:
                self._line_closed(event)
            case _:
                pass

    def decide(self, at_ms: int) -> Sequence[CallerAct]:
        """Go through the script as far as this moment allows."""
        acts: list[CallerAct] = []
        if self._over:
            return acts
        while not self._over:
            if self._number == len(self._steps):
                self._over = True
                acts.append(PutDown("the script is over"))
            elif self._pursue(self._steps[self._number], at_ms, acts):
                self._next_step(at_ms)
            else:
                break
        if self.failure:
            acts.append(PutDown(self.failure.reason))
        return acts

    def _next_step(self, at_ms: int) -> None:
        self._number += 1
        self._step_from_ms = at_ms
        self._started = self._spoken = False
        self._keys_pressed = 0

    def _pursue(self, step: CallerStep, at_ms: int, acts: list[CallerAct]) -> bool:
        """Do what the step asks for now; True once it is done."""
        waited_ms = at_ms - self._step_from_ms
        match step:
            case SayStep(utterance):
                if not self._started:
                    self._started = True
                    acts.append(Say(utterance))
                return self._spoken
            case WaitForAgentStep():
                return self._wait_for_agent(step, at_ms)
            case WaitStep(ms):
                return waited_ms >= ms
            case BargeInStep():
                return self._barge_in(step, at_ms, acts)
            case PressStep(digits):
                return self._press(digits, at_ms, acts)
            case HangUpStep():
                self._over = True
                acts.append(PutDown("the caller hung up"))
                return False
            case ExpectHangUpStep(within_ms):
                if waited_ms >= within_ms:
                    self._fail(at_ms, f"the agent did not hang up within {within_ms} ms")
                return False
            case _:
                assert_never(step)

    def _wait_for_agent(self, step: WaitForAgentStep, at_ms: int) -> bool:
        if self._agent.is_done(at_ms, quiet_ms=step.quiet_ms):
            self._agent.hear_out(at_ms)
            return True
        if at_ms - self._step_from_ms >= step.at_most_ms:
            self._fail(at_ms, f"waited {step.at_most_ms} ms, but {self._how_the_agent_was()}")
        return False

    def _barge_in(self, step: BargeInStep, at_ms: int, acts: list[CallerAct]) -> bool:
        if self._started:
            if not self._spoken or at_ms < self._spoken_from_ms + _SETTLED_MS:
                return False
            if not self._agent.was_cut_off:
                self._fail(at_ms, "nothing was interrupted: the agent had fallen silent before")
            return self._agent.was_cut_off
        turn_from_ms = self._agent.turn_from_ms
        if turn_from_ms is not None:
            # The recording begins with some silence: the voice in it is what has to be on time.
            if at_ms + step.utterance.voiced_from_ms >= turn_from_ms + step.after_ms:
                self._started = True
                acts.append(Say(step.utterance))
        elif at_ms - self._step_from_ms >= step.at_most_ms:
            self._fail(at_ms, f"waited {step.at_most_ms} ms to interrupt, but {self._how_the_agent_was()}")
        return False

    def _press(self, digits: str, at_ms: int, acts: list[CallerAct]) -> bool:
        if self._keys_pressed < len(digits):
            if at_ms >= self._step_from_ms + self._keys_pressed * _KEY_MS:
                acts.append(PressKey(digits[self._keys_pressed]))
                self._keys_pressed += 1
            return False
        return True

    def _how_the_agent_was(self) -> str:
        if not self._agent.ever_spoke:
            return "the agent never spoke"
        if self._agent.turn_from_ms is None:
            return "the agent said nothing more"
        return "the agent was not done speaking"

    def _line_closed(self, closed: Closed) -> None:
        """The line is gone before the caller put down: in order, where the agent did it and nothing was left to say."""
        self._over = True
        if isinstance(self._steps[self._number], WaitForAgentStep) and self._agent.has_answered():
            self._number += 1
        left = self._steps[self._number :]
        nothing_to_say = all(isinstance(step, WaitStep | HangUpStep | ExpectHangUpStep) for step in left)
        if closed.by != "agent" or not nothing_to_say:
            self._number = min(self._number, len(self._steps) - 1)
            self._fail(closed.at_ms, f"the call was over: {_why(closed)}")

    def _fail(self, at_ms: int, reason: str) -> None:
        self.failure = StepFailed(self._number + 1, self._steps[self._number], at_ms, reason)
        self._over = True


def _why(closed: Closed) -> str:
    code = "" if closed.code is None else f" (code {closed.code})"
    return f"closed by the {closed.by}{code}{': ' if closed.reason else ''}{closed.reason}"
