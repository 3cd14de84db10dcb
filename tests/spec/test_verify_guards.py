"""Guards are decided by trying every combination of facts that they can tell apart."""

from __future__ import annotations

from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal, NewType

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Guard, Not, holds
from voiceagent.spec.guided import GuidedDialogue
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Transition
from voiceagent.spec.tool import tool
from voiceagent.spec.verify import verify
from voiceagent.spec.verify.valuation import MOST_ATOMS, Valuations


class Size(Enum):
    SMALL = "small"
    LARGE = "large"


Table = NewType("Table", int)


class OrderFacts(Facts):
    paid: bool = False
    items: int = 0
    stars: int = Field(default=1, ge=1, le=5)
    total: Decimal | None = None
    due: date | None = None
    town: str | None = None
    kind: Literal["meal", "drink"] | None = None
    size: Size = Size.SMALL
    extras: tuple[str, ...] = ()
    weight: float = 0.0
    at: time | None = None
    seen: datetime | None = None
    code: Annotated[str, Field(pattern="^[A-Z]{3}$")] | None = None
    tip: Annotated[Decimal, Field(ge=100, multiple_of=5)] | None = None
    table: Table | None = None
    note: Any = None


ALL = frozenset(OrderFacts.model_fields)


@tool(sets=tuple(OrderFacts.model_fields))
async def look(order: str) -> dict[str, object]:
    """Look at an order."""
    return {}


