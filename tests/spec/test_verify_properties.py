"""Flows that are right by construction pass; whatever a generator breaks in them, wherever, is found."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import create_model

from tests.spec.right_flows import (
    discard,
    hours,
    intent_for,
    look,
    meet,
    move,
    note,
    pick,
    right_flows,
    rooms_of,
    with_dialogue,
    with_edge,
    with_phase,
    with_tool,
)
from tests.spec.rules import ABOUT_ENGINES, ONLY_WARNINGS, told_rules
from voiceagent.spec.attempts import Attempts
from voiceagent.spec.egress import Egress
from voiceagent.spec.expects import Digits, FreeSpeech, SpokenAmount, SpokenDate, SpokenTime
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow, Limits
from voiceagent.spec.guards import AllOf, AnyOf, Compare
from voiceagent.spec.guided import GuidedDialogue, Intent, Slot
from voiceagent.spec.phase import (
    BeepHeard,
    HangUpAfter,
    MachineAnswers,
    NotUnderstood,
    Phase,
    Requested,
    Say,
    Silent,
    TimedOut,
    ToolSucceeds,
    Transition,
    VoiceFails,
    Wait,
)
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.verify import verify
from voiceagent.spec.verify.valuation import MOST_ATOMS

# --- what is done to them --------------------------------------------------------------------------------------------

Break = Callable[[st.DataObject, Flow], Flow]
BREAKS: dict[Break, str] = {}


def breaks(code: str) -> Callable[[Break], Break]:
    def enter(mutation: Break) -> Break:
        BREAKS[mutation] = code
        return mutation

    return enter


def a_move(data: st.DataObject, flow: Flow) -> tuple[Phase, Transition]:
    phase = pick(data, rooms_of(flow))
    return phase, next(edge for edge in phase.transitions if isinstance(edge.on, Requested))


@breaks("unknown-phase")
def a_target_is_misspelt(data: st.DataObject, flow: Flow) -> Flow:
    phase = pick(data, [phase for phase in flow.phases if phase.transitions])
    edge = data.draw(st.sampled_from(phase.transitions))
    return with_edge(flow, phase, edge, to=f"{edge.to}x")


@breaks("missing-prompt")
def a_prompt_is_lost(data: st.DataObject, flow: Flow) -> Flow:
    lost = data.draw(st.sampled_from(sorted(flow.prompts)))
    return flow.model_copy(update={"prompts": {name: flow.prompts[name] for name in flow.prompts if name != lost}})


@breaks("missing-prompt")
def nobody_can_answer(data: st.DataObject, flow: Flow) -> Flow:
    return with_phase(flow, pick(data, rooms_of(flow)), prompt=None, guided=None)


@breaks("duplicate-phase")
def a_phase_is_there_twice(data: st.DataObject, flow: Flow) -> Flow:
    return flow.model_copy(update={"phases": (*flow.phases, pick(data, flow.phases))})


@breaks("duplicate-tool")
def a_tool_is_offered_twice(data: st.DataObject, flow: Flow) -> Flow:
    phase = pick(data, [phase for phase in flow.phases if phase.tools])
    return with_phase(flow, phase, tools=(*phase.tools, dataclasses.replace(phase.tools[0])))


@breaks("unreachable")
def no_way_leads_to_a_room(data: st.DataObject, flow: Flow) -> Flow:
    lost = pick(data, rooms_of(flow)).name
    for phase in flow.phases:
        now = flow.by_name[phase.name]
        moved = tuple(e.model_copy(update={"to": "end"}) if e.to == lost else e for e in now.transitions)
        flow = with_phase(flow, now, transitions=moved)
    return flow


@breaks("dead-end")
def nothing_leads_out(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, rooms_of(flow))
    return with_phase(flow, room, transitions=(), timeout_ms=None).model_copy(update={"transitions": ()})


@breaks("no-end")
def a_room_leads_nowhere_but_back_to_itself(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, rooms_of(flow))
    round_and_round = with_phase(flow, room, transitions=(move("again", room.name),), timeout_ms=None)
    return round_and_round.model_copy(update={"transitions": ()})


@breaks("endless-loop")
def whoever_is_not_understood_stays_in_the_room(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, rooms_of(flow))
    stay = Transition(on=data.draw(st.sampled_from([NotUnderstood(), VoiceFails()])), to=room.name)
    return with_phase(flow, room, transitions=(*room.transitions, stay))


@breaks("endless-loop")
def silence_leads_back_to_the_door(data: st.DataObject, flow: Flow) -> Flow:
    kept = tuple(edge for edge in flow.transitions if not isinstance(edge.on, Silent))
    late = [phase for phase in flow.phases if phase.timeout_ms is not None]
    assume(not late)
    return flow.model_copy(update={"transitions": (*kept, Transition(on=Silent(), to="door"))})


@breaks("no-human")
def nobody_can_be_asked_for(data: st.DataObject, flow: Flow) -> Flow:
    return flow.model_copy(update={"transitions": flow.transitions[1:], "reaches_human": True})


@breaks("grant-missing")
def a_way_leads_around_the_door(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    room = pick(data, [room for room in rooms_of(flow) if room.tools])
    return with_phase(flow, door, transitions=(*door.transitions, move("around", room.name)))


@breaks("grant-missing")
def the_door_does_not_ask_for_the_result(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    fact = data.draw(st.sampled_from(["name", "tries"]))
    return with_edge(flow, door, door.transitions[0], when=Compare(fact=fact, is_="set", value=True))


@breaks("grant-missing")
def who_one_is_is_asked_again_on_the_way(data: st.DataObject, flow: Flow) -> Flow:
    first, *others = rooms_of(flow)
    again = pick(data, others)
    ways = (*again.transitions, move("back", first.name))
    return with_phase(flow, again, tools=(*again.tools, meet), transitions=ways)


@breaks("fact-missing")
def the_door_does_not_ask_for_the_name(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    return with_edge(flow, door, door.transitions[0], when=Compare(fact="tries", is_="ge", value=0))


@breaks("grant-never")
def nothing_gives_the_right(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, meet, grants=(), grants_when=None)


@breaks("fact-never-set")
def a_tool_binds_what_nothing_sets(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, data.draw(st.sampled_from([look, note])), binds={"name": "secret"})


@breaks("unknown-fact")
def a_tool_sets_what_is_no_fact(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, data.draw(st.sampled_from([look, note, discard, meet])), sets={"nmae": "name"})


@breaks("unknown-fact")
def a_guard_reads_what_is_no_fact(data: st.DataObject, flow: Flow) -> Flow:
    phase = pick(data, [phase for phase in flow.phases if phase.transitions])
    edge = data.draw(st.sampled_from(phase.transitions))
    return with_edge(flow, phase, edge, when=Compare(fact="nmae", is_="set", value=True))


@breaks("prefetch-order")
def a_fetch_waits_for_what_is_not_fetched_or_for_itself(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    waiting = Prefetch(tool=look, after=data.draw(st.sampled_from([look, hours, meet])))
    return with_edge(flow, door, door.transitions[0], prefetch=(waiting,))


@breaks("prefetch-secret")
def what_is_fetched_takes_a_secret(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, look, sealed=("name",))


@breaks("prefetch-write")
def what_is_fetched_writes(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(with_tool(flow, note, invalidates=()), look, effect="write")


@breaks("prefetch-argument")
def a_fetch_gives_what_is_not_taken(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    wrong = Prefetch(tool=look, arguments={data.draw(st.sampled_from(["nam", "name"])): "x"})
    return with_edge(flow, door, door.transitions[0], prefetch=(wrong,))


@breaks("prefetch-argument")
def a_fetch_gives_what_does_not_fit(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    wrong = data.draw(st.one_of(st.integers(), st.booleans(), st.none(), st.just(["today"])))
    fetch = Prefetch(tool=hours, arguments={"day": wrong})
    return with_edge(flow, door, door.transitions[0], prefetch=(fetch,))


@breaks("prefetch-early")
def a_fetch_begins_for_a_stranger(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    return with_edge(flow, door, door.transitions[1], prefetch=(Prefetch(tool=look),))


@breaks("dead-guard")
def a_guard_contradicts_itself(data: st.DataObject, flow: Flow) -> Flow:
    phase, edge = a_move(data, flow)
    at = data.draw(st.integers(-3, 3))
    never = AllOf(all_of=(Compare(fact="tries", is_="lt", value=at), Compare(fact="tries", is_="ge", value=at)))
    return with_edge(flow, phase, edge, when=never)


@breaks("dead-guard")
def a_guard_waits_for_what_nothing_sets(data: st.DataObject, flow: Flow) -> Flow:
    phase, edge = a_move(data, flow)
    return with_edge(flow, phase, edge, when=Compare(fact="secret", value="x"))


@breaks("unknown-guard")
def a_guard_is_python(data: st.DataObject, flow: Flow) -> Flow:
    phase, edge = a_move(data, flow)
    return with_edge(flow, phase, edge, when=lambda facts: facts is not None)


@breaks("dead-guard")
def a_guard_in_python_never_permits(data: st.DataObject, flow: Flow) -> Flow:
    async def later(facts: Facts) -> bool:
        return True

    phase, edge = a_move(data, flow)
    return with_edge(flow, phase, edge, when=data.draw(st.sampled_from([later, lambda: True])))


@breaks("not-decided")
def a_guard_compares_too_much(data: st.DataObject, flow: Flow) -> Flow:
    phase, edge = a_move(data, flow)
    many = data.draw(st.integers(MOST_ATOMS + 1, 2 * MOST_ATOMS))
    return with_edge(flow, phase, edge, when=AnyOf(any_of=tuple(Compare(fact="tries", value=at) for at in range(many))))


@breaks("shadowed-guard")
def an_earlier_transition_takes_all(data: st.DataObject, flow: Flow) -> Flow:
    phase = pick(data, [p for p in flow.phases if any(isinstance(e.on, ToolSucceeds) for e in p.transitions)])
    edge = next(edge for edge in phase.transitions if isinstance(edge.on, ToolSucceeds))
    return with_phase(flow, phase, transitions=(edge.model_copy(update={"when": None}), *phase.transitions))


@breaks("shadowed-guard")
def two_transitions_leave_nothing_to_a_third(data: st.DataObject, flow: Flow) -> Flow:
    phase, edge = a_move(data, flow)
    low, high = sorted([data.draw(st.integers(-2, 2)), data.draw(st.integers(-2, 2))])
    below = edge.model_copy(update={"when": Compare(fact="tries", is_="le", value=high)})
    above = edge.model_copy(update={"when": Compare(fact="tries", is_="gt", value=low)})
    return with_phase(flow, phase, transitions=(below, above, *phase.transitions))


@breaks("dead-trigger")
def a_time_out_never_comes(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, [room for room in rooms_of(flow) if room.timeout_ms is None])
    return with_phase(flow, room, transitions=(*room.transitions, Transition(on=TimedOut(), to="end")))


@breaks("limit-ignored")
def a_turn_limit_leads_nowhere(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, rooms_of(flow))
    return with_phase(flow, room, max_turns=3).model_copy(update={"transitions": flow.transitions[:-1]})


@breaks("no-description")
def a_tool_says_nothing_of_itself(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, data.draw(st.sampled_from([meet, look, note, discard])), description="")


@breaks("no-confirmation")
def nothing_is_read_back(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, discard, confirm=None)


@breaks("bad-egress")
def requests_go_nowhere(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, discard, egress=(Egress(("GET",), data.draw(st.sampled_from(["", "http://", "a b"]))),))


@breaks("fact-not-nullable")
def an_attempt_that_fails_has_no_value_for_a_fact(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, meet, attempts=Attempts(account="code"))


@breaks("untyped-parameter")
def a_parameter_may_be_anything(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, discard, arguments=create_model("anything", thing=(object, ...)))


@breaks("unknown-tool")
def a_tool_makes_stale_what_is_not_there(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, note, invalidates=("loook",))


@breaks("unknown-tool")
def a_tool_is_no_longer_offered(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, [room for room in rooms_of(flow) if room.tools])
    return with_phase(flow, room, tools=room.tools[1:])


@breaks("unknown-tool")
def a_move_is_misspelt(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, rooms_of(flow))
    assert room.guided is not None
    lost = Intent(does="to_rooom", examples=("go",))
    return with_dialogue(flow, room, intents=(*room.guided.intents, lost))


@breaks("unknown-tool")
def there_are_words_for_no_tool(data: st.DataObject, flow: Flow) -> Flow:
    field = data.draw(st.sampled_from(["replies", "failures"]))
    return with_dialogue(flow, pick(data, rooms_of(flow)), **{field: {"lok": "Yes."}})


@breaks("no-examples")
def nothing_means_an_intent(data: st.DataObject, flow: Flow) -> Flow:
    room = pick(data, rooms_of(flow))
    assert room.guided is not None
    at = data.draw(st.integers(0, len(room.guided.intents) - 1))
    intents = [i.model_copy(update={"examples": ()} if n == at else {}) for n, i in enumerate(room.guided.intents)]
    return with_dialogue(flow, room, intents=tuple(intents))


@breaks("unknown-slot")
def a_slot_is_misspelt(data: st.DataObject, flow: Flow) -> Flow:
    slot = Slot(name="coed", expects=FreeSpeech(), ask="Which?")
    intent = intent_for(meet)
    return with_dialogue(
        flow, flow.by_name["door"], intents=(intent.model_copy(update={"slots": (*intent.slots, slot)}),)
    )


@breaks("missing-slot")
def what_a_tool_needs_is_not_asked_for(data: st.DataObject, flow: Flow) -> Flow:
    return with_dialogue(flow, flow.by_name["door"], intents=(intent_for(meet).model_copy(update={"slots": ()}),))


SENTENCES = st.sampled_from(["opening", "not_understood", "anything_else"])


@breaks("unknown-placeholder")
def a_sentence_names_no_fact(data: st.DataObject, flow: Flow) -> Flow:
    return with_dialogue(flow, pick(data, rooms_of(flow)), **{data.draw(SENTENCES): "Hello {{ nmae }}."})


@breaks("placeholder-never-set")
def a_sentence_needs_what_nothing_sets(data: st.DataObject, flow: Flow) -> Flow:
    return with_dialogue(flow, pick(data, rooms_of(flow)), **{data.draw(SENTENCES): "Hello {{ secret }}."})


@breaks("placeholder-missing")
def a_sentence_comes_too_early(data: st.DataObject, flow: Flow) -> Flow:
    return with_dialogue(flow, flow.by_name["door"], **{data.draw(SENTENCES): "Hello {{ name }}."})


@breaks("placeholder-missing")
def a_way_leads_around_what_a_prompt_needs(data: st.DataObject, flow: Flow) -> Flow:
    door = flow.by_name["door"]
    room = pick(data, rooms_of(flow))
    prompts = {**flow.prompts, room.prompt: Prompt("Be kind.\n---\n{{ name }}")}
    around = move("around", room.name)
    return with_phase(flow, door, transitions=(*door.transitions, around)).model_copy(update={"prompts": prompts})


@breaks("bad-template")
def a_sentence_cannot_be_read(data: st.DataObject, flow: Flow) -> Flow:
    wrong = data.draw(st.sampled_from(["{{ name", "{% if name %}", "{{ name | shout }}", "{{ 1 + }}", "{% endfor %}"]))
    return with_dialogue(flow, pick(data, rooms_of(flow)), **{data.draw(SENTENCES): wrong})


@breaks("static-placeholder")
def a_prompt_has_a_hole_above_the_line(data: st.DataObject, flow: Flow) -> Flow:
    name = data.draw(st.sampled_from(sorted(flow.prompts)))
    return flow.model_copy(update={"prompts": {**flow.prompts, name: Prompt("Be kind to {{ name }}.")}})


@breaks("secret-exposed")
def a_secret_is_recorded(data: st.DataObject, flow: Flow) -> Flow:
    return with_phase(flow, pick(data, rooms_of(flow)), expects=(Digits(name="pin", sealed=True),))


@breaks("secret-exposed")
def a_secret_is_taken_where_calls_are_recorded(data: st.DataObject, flow: Flow) -> Flow:
    return with_tool(flow, data.draw(st.sampled_from([meet, discard])), sealed=("code",))


@breaks("secret-misplaced")
def a_number_is_expected_where_all_are_sealed(data: st.DataObject, flow: Flow) -> Flow:
    expected = data.draw(st.sampled_from([SpokenDate(), SpokenTime(), SpokenAmount()]))
    return with_phase(flow, pick(data, rooms_of(flow)), sensitive=True, expects=(expected,))


@breaks("secret-misplaced")
def a_tool_takes_digits_that_are_sealed(data: st.DataObject, flow: Flow) -> Flow:
    slot = Slot(name="code", expects=Digits(name="code", sealed=data.draw(st.booleans())), ask="Which?")
    intent = intent_for(meet).model_copy(update={"slots": (slot,)})
    flow = with_dialogue(flow, flow.by_name["door"], intents=(intent,))
    return with_phase(flow, flow.by_name["door"], sensitive=True)


@breaks("over-budget")
def a_prompt_is_too_long(data: st.DataObject, flow: Flow) -> Flow:
    return with_phase(flow, pick(data, rooms_of(flow)), token_budget=data.draw(st.integers(1, 5)))


@breaks("silence-too-long")
def nobody_may_wait(data: st.DataObject, flow: Flow) -> Flow:
    return flow.model_copy(update={"limits": Limits(max_silence_ms=data.draw(st.integers(500, 4_000)))})


@breaks("unknown-locale")
def nobody_speaks_the_language(data: st.DataObject, flow: Flow) -> Flow:
    return flow.model_copy(update={"locale": data.draw(st.sampled_from(["tlh", "xx-YY", ""]))})


def _finds_out_who_answers(flow: Flow, to: str, **more: object) -> Flow:
    """Have the first phase lead to another one where a machine answers."""
    first = flow.by_name[flow.initial]
    edge = Transition.model_validate({"on": MachineAnswers(), "to": to, **more})
    return with_phase(flow, first, transitions=(*first.transitions, edge))


def _beside(flow: Flow, room: Phase) -> Flow:
    return flow.model_copy(update={"phases": (*flow.phases, room)})


@breaks("talks-over-greeting")
def a_machine_is_talked_to_while_it_speaks(data: st.DataObject, flow: Flow) -> Flow:
    if data.draw(st.booleans()):
        return _finds_out_who_answers(flow, "end", say="Hello.")
    spoken_to = Phase(name="message", on_enter=Say(text="Please call us back."), ends=HangUpAfter())
    return _finds_out_who_answers(_beside(flow, spoken_to), "message")


@breaks("no-way-back")
def whoever_is_taken_for_a_machine_stays_one(data: st.DataObject, flow: Flow) -> Flow:
    edge = Transition(on=BeepHeard(silence_ms=data.draw(st.integers(1_000, 10_000))), to="end")
    waits = Phase(name="await_beep", on_enter=Wait(), guided=GuidedDialogue(), transitions=(edge,))
    return _finds_out_who_answers(_beside(flow, waits), "await_beep")


# --- the properties --------------------------------------------------------------------------------------------------


@settings(deadline=None)
@given(right_flows())
def test_a_flow_that_is_right_passes(flow: Flow) -> None:
    assert [str(finding) for finding in verify(flow)] == []


@pytest.mark.parametrize("mutation", BREAKS, ids=lambda mutation: mutation.__name__)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(data=st.data(), flow=right_flows())
def test_what_is_broken_is_found(mutation: Break, data: st.DataObject, flow: Flow) -> None:
    found = [finding for finding in verify(mutation(data, flow)) if finding.code == BREAKS[mutation]]
    assert found
    severity = "warning" if BREAKS[mutation] in ONLY_WARNINGS else "error"
    assert all(finding.severity == severity for finding in found)


def test_every_rule_is_broken_by_some_mutation() -> None:
    assert set(BREAKS.values()) == told_rules() - ABOUT_ENGINES
