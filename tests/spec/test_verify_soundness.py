"""What is proved of a flow is true of its calls: random ones never come where a proof says that none can."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.spec.right_flows import HouseFacts, meet, pick, right_flows, rooms_of, with_phase
from voiceagent.core.phase_machine import PhaseMachine, Signal
from voiceagent.errors import Source
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Guard, Not
from voiceagent.spec.phase import (
    Requested,
    Silent,
    TimedOut,
    ToolFails,
    ToolSucceeds,
    Transition,
    TurnLimitReached,
)
from voiceagent.spec.tool import Tool
from voiceagent.spec.verify import verify
from voiceagent.spec.verify.certain import certain_facts, certain_grants, known_from_the_start
from voiceagent.spec.ways import Ways

_comparisons = st.one_of(
    st.builds(Compare, fact=st.just("met"), is_=st.sampled_from(["eq", "ne"]), value=st.booleans()),
    st.builds(Compare, fact=st.just("tries"), is_=st.sampled_from(["lt", "ge", "eq"]), value=st.integers(0, 3)),
    st.builds(Compare, fact=st.just("name"), is_=st.just("set"), value=st.booleans()),
    st.builds(Compare, fact=st.just("secret"), is_=st.sampled_from(["eq", "set"]), value=st.none()),
)
_guards: st.SearchStrategy[Guard] = st.recursive(
    _comparisons,
    lambda inner: st.one_of(
        st.builds(AllOf, all_of=st.lists(inner, max_size=2).map(tuple)),
        st.builds(AnyOf, any_of=st.lists(inner, max_size=2).map(tuple)),
        st.builds(Not, not_=inner),
    ),
    max_leaves=3,
)


@st.composite
def any_flows(draw: st.DrawFn) -> Flow:
    """A right flow with some transitions more, right or wrong."""
    flow = draw(right_flows())
    data = draw(st.data())
    if draw(st.booleans()):
        again = pick(data, rooms_of(flow))  # where one is asked once more who one is, and may say it wrong
        flow = with_phase(flow, again, tools=(*again.tools, meet))
    for _ in range(draw(st.integers(1, 4))):
        phase = pick(data, [flow.by_name["door"], *rooms_of(flow)])
        triggers = [
            Requested(name="extra", description="More."),
            Silent(),
            *(ToolSucceeds(tool=t) for t in phase.tools),
        ]
        extra = Transition(
            on=draw(st.sampled_from(triggers)),
            to=draw(st.sampled_from([other.name for other in flow.phases])),
            when=draw(st.none() | _guards),
            priority=draw(st.integers(-1, 1)),
        )
        at = draw(st.integers(0, len(phase.transitions)))
        flow = with_phase(flow, phase, transitions=(*phase.transitions[:at], extra, *phase.transitions[at:]))
    for number, edge in enumerate(edge for phase in flow.phases for edge in phase.transitions):
        edge._source = Source("flow.py", number)  # a line for each, as an author's have
    return flow


class Call:
    """One call, as far as phases, facts and grants go."""

    def __init__(self, flow: Flow) -> None:
        self.machine = PhaseMachine(flow)
        self.facts = HouseFacts()
        self.grants: set[str] = set()

    def succeeds(self, used: Tool, *, met: bool, tries: int) -> Transition | None:
        """A tool returns what it may: a name only for somebody who was met."""
        if used is meet:
            self.facts = self.facts.with_values({"met": met, "name": "Ada" if met else None, "tries": tries})
            self.grants = self.grants | set(used.grants) if met else self.grants - set(used.grants)
        return self.machine.advance([Signal(ToolSucceeds, used.name)], self.facts)

    def may_run(self, used: Tool) -> bool:
        return set(used.requires) <= self.grants and set(used.binds.values()) <= set(self.facts.known())


_steps = st.lists(st.tuples(st.integers(0, 9), st.booleans(), st.integers(0, 4)), max_size=25)


def walk(flow: Flow, steps: list[tuple[int, bool, int]]) -> list[tuple[Transition, str, Call]]:
    """Take a call through a flow; return what was fired, where it led, and the call as it was then."""
    call = Call(flow)
    taken: list[tuple[Transition, str, Call]] = []
    for choice, met, tries in steps:
        phase = flow.by_name[call.machine.phase]
        tools = [used for used in flow.tools_of(phase) if call.may_run(used)]
        signals = [Signal(Requested, name) for name in flow.requests_of(phase)]
        signals += [Signal(kind) for kind in (Silent, TimedOut, TurnLimitReached)]
        signals += [Signal(ToolFails, used.name) for used in tools]
        chosen = (*tools, *signals)[choice % (len(tools) + len(signals))]
        if isinstance(chosen, Tool):
            fired = call.succeeds(chosen, met=met, tries=tries)
        else:
            fired = call.machine.advance([chosen], call.facts)
        if fired is not None:
            seen = Call(flow)
            seen.facts, seen.grants = call.facts, set(call.grants)
            taken.append((fired, call.machine.phase, seen))
    call.machine.close()
    return taken


@settings(max_examples=60, deadline=None)
@given(any_flows(), st.lists(_steps, min_size=1, max_size=4))
def test_what_is_certain_on_every_way_holds_in_every_call(flow: Flow, walks: list[list[tuple[int, bool, int]]]) -> None:
    ways = Ways(flow)
    grants, facts = certain_grants(flow, ways).on_entry, certain_facts(ways).on_entry
    for steps in walks:
        for _, phase, call in walk(flow, steps):
            assert grants[phase] <= call.grants
            assert facts[phase] <= set(call.facts.known()) | known_from_the_start(flow)


@settings(max_examples=60, deadline=None)
@given(any_flows(), st.lists(_steps, min_size=1, max_size=4))
def test_no_call_takes_a_transition_that_is_said_to_be_never_taken(
    flow: Flow, walks: list[list[tuple[int, bool, int]]]
) -> None:
    codes = ("dead-guard", "shadowed-guard", "dead-trigger")
    never = {finding.source for finding in verify(flow) if finding.code in codes}
    for steps in walks:
        assert all(fired.source not in never for fired, _, _ in walk(flow, steps))


@settings(max_examples=60, deadline=None)
@given(any_flows(), st.lists(_steps, min_size=1, max_size=4))
def test_no_call_comes_to_a_phase_that_is_said_to_be_out_of_reach(
    flow: Flow, walks: list[list[tuple[int, bool, int]]]
) -> None:
    ways = Ways(flow)
    for steps in walks:
        assert all(ways.reaches(phase) for _, phase, _ in walk(flow, steps))