BYE = Phase(name="bye", ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")


def on_look(*guards: object) -> Flow:
    """A phase with one transition on `look` for each guard."""
    edges = tuple(Transition.model_validate({"on": look, "to": "bye", "when": guard}) for guard in guards)
    talk = Phase(name="talk", guided=GuidedDialogue(), tools=(look,), transitions=(*edges, DONE))
    return Flow(name="shop", initial="talk", phases=(talk, BYE), facts=OrderFacts)


def verdicts(*guards: object) -> list[str]:
    return [finding.code for finding in verify(on_look(*guards))]


@pytest.mark.parametrize(
    "guard",
    [
        {"items": {"gt": 3, "lt": 5}},
        {"total": {"gt": "1.50", "lt": "1.51"}},
        {"weight": {"gt": 1.0, "lt": 1.1}},
        {"due": {"gt": "2025-03-01", "lt": "2025-03-03"}},
        {"due": {"set": True}},
        {"town": {"gt": "Ely", "lt": "Elyz"}},
        {"town": {"ne": "Ely", "set": True}},
        {"kind": {"in": ["meal", "dessert"]}},
        {"stars": {"gt": 4}},
        {"extras": {"ne": None}},
        {"extras": {"ne": ["cheese"], "set": True}},
        {"at": {"gt": "11:00", "lt": "12:00"}},
        {"at": {"gt": "23:00"}},
        {"seen": {"gt": "2025-03-01T00:00:00", "lt": "2026-03-01T00:00:00"}},
        {"code": {"ne": "ABC", "set": True}},
        {"tip": {"gt": 50}},
        {"tip": {"gt": 101, "lt": 106}},
        {"table": {"lt": 5}},
        {"note": {"gt": 3, "lt": 4}},
        {"total": {"gt": "8e999999", "lt": "9e999999"}},
        {"any_of": [{"items": {"lt": 0}}, {"paid": True}]},
        {"not": {"paid": True, "items": 0}},
    ],
)
def test_a_guard_that_some_facts_fit_is_possible(guard: object) -> None:
    assert verdicts(guard) == []


@pytest.mark.parametrize(
    "guard",
    [
        {"items": {"gt": 3, "lt": 4}},
        {"total": {"gt": "2", "lt": "2"}},
        {"due": {"gt": "2025-03-01", "lt": "2025-03-02"}},
        {"kind": "dessert"},
        {"kind": {"in": []}},
        {"stars": {"gt": 5}},
        {"stars": {"set": False}},
        {"town": {"in": "Ely"}},
        {"due": "2025-03-01"},
        {"extras": {"lt": 3}},
        {"tip": {"lt": 100}},
        {"at": {"gt": "11:00", "lt": "11:00"}},
        {"any_of": []},
        {"all_of": [{"paid": True}, {"not": {"paid": True}}]},
    ],
)
def test_a_guard_that_no_facts_fit_is_dead(guard: object) -> None:
    assert verdicts(guard) == ["dead-guard"]


@pytest.mark.parametrize(
    ("guards", "wrong"),
    [
        ([{"paid": True}, {"paid": False}, None], ["shadowed-guard"]),
        ([{"paid": True}, None], []),
        ([None, {"paid": True}], ["shadowed-guard"]),
        ([{"items": {"lt": 3}}, {"items": {"ge": 3}}, {"paid": True}], ["shadowed-guard"]),
        ([{"items": {"lt": 3}}, {"items": {"gt": 3}}, {"items": 3}], []),
        ([{"items": {"lt": 3}}, {"items": {"gt": 3}}, {"items": {"in": [2, 4]}}], ["shadowed-guard"]),
        ([{"kind": "meal"}, {"kind": "drink"}, {"kind": {"set": True}}], ["shadowed-guard"]),
        ([{"kind": "meal"}, {"kind": "drink"}, {"kind": {"set": False}}], []),
        ([{"paid": True}, {"paid": True, "items": 3}], ["shadowed-guard"]),
        ([{"paid": True, "items": 3}, {"paid": True}], []),
    ],
)
def test_a_transition_that_is_always_beaten_is_found(guards: list[object], wrong: list[str]) -> None:
    assert verdicts(*guards) == wrong


def test_times_with_and_without_a_zone_are_ordered_among_themselves() -> None:
    assert verdicts({"seen": {"lt": "2025-03-01T00:00:00Z"}}, {"seen": {"gt": "2025-03-01T00:00:00"}}) == []


def test_the_message_names_the_guard_and_what_comes_before() -> None:
    dead, shadowed = verify(on_look({"items": {"lt": 2, "gt": 5}}, {"paid": True}, {"paid": True, "town": "Ely"}))
    assert "on the success of 'look' to 'bye' is never taken: no facts fit its guard `items < 2 and items > 5`" in str(
        dead
    )
    assert "before it always comes that to 'bye'" in shadowed.message


def test_a_python_guard_counts_as_unknown_and_is_reported() -> None:
    def lucky(facts: Facts) -> bool:
        return True

    # It may be false, so those after it are possible; it may be true, so it is possible itself.
    findings = verify(on_look(lucky, {"paid": True}, lucky, None))
    assert {(finding.code, finding.severity) for finding in findings} == {("unknown-guard", "warning")}
    assert "lucky" in findings[0].message
    assert verdicts(lucky, {"paid": True}, {"paid": False}, lucky) == ["shadowed-guard", "unknown-guard"]


def test_too_many_comparisons_are_not_decided() -> None:
    few = {"any_of": [{"items": n} for n in range(MOST_ATOMS)]}
    many = {"any_of": [{"items": n} for n in range(MOST_ATOMS + 1)]}
    assert verdicts(few) == []
    findings = verify(on_look(many))
    assert [(finding.code, finding.severity) for finding in findings] == [("not-decided", "warning")]
    assert "more than 12 comparisons" in findings[0].message


def test_comparisons_that_have_nothing_to_do_with_each_other_are_counted_apart() -> None:
    some = {"any_of": [{"items": n} for n in range(8)]}
    others = {"any_of": [{"stars": n} for n in range(1, 5)]}
    assert verdicts({"all_of": [some, others]}) == []  # twelve, in one guard
    assert verdicts(some, others, {"paid": True}, {"town": "Ely"}) == []  # more than twelve, in four


def test_what_is_shadowed_by_one_guard_is_found_among_others_that_are_not_decided() -> None:
    many = {"any_of": [{"items": n} for n in range(MOST_ATOMS + 1)]}
    assert verdicts(many, {"paid": True}, {"paid": True, "town": "Ely"}) == ["not-decided", "shadowed-guard"]


# --- against every combination of values -----------------------------------------------------------------------------

_comparisons = st.one_of(
    st.builds(Compare, fact=st.just("paid"), is_=st.sampled_from(["eq", "ne"]), value=st.booleans()),
    st.builds(
        Compare,
        fact=st.just("items"),
        is_=st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge"]),
        value=st.integers(-2, 2),
    ),
    st.builds(
        Compare, fact=st.just("kind"), is_=st.just("in"), value=st.lists(st.sampled_from(["meal", "drink", None]))
    ),
    st.builds(Compare, fact=st.just("town"), is_=st.just("set"), value=st.booleans()),
)
_guards: st.SearchStrategy[Guard] = st.recursive(
    _comparisons,
    lambda inner: st.one_of(
        st.builds(AllOf, all_of=st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, any_of=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, not_=inner),
    ),
    max_leaves=4,
)
EVERYTHING = [
    OrderFacts(paid=paid, items=items, kind=kind, town=town)
    for paid in (True, False)
    for items in range(-4, 5)
    for kind in (None, "meal", "drink")
    for town in (None, "Ely")
]


@settings(deadline=None)
@given(st.lists(st.tuples(_guards, st.booleans()), max_size=3))
def test_guards_are_satisfiable_if_and_only_if_some_facts_fit_them(clauses: list[tuple[Guard, bool]]) -> None:
    fitting = any(all(holds(guard, facts) is wanted for guard, wanted in clauses) for facts in EVERYTHING)
    assert Valuations(OrderFacts).satisfiable(clauses, ALL) in (fitting, None)
