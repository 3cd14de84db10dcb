"""Flows that are right by construction, for property tests, and ways to change one thing in them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import cast

from hypothesis import assume
from hypothesis import strategies as st

from voiceagent.spec.declared import Declared
from voiceagent.spec.expects import FreeSpeech
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import GuidedDialogue, Intent, Slot
from voiceagent.spec.phase import (
    HangUpAfter,
    Phase,
    Requested,
    Say,
    Silent,
    TimedOut,
    TransferTo,
    Transition,
    TurnLimitReached,
)
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool, tool


class HouseFacts(Facts):
    met: bool = False
    name: str | None = None
    tries: int = 0
    secret: str | None = None
    """Nothing ever sets it."""


@tool(grants="access", grants_when="met", sets=("met", "name", "tries"))
async def meet(code: str) -> dict[str, object]:
    """Find out who is calling."""
    return {}


@tool(requires="access", binds=("name",))
async def look(name: str) -> dict[str, object]:
    """Look something up for them."""
    return {}


@tool
async def hours(day: str = "today") -> dict[str, object]:
    """When the house is open."""
    return {}


@tool(effect="write", requires="access", binds=("name",), invalidates=(look,))
async def note(name: str, text: str) -> dict[str, object]:
    """Write something down."""
    return {}


@tool(effect="irreversible", requires="access", confirm="Shall I throw away {{ thing }}?")
async def discard(thing: str) -> dict[str, object]:
    """Throw something away."""
    return {}


SLOTS = {"note": "text", "discard": "thing", "meet": "code"}


def move(name: str, to: str) -> Transition:
    return Transition(on=Requested(name=name, description="The caller wants it."), to=to)


# --- flows that are right --------------------------------------------------------------------------------------------


@st.composite
def right_flows(draw: st.DrawFn) -> Flow:
    """A door at which one is met, rooms behind it with ways between them, a colleague and an end."""
    rooms = [f"room_{number}" for number in range(draw(st.integers(2, 5)))]
    phases = [_door(draw, rooms[0]), *(_room(draw, rooms, at) for at in range(len(rooms)))]
    return Flow(
        name="house",
        initial="door",
        facts=HouseFacts,
        phases=(
            *phases,
            Phase(name="colleague", on_enter=Say(text="One moment."), ends=TransferTo(target="desk")),
            Phase(name="end", on_enter=Say(text="Goodbye."), ends=HangUpAfter()),
        ),
        tools=(hours,) if draw(st.booleans()) else (),
        transitions=(
            move("help", "colleague"),
            Transition(on=Silent(), to="end"),
            Transition(on=TurnLimitReached(), to="colleague"),
        ),
        reaches_human=draw(st.booleans()),
        prompts={"house/door.md": Prompt("Ask."), **{f"house/{room}.md": _prompt(draw) for room in rooms}},
    )


def _door(draw: st.DrawFn, first: str) -> Phase:
    return Phase(
        name="door",
        prompt="house/door.md",
        tools=(meet,),
        transitions=(
            Transition(on=meet, to=first, when={"met": True}, prefetch=(Prefetch(tool=look),)),
            Transition(on=meet, to="colleague", when={"met": False, "tries": {"ge": draw(st.integers(1, 5))}}),
        ),
        max_turns=draw(st.sampled_from([None, 5])),
        guided=GuidedDialogue(opening="Who is there?", intents=(intent_for(meet),), replies={"meet": "No."}),
    )


def _room(draw: st.DrawFn, rooms: Sequence[str], at: int) -> Phase:
    onward = (*rooms, "end")[at + 1]
    ways = dict.fromkeys([onward, *draw(st.lists(st.sampled_from(rooms), max_size=2))])
    tools = (
        (look, note, discard) if at == 0 else tuple(draw(st.lists(st.sampled_from([look, note, discard]), unique=True)))
    )
    few = draw(st.integers(1, 3))
    by_tool = (
        Transition(on=look, to=onward, when={"tries": {"lt": few}}),
        Transition(on=look, to="end", when={"tries": {"ge": few}, "met": True}),
    )
    late = (Transition(on=TimedOut(), to="end"),) if draw(st.booleans()) else ()
    return Phase(
        name=rooms[at],
        prompt=f"house/{rooms[at]}.md",
        tools=tools,
        transitions=(*(move(f"to_{to}", to) for to in ways), *(by_tool if look in tools else ()), *late),
        timeout_ms=60_000 if late else None,
        guided=GuidedDialogue(
            opening=draw(st.sampled_from([None, "Here we are, {{ name }}."])),
            intents=(*map(intent_for, tools), *(Intent(does=f"to_{to}", examples=(f"go to {to}",)) for to in ways)),
            replies={used.name: "{{ result }} for {{ name }} after {{ tries }}" for used in tools},
            failures={used.name: "{{ reason }}" for used in tools},
        ),
    )


def intent_for(does: Tool) -> Intent:
    name = SLOTS.get(does.name)
    slots = (Slot(name=name, expects=FreeSpeech(), ask="Which?"),) if name else ()
    return Intent(does=does, examples=(f"please {does.name}",), slots=slots)


def _prompt(draw: st.DrawFn) -> Prompt:
    late = ["", "\n---\n{{ name }}", "\n---\n{% if secret is defined %}{{ secret }}{% endif %}{{ tries }}"]
    return Prompt("Be kind." + draw(st.sampled_from(late)))


# --- changing one thing -----------------------------------------------------------------------------------------------


def pick(data: st.DataObject, items: Sequence[Phase]) -> Phase:
    assume(items)
    return data.draw(st.sampled_from(list(items)), label="phase")


def rooms_of(flow: Flow) -> list[Phase]:
    return [phase for phase in flow.phases if phase.name.startswith("room")]


def with_phase(flow: Flow, phase: Phase, **changes: object) -> Flow:
    """Return the flow with one of its phases changed."""
    changed = phase.model_copy(update=changes)
    return flow.model_copy(update={"phases": tuple(changed if old is phase else old for old in flow.phases)})


def with_dialogue(flow: Flow, phase: Phase, **changes: object) -> Flow:
    assert phase.guided is not None
    return with_phase(flow, phase, guided=phase.guided.model_copy(update=changes))


def with_edge(flow: Flow, phase: Phase, edge: Transition, **changes: object) -> Flow:
    changed = edge.model_copy(update=changes)
    return with_phase(flow, phase, transitions=tuple(changed if old is edge else old for old in phase.transitions))


def with_tool(flow: Flow, used: Tool, **changes: object) -> Flow:
    """Return the flow with one of its tools changed wherever it is named."""
    changed = dataclasses.replace(used, **changes)  # pyright: ignore[reportArgumentType] - the changes are fields of a tool

    def mapped(value: object) -> object:
        match value:
            case Tool():
                return changed if value is used else value
            case Declared():
                return value.model_copy(
                    update={name: mapped(getattr(value, name)) for name in type(value).model_fields}
                )
            case tuple():
                return tuple(mapped(part) for part in cast("tuple[object, ...]", value))
            case Mapping():
                return {key: mapped(part) for key, part in cast("Mapping[object, object]", value).items()}
            case _:
                return value

    return cast("Flow", mapped(flow))
