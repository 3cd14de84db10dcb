"""The phase machine: which transition, if any, a signal sets off. The only importer of `transitions`.

One machine per flow, shared by all its calls; each call is a small model of it. There is one trigger, `advance`, whose
ordered conditions ask "is this edge tried by the signal, and does its guard permit?".
"""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from transitions import EventData, Machine

from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import holds
from voiceagent.spec.phase import (
    BeepHeard,
    HostSignals,
    MachineAnswers,
    NotUnderstood,
    PersonAnswers,
    Pressed,
    Requested,
    Silent,
    TimedOut,
    ToolFails,
    ToolSucceeds,
    TransferFails,
    Transition,
    TurnLimitReached,
    VoiceFails,
)

__all__ = ["PhaseMachine", "Signal", "tries"]


@dataclass(frozen=True, slots=True)
class Signal:
    """Something that may try a transition, by the kind of its trigger and the name that goes with it."""

    kind: type
    """ToolSucceeds, ToolFails, Requested, Pressed, Silent, …"""
    name: str = ""
    """Tool, request, keys or host event; empty for the others."""


def tries(transition: Transition, signal: Signal) -> bool:
    """Whether the signal is what this edge waits for; its guard is another question."""
    on = transition.on
    if not isinstance(on, signal.kind):
        return False
    match on:
        case ToolSucceeds() | ToolFails():
            return on.tool.name == signal.name
        case Requested() | HostSignals():
            return on.name == signal.name
        case Pressed():
            return on.digits == signal.name
        case Silent() | NotUnderstood() | TimedOut() | TurnLimitReached() | VoiceFails() | TransferFails():
            return True
        case MachineAnswers() | PersonAnswers() | BeepHeard():
            return True


class _Position:
    """Where one call stands; `transitions` sets `state`."""

    state: str
    fired: Transition | None = None

    def forget_triggers(self) -> None:
        """Have nothing but the state: what the library puts beside it refers to this again, in a circle."""
        state = self.state
        vars(self).clear()
        self.state = state


def _machine_of(flow: Flow) -> Any:  # the library is untyped: its objects stay inside this file
    key = id(flow)
    if key not in _machines:
        machine = Machine(
            model=None,
            states=[phase.name for phase in flow.phases],
            initial=flow.initial,
            auto_transitions=False,
            send_event=True,
            ignore_invalid_triggers=True,
        )
        for phase in flow.phases:
            for transition in flow.transitions_of(phase):
                _add(machine, phase.name, transition)
        _machines[key] = machine
        weakref.finalize(flow, _machines.pop, key, None)
    return _machines[key]


def _add(machine: Any, source: str, transition: Transition) -> None:
    def fits(event: EventData) -> bool:
        signals = cast("Sequence[Signal]", event.kwargs["signals"])
        tried = any(tries(transition, signal) for signal in signals)
        return tried and holds(transition.when, cast("Facts", event.kwargs["facts"]))

    def remember(event: EventData) -> None:
        cast("_Position", event.model).fired = transition

    machine.add_transition("advance", source, transition.to, conditions=[fits], after=[remember])


_machines: dict[int, Any] = {}


class PhaseMachine:
    """One call's place in its flow."""

    def __init__(self, flow: Flow) -> None:
        self._machine = _machine_of(flow)
        self._position = _Position()
        self._machine.add_model(self._position, initial=flow.initial)
        self._position.forget_triggers()
        # A call that is broken off never comes to its end here: whoever goes on with it folds a conversation anew.
        self._forget = weakref.finalize(self, self._machine.remove_model, self._position)
        self._forget.atexit = False

    @property
    def phase(self) -> str:
        """Name of the phase the call is in."""
        return self._position.state

    def advance(self, signals: Sequence[Signal], facts: Facts) -> Transition | None:
        """Take the first edge, in order of priority, that one of the signals tries and its guard permits."""
        position = self._position
        position.fired = None
        if "advance" not in self._machine.get_triggers(position.state):
            return None  # a phase without edges, such as the last one: the library would log a warning every time
        self._machine.events["advance"].trigger(position, signals=tuple(signals), facts=facts)
        return position.fired

    def set_phase(self, name: str) -> None:
        """Put the call into a phase without a transition: a swap that failed leads back."""
        self._machine.set_state(name, model=self._position)

    def close(self) -> None:
        """Forget the call; the machine lives on with its flow."""
        self._forget()
