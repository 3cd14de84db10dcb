"""Facts: typed, closed, frozen, and the same after a journey through JSON."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ConfigDict, ValidationError

from voiceagent.errors import PhaseError
from voiceagent.spec.facts import Facts


class TravelFacts(Facts):
    verified: bool = False
    name: str | None = None
    born: date | None = None
    fare: Decimal | None = None
    seats: int = 1


def test_a_call_starts_without_knowing_anything() -> None:
    assert TravelFacts().known() == {"verified": False, "seats": 1}


def test_a_fact_without_a_default_is_refused_since_a_call_starts_without_it() -> None:
    with pytest.raises(PhaseError, match="a default, since a call starts without them: name") as wrong:

        class Bad(Facts):  # pyright: ignore[reportUnusedClass] - declaring it is what is refused
            name: str

    assert str(wrong.value).startswith(f"{__file__}:")


def test_a_fact_cannot_take_the_name_of_what_facts_can_do() -> None:
    with pytest.raises(PhaseError, match="a fact cannot be called known") as wrong:

        class Bad(Facts):  # pyright: ignore[reportUnusedClass] - declaring it is what is refused
            known: bool = False  # pyright: ignore[reportIncompatibleMethodOverride, reportAssignmentType] - the mistake it is about

    assert str(wrong.value).startswith(f"{__file__}:")


def test_facts_may_be_configured() -> None:
    class Titled(Facts):
        model_config: ClassVar[ConfigDict] = ConfigDict(title="Trip")
        name: str | None = None

    assert Titled.model_json_schema()["title"] == "Trip"


def test_facts_do_not_change_they_are_replaced() -> None:
    before = TravelFacts()
    after = before.with_values({"name": "Ada"})
    assert (before.name, after.name) == (None, "Ada")
    with pytest.raises(ValidationError):
        before.name = "Eve"  # pyright: ignore[reportAttributeAccessIssue] - the mistake it is about


def test_a_value_is_read_as_the_type_of_its_fact() -> None:
    facts = TravelFacts().with_values({"born": "1987-03-14", "fare": "19.90"})
    assert (facts.born, facts.fare) == (date(1987, 3, 14), Decimal("19.90"))


def test_an_unknown_fact_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(PhaseError, match="'verifed' is not a fact of this flow; did you mean 'verified'"):
        TravelFacts().with_values({"verifed": True})


def test_a_value_that_does_not_fit_is_refused_by_the_name_of_its_fact() -> None:
    with pytest.raises(PhaseError, match="fact born"):
        TravelFacts().with_values({"born": "tomorrow"})


def test_what_is_set_to_nothing_is_not_known() -> None:
    assert "name" not in TravelFacts(name="Ada").with_values({"name": None}).known()


_facts = st.builds(
    TravelFacts,
    verified=st.booleans(),
    name=st.none() | st.text(max_size=20),
    born=st.none() | st.dates(),
    fare=st.none() | st.decimals(allow_nan=False, allow_infinity=False, places=2),
    seats=st.integers(-(2**40), 2**40),
)


@given(_facts)
def test_facts_survive_a_journey_through_json(facts: TravelFacts) -> None:
    written = json.dumps(facts.known())
    assert TravelFacts().with_values(json.loads(written)) == facts
    assert list(facts.known()) == [name for name in TravelFacts.model_fields if name in facts.known()]


@given(_facts, _facts)
def test_replacing_some_values_leaves_the_others(facts: TravelFacts, others: TravelFacts) -> None:
    replaced = facts.with_values({"name": others.name, "fare": others.model_dump(mode="json")["fare"]})
    assert replaced == facts.model_copy(update={"name": others.name, "fare": others.fare})
