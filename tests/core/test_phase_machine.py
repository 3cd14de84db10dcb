"""The phase machine: which edge is taken, and that no call is in the way of another."""

from __future__ import annotations

import gc
import weakref

import pytest

from voiceagent.core.phase_machine import PhaseMachine, Signal
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import (
    HangUpAfter,
    HostSignals,
    NotUnderstood,
    Phase,
    Pressed,
    Requested,
    Silent,
    TimedOut,
    ToolFails,
    ToolSucceeds,
    Transition,
    Trigger,
    TurnLimitReached,
    VoiceFails,
)
from voiceagent.spec.tool import tool


class DoorFacts(Facts):
    friend: bool | None = None
    tries: int = 0


@tool
async def knock() -> None:
    """Knock."""


@tool
async def ring() -> None:
    """Ring."""


def move(name: str) -> Requested:
    return Requested(name=name, description="Whenever.")


def flow_of(*edges: Transition, everywhere: tuple[Transition, ...] = ()) -> Flow:
    """A door: these edges lead from outside to the rooms a, b and c."""
    rooms = tuple(Phase(name=name) for name in ("a", "b"))
    return Flow(
        name="door",
        initial="outside",
        facts=DoorFacts,
        phases=(
            Phase(name="outside", tools=(knock, ring), transitions=edges),
            *rooms,
            Phase(name="c", ends=HangUpAfter()),
        ),
        transitions=everywhere,
    )


def leads_to(flow: Flow, *signals: Signal, **facts: object) -> str | None:
    """Return where these signals lead from outside, if anywhere."""
    machine = PhaseMachine(flow)
    taken = machine.advance(signals, DoorFacts.model_validate(facts))
    assert machine.phase == (taken.to if taken else "outside")
    machine.close()
    return taken.to if taken else None


@pytest.mark.parametrize(
    ("trigger", "fits", "others"),
    [
        (
            ToolSucceeds(tool=knock),
            Signal(ToolSucceeds, "knock"),
            [Signal(ToolSucceeds, "ring"), Signal(ToolFails, "knock")],
        ),
        (ToolFails(tool=knock), Signal(ToolFails, "knock"), [Signal(ToolFails, "ring"), Signal(ToolSucceeds, "knock")]),
        (move("enter"), Signal(Requested, "enter"), [Signal(Requested, "leave"), Signal(HostSignals, "enter")]),
        (
            HostSignals(name="open"),
            Signal(HostSignals, "open"),
            [Signal(HostSignals, "shut"), Signal(Requested, "open")],
        ),
        (
            Pressed(digits="0"),
            Signal(Pressed, "0"),
            [Signal(Pressed, "00"), Signal(Pressed, "1"), Signal(Requested, "0")],
        ),
        (Silent(), Signal(Silent), [Signal(NotUnderstood), Signal(TimedOut)]),
        (NotUnderstood(), Signal(NotUnderstood), [Signal(Silent)]),
        (TimedOut(), Signal(TimedOut), [Signal(TurnLimitReached)]),
        (TurnLimitReached(), Signal(TurnLimitReached), [Signal(TimedOut)]),
        (VoiceFails(), Signal(VoiceFails), [Signal(ToolFails, "knock")]),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, Signal | list) else "",
)
def test_an_edge_is_tried_by_its_own_trigger_and_no_other(trigger: Trigger, fits: Signal, others: list[Signal]) -> None:
    flow = flow_of(Transition(on=trigger, to="a"))
    assert leads_to(flow, fits) == "a"
    assert leads_to(flow, *others) is None
    assert leads_to(flow) is None


def test_a_guard_has_to_permit() -> None:
    flow = flow_of(Transition(on=knock, to="a", when={"friend": True}))
    assert leads_to(flow, Signal(ToolSucceeds, "knock"), friend=True) == "a"
    assert leads_to(flow, Signal(ToolSucceeds, "knock")) is None


def test_where_one_guard_forbids_the_next_edge_is_tried() -> None:
    flow = flow_of(
        Transition(on=knock, to="a", when={"friend": True}),
        Transition(on=knock, to="b", when={"tries": {"ge": 3}}),
        Transition(on=knock, to="c"),
    )
    knocked = Signal(ToolSucceeds, "knock")
    assert leads_to(flow, knocked, friend=True, tries=3) == "a"
    assert leads_to(flow, knocked, tries=3) == "b"
    assert leads_to(flow, knocked) == "c"


def test_of_several_edges_the_highest_priority_wins_and_not_who_came_first() -> None:
    flow = flow_of(
        Transition(on=knock, to="a"),
        Transition(on=move("enter"), to="b", priority=5),
        Transition(on=Silent(), to="c", priority=-1),
    )
    signals = [Signal(Silent), Signal(ToolSucceeds, "knock"), Signal(Requested, "enter")]
    assert leads_to(flow, *signals) == "b"
    assert leads_to(flow, *signals[:2]) == "a"
    assert leads_to(flow, *reversed(signals)) == "b"


