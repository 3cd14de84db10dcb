"""How much work a proof is: it grows with the flow as a line does, counted in calls and not in seconds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType

import pytest
from pydantic import create_model

from voiceagent.spec.expects import FreeSpeech
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, Compare, Not
from voiceagent.spec.guided import GuidedDialogue, Intent, Slot
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Say, Silent, Transition
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import tool
from voiceagent.spec.verify import verify


class LongFacts(Facts):
    found: bool = False
    name: str | None = None
    tries: int = 0


@tool(grants="access", grants_when="found", sets=("found", "name", "tries"))
async def identify(code: str) -> dict[str, object]:
    """Find out who is calling."""
    return {}


@tool(requires="access", binds=("name",))
async def look_up(name: str) -> dict[str, object]:
    """Look something up."""
    return {}


@tool(effect="write", requires="access", binds=("name",), invalidates=(look_up,))
async def note(name: str, text: str) -> dict[str, object]:
    """Write something down."""
    return {}


Twelve = create_model("Twelve", __base__=Facts, **{f"f{at}": (bool, False) for at in range(12)})


@tool(sets=tuple(Twelve.model_fields))
async def decide(answer: str) -> dict[str, object]:
    """Decide."""
    return {}


def chain(length: int) -> Flow:
    """A flow of many phases, each with a prompt, tools, guards and words of its own, and ways on, back and around."""
    names = [f"part_{number}_of_{length}" for number in range(length)]
    return Flow(
        name="long",
        initial="door",
        facts=LongFacts,
        phases=(_door(names[0]), *(_part(names, at) for at in range(length)), _bye()),
        transitions=(
            Transition(on=Requested(name="finish", description="They are done."), to="bye"),
            Transition(on=Silent(), to="bye"),
        ),
        prompts={
            f"long/{name}.md": Prompt(f"Part {name}.\n---\n{{{{ name }}}}, {{{{ tries }}}} in {name}.")
            for name in names
        },
    )


def _door(first: str) -> Phase:
    into = Transition(on=identify, to=first, when={"found": True}, prefetch=(Prefetch(tool=look_up),))
    again = Transition(on=identify, to="bye", when={"found": False, "tries": {"ge": 3}})
    return Phase(name="door", guided=GuidedDialogue(), tools=(identify,), transitions=(into, again))


def _part(names: list[str], at: int) -> Phase:
    onward, back = names[(at + 1) % len(names)], names[at // 2]
    return Phase(
        name=names[at],
        prompt=f"long/{names[at]}.md",
        tools=(look_up, note),
        transitions=(
            Transition(
                on=Requested(name="onward", description="The next."),
                to=onward,
                say=f"{{{{ name }}}}, after {names[at]}.",
            ),
            Transition(on=look_up, to=back, when={"tries": {"lt": 2}}),
            Transition(on=look_up, to=onward, when={"tries": {"ge": 2, "lt": 5}}),
        ),
        guided=GuidedDialogue(
            opening=f"Part {names[at]}, {{{{ name }}}}.",
            intents=(
                Intent(
                    does=note,
                    examples=("write this down",),
                    slots=(Slot(name="text", expects=FreeSpeech(), ask=f"What, {{{{ name }}}}, in {names[at]}?"),),
                ),
                Intent(does="onward", examples=("go on",)),
            ),
            replies={"note": f"Written down in {names[at]}: {{{{ result.text }}}}."},
        ),
    )


def _bye() -> Phase:
    return Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())


def calls_made(work: Callable[[], object]) -> int:
    """Return how many Python functions are called while the work is done."""
    count = 0

    def seen(frame: FrameType, event: str, argument: object) -> None:
        nonlocal count
        count += event == "call"

    before = sys.getprofile()
    sys.setprofile(seen)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count


def test_a_flow_of_five_hundred_phases_is_right() -> None:
    flow = chain(500)
    assert len(flow.phases) == 502
    assert verify(flow) == []


def around_the_door(flow: Flow) -> Flow:
    """The flow with a mistake that breaks every phase: a way in for strangers."""
    way_in = Transition(on=Requested(name="around", description="Somehow."), to=flow.phases[1].name)
    door = flow.phases[0]
    door = door.model_copy(update={"transitions": (*door.transitions, way_in)})
    return flow.model_copy(update={"phases": (door, *flow.phases[1:])})


def misspelt(flow: Flow) -> Flow:
    """The flow with a mistake in every phase."""
    wrong = Transition(on=Silent(), to="part_nowhere")
    phases = tuple(phase.model_copy(update={"transitions": (wrong,)}) for phase in flow.phases)
    return flow.model_copy(update={"phases": phases})


def twelve_comparisons(length: int) -> Flow:
    """A flow in which every phase decides by twelve facts at a time, and leaves nothing open."""

    def all_of(number: int) -> AllOf:
        asked = [Compare(fact=f"f{at}", value=True) for at in range(12)]
        return AllOf(all_of=tuple(one if number >> at & 1 else Not(not_=one) for at, one in enumerate(asked)))

    def part(at: int) -> Phase:
        ways = tuple(Transition(on=decide, to="bye", when=all_of(at * 37 + number)) for number in range(4))
        onward = Transition(
            on=Requested(name="on", description="On."), to=f"part_{at + 1}" if at + 1 < length else "bye"
        )
        return Phase(name=f"part_{at}", guided=GuidedDialogue(), tools=(decide,), transitions=(*ways, onward))

    return Flow(name="long", initial="part_0", facts=Twelve, phases=(*map(part, range(length)), _bye()))


@pytest.mark.parametrize("broken", [around_the_door, misspelt])
def test_a_flow_that_is_broken_everywhere_is_not_much_more_work(broken: Callable[[Flow], Flow]) -> None:
    flow = chain(100)
    wrong = broken(flow)
    assert len(verify(wrong)) >= 100
    assert calls_made(lambda: verify(wrong)) < 3 * calls_made(lambda: verify(flow))


def test_guards_over_many_facts_are_not_tried_with_every_combination_of_them() -> None:
    flow = twelve_comparisons(10)
    assert verify(flow) == []
    assert calls_made(lambda: verify(flow)) < 10 * 4 * 2**12


def test_twice_as_many_phases_are_twice_the_work() -> None:
    small, large = chain(100), chain(200)
    verify(chain(200))  # what is made once per process, or per text, is made
    assert calls_made(lambda: verify(large)) < 2.1 * calls_made(lambda: verify(small))
