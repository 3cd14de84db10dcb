"""Guards: comparisons over facts, and nothing that a model or a caller could say."""

from __future__ import annotations

from datetime import date
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from voiceagent.spec.facts import Facts
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Guard, Not, When, facts_read_by, holds


class OrderFacts(Facts):
    paid: bool = False
    items: int = 0
    total: Decimal | None = None
    due: date | None = None
    town: str | None = None


_when = TypeAdapter[Guard](When)  # pyright: ignore[reportArgumentType] - an annotated union is a type too
SOME = OrderFacts(paid=True, items=3, total=Decimal("19.90"), due=date(2025, 3, 1))


@pytest.mark.parametrize(
    ("guard", "permits"),
    [
        ({"paid": True}, True),
        ({"paid": False}, False),
        ({"items": 3, "paid": True}, True),
        ({"items": 4, "paid": True}, False),
        ({"items": {"ge": 3, "lt": 4}}, True),
        ({"items": {"gt": 3}}, False),
        ({"items": {"ne": 3}}, False),
        ({"items": {"in": [1, 3]}}, True),
        ({"items": {"in": 3}}, False),
        ({"total": {"lt": "20"}}, True),
        ({"total": {"ge": 20}}, False),
        ({"due": {"le": "2025-03-01"}}, True),
        ({"due": {"lt": "2025-03-01"}}, False),
        ({"town": {"set": True}}, False),
        ({"town": {"set": False}}, True),
        ({"due": {"set": True}}, True),
        ({"not": {"paid": True}}, False),
        ({"any_of": [{"paid": False}, {"items": 3}]}, True),
        ({"all_of": [{"paid": True}, {"items": 4}]}, False),
        ({"any_of": []}, False),
        ({"all_of": []}, True),
        ({}, True),
    ],
)
def test_the_short_form_means_what_it_says(guard: dict[str, object], *, permits: bool) -> None:
    assert holds(_when.validate_python(guard), SOME) is permits


@pytest.mark.parametrize("operator", ["lt", "le", "gt", "ge"])
def test_what_is_not_known_is_neither_more_nor_less(operator: str) -> None:
    assert not holds(_when.validate_python({"total": {operator: 5}}), OrderFacts())
    assert not holds(_when.validate_python({"items": {operator: None}}), SOME)


def test_things_without_an_order_permit_nothing() -> None:
    assert not holds(_when.validate_python({"items": {"lt": "many"}}), SOME)
    assert not holds(_when.validate_python({"due": {"gt": [1]}}), SOME)


def test_no_guard_permits() -> None:
    assert holds(None, SOME)


def test_a_python_predicate_is_asked() -> None:
    assert holds(lambda facts: facts == SOME, SOME)
    assert not holds(lambda facts: facts == SOME, OrderFacts())


def test_a_predicate_that_raises_does_not_permit() -> None:
    def broken(facts: Facts) -> bool:
        raise KeyError(facts)

    assert not holds(broken, SOME)


def test_a_predicate_permits_with_true_and_not_with_what_looks_like_it() -> None:
    assert not holds(lambda _: 1, SOME)  # pyright: ignore[reportArgumentType] - an author's mistake
    assert not holds(lambda _: "yes", SOME)  # pyright: ignore[reportArgumentType] - the mistake it is about


def test_the_facts_that_a_guard_reads_are_known_before_any_call() -> None:
    guard = _when.validate_python({"any_of": [{"paid": True, "items": 1}, {"not": {"town": "Ely"}}, {"paid": False}]})
    assert facts_read_by(guard) == ("paid", "items", "town")
    assert facts_read_by(lambda _: True) == ()
    assert facts_read_by(None) == ()


def test_a_guard_with_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        _when.validate_python(Compare.model_validate({"fact": "paid", "iz": "eq"}))


def test_an_unknown_operator_is_refused_with_the_nearest_one() -> None:
    with pytest.raises(ValidationError, match=r"'less' is no operator; did you mean 'le'\? \(known: eq, ne, lt"):
        _when.validate_python({"items": {"less": 2}})


@pytest.mark.parametrize("wanted", [{"name": "Ely"}, {"lt": 3, "name": "Ely"}, {}])
def test_an_object_is_never_taken_for_a_value_by_itself(wanted: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match="operator"):
        _when.validate_python({"town": wanted})


def test_an_object_is_compared_by_saying_so() -> None:
    assert _when.validate_python({"town": {"eq": {"name": "Ely"}}}) == Compare(fact="town", value={"name": "Ely"})


_comparisons = st.builds(
    Compare,
    fact=st.sampled_from(list(OrderFacts.model_fields)),
    is_=st.sampled_from(["eq", "ne", "lt", "le", "gt", "ge", "in", "set"]),
    value=st.sampled_from([None, True, False, 0, 3, 2.5, "3", "2025-03-01", "", [], [3, None], {"a": 1}]),
)
_guards: st.SearchStrategy[Guard] = st.recursive(
    _comparisons,
    lambda inner: st.one_of(
        st.builds(AllOf, all_of=st.lists(inner, max_size=3).map(tuple)),
        st.builds(AnyOf, any_of=st.lists(inner, max_size=3).map(tuple)),
        st.builds(Not, not_=inner),
    ),
    max_leaves=6,
)
_facts = st.sampled_from([OrderFacts(), SOME, OrderFacts(town="Ely", items=-1)])


@given(_guards, _facts)
def test_every_guard_answers_yes_or_no_about_any_facts(guard: Guard, facts: OrderFacts) -> None:
    assert holds(guard, facts) in (True, False)
    assert holds(Not(not_=guard), facts) is not holds(guard, facts)


@given(_guards, _facts)
def test_a_guard_depends_only_on_the_facts_that_it_reads(guard: Guard, facts: OrderFacts) -> None:
    read = facts_read_by(guard)
    others = {name: getattr(SOME, name) for name in OrderFacts.model_fields if name not in read}
    assert holds(guard, facts.model_copy(update=others)) is holds(guard, facts)


@given(_guards)
def test_a_guard_survives_being_written_down(guard: Guard) -> None:
    assert _when.validate_python(guard) == guard