def test_among_equals_the_one_declared_first_wins() -> None:
    flow = flow_of(Transition(on=knock, to="b"), Transition(on=knock, to="a"))
    assert leads_to(flow, Signal(ToolSucceeds, "knock")) == "b"


def test_a_phases_own_edges_come_before_global_ones_of_the_same_priority() -> None:
    everywhere = (Transition(on=Silent(), to="c"),)
    assert leads_to(flow_of(Transition(on=Silent(), to="a"), everywhere=everywhere), Signal(Silent)) == "a"
    urgent = (Transition(on=Silent(), to="c", priority=1),)
    assert leads_to(flow_of(Transition(on=Silent(), to="a"), everywhere=urgent), Signal(Silent)) == "c"


def test_an_edge_may_lead_back_to_its_own_phase() -> None:
    flow = flow_of(Transition(on=knock, to="outside", say="Who is there?"))
    taken = PhaseMachine(flow).advance([Signal(ToolSucceeds, "knock")], DoorFacts())
    assert taken is not None
    assert taken.say == "Who is there?"


def _raises(facts: Facts) -> bool:
    raise RuntimeError(facts)


def test_a_predicate_that_raises_does_not_permit_and_the_next_edge_is_tried() -> None:
    flow = flow_of(Transition(on=knock, to="a", when=_raises), Transition(on=knock, to="b"))
    assert leads_to(flow, Signal(ToolSucceeds, "knock")) == "b"


def test_a_predicate_sees_the_facts_of_its_own_call() -> None:
    flow = flow_of(Transition(on=knock, to="a", when=lambda facts: facts == DoorFacts(tries=2)))
    assert leads_to(flow, Signal(ToolSucceeds, "knock"), tries=2) == "a"
    assert leads_to(flow, Signal(ToolSucceeds, "knock"), tries=1) is None


def test_out_of_the_last_phase_nothing_leads_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    flow = flow_of(Transition(on=knock, to="c"), everywhere=(Transition(on=Silent(), to="a"),))
    machine = PhaseMachine(flow)
    machine.advance([Signal(ToolSucceeds, "knock")], DoorFacts())
    assert machine.advance([Signal(Silent)], DoorFacts()) is None
    assert machine.phase == "c"
    assert caplog.records == []


def test_a_flow_of_one_phase_has_no_edges_at_all() -> None:
    flow = Flow(name="short", initial="bye", phases=(Phase(name="bye", ends=HangUpAfter()),))
    assert PhaseMachine(flow).advance([Signal(Silent)], Facts()) is None


# --- one machine for many calls --------------------------------------------------------------------------------------


def test_calls_of_one_flow_do_not_move_each_other() -> None:
    flow = flow_of(Transition(on=knock, to="a"), Transition(on=ring, to="b"))
    first, second, third = PhaseMachine(flow), PhaseMachine(flow), PhaseMachine(flow)
    first.advance([Signal(ToolSucceeds, "knock")], DoorFacts())
    second.advance([Signal(ToolSucceeds, "ring")], DoorFacts())
    first.close()
    assert [second.phase, third.phase] == ["b", "outside"]
    third.advance([Signal(ToolSucceeds, "knock")], DoorFacts())
    assert [second.phase, third.phase] == ["b", "a"]


def test_two_flows_that_look_alike_are_two_flows() -> None:
    one, other = flow_of(Transition(on=knock, to="a")), flow_of(Transition(on=knock, to="b"))
    assert leads_to(one, Signal(ToolSucceeds, "knock")) == "a"
    assert leads_to(other, Signal(ToolSucceeds, "knock")) == "b"


def test_a_call_can_be_put_into_a_phase() -> None:
    machine = PhaseMachine(flow_of(Transition(on=knock, to="a")))
    machine.set_phase("b")
    assert machine.phase == "b"
    assert machine.advance([Signal(ToolSucceeds, "knock")], DoorFacts()) is None


def test_a_closed_call_is_forgotten() -> None:
    flow = flow_of(Transition(on=knock, to="a"))
    machine = PhaseMachine(flow)
    position = weakref.ref(machine._position)  # pyright: ignore[reportPrivateUsage] - what the library would hold on to
    machine.close()
    del machine
    gc.collect()
    assert position() is None


def test_a_flow_that_nobody_uses_is_forgotten_with_its_machine() -> None:
    flow = flow_of(Transition(on=knock, to="a"))
    shared = weakref.ref(PhaseMachine(flow)._machine)  # pyright: ignore[reportPrivateUsage] - whether it is let go of
    forgotten = weakref.ref(flow)
    del flow
    gc.collect()
    assert forgotten() is None
    assert shared() is None
