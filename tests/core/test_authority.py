"""Authority: every tool in every phase, with and without what it takes."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from voiceagent.core.authority import Authority, Refused, decide
from voiceagent.core.ids import Epoch
from voiceagent.spec.flow import Flow

PHASES = ("welcome", "identify", "desk", "farewell", "nurse")
OFFERED = {
    "check_patient": ("identify",),
    "list_visits": ("desk",),
    "read_visit": ("desk",),
    "add_note": ("desk",),
    "cancel_visit": ("desk",),
    "opening_hours": ("welcome", "identify", "desk"),
    "no_such_tool": (),
}
EVERY_PAIR = tuple(product(PHASES, OFFERED))
NOW = Epoch(3)


def authority(phase: str = "desk", **changed: object) -> Authority:
    """A caller who may do everything, in this phase."""
    everything = Authority(
        phase=phase,
        epoch=NOW,
        swapping=False,
        grants=("records",),
        known_facts=("recognised", "patient_id"),
        tool_calls=0,
        ended=False,
    )
    return replace(everything, **changed)  # pyright: ignore[reportArgumentType] - names of its own fields


def reason(flow: Flow, name: str, held: Authority, epoch: Epoch = NOW) -> str:
    """Why the tool may not run."""
    decision = decide(flow, held, name=name, epoch=epoch)
    assert isinstance(decision, Refused)
    return decision.reason


@pytest.mark.parametrize(("phase", "name"), EVERY_PAIR)
def test_a_tool_runs_only_in_a_phase_that_offers_it(clinic_flow: Flow, phase: str, name: str) -> None:
    decision = decide(clinic_flow, authority(phase), name=name, epoch=NOW)
    if phase in OFFERED[name]:
        assert not isinstance(decision, Refused)
        assert decision.name == name
    else:
        assert decision == Refused(f"there is no function {name!r} here")


@pytest.mark.parametrize(("phase", "name"), EVERY_PAIR)
def test_without_its_grant_no_tool_that_requires_one_runs(clinic_flow: Flow, phase: str, name: str) -> None:
    decision = decide(clinic_flow, authority(phase, grants=("something else",)), name=name, epoch=NOW)
    free = phase in OFFERED[name] and name in ("check_patient", "opening_hours")
    assert isinstance(decision, Refused) is not free


@pytest.mark.parametrize(("phase", "name"), EVERY_PAIR)
@pytest.mark.parametrize("changed", [{"ended": True}, {"swapping": True}, {"epoch": Epoch(4)}, {"epoch": Epoch(2)}])
def test_after_the_phase_or_the_call_nothing_runs(
    clinic_flow: Flow, phase: str, name: str, changed: dict[str, object]
) -> None:
    assert isinstance(decide(clinic_flow, authority(phase, **changed), name=name, epoch=NOW), Refused)


def test_the_reason_is_in_words_that_a_model_can_use(clinic_flow: Flow) -> None:
    assert reason(clinic_flow, "list_visits", authority(grants=())) == (
        "list_visits is not permitted: the caller has no records"
    )
    assert reason(clinic_flow, "list_visits", authority(known_facts=())) == (
        "list_visits is not possible yet: patient_id not established"
    )
    assert reason(clinic_flow, "list_visits", authority(swapping=True)) == (
        "list_visits belongs to a part of the call that is over"
    )
    assert reason(clinic_flow, "list_visits", authority(ended=True)) == "the call is over"


def test_a_bound_fact_has_to_be_known(clinic_flow: Flow) -> None:
    assert "patient_id" in reason(clinic_flow, "cancel_visit", authority(known_facts=("recognised",)))


def test_a_call_has_only_so_many_tools(clinic_flow: Flow) -> None:
    most = clinic_flow.limits.max_tool_calls
    assert not isinstance(decide(clinic_flow, authority(tool_calls=most - 1), name="list_visits", epoch=NOW), Refused)
    assert "no more functions" in reason(clinic_flow, "list_visits", authority(tool_calls=most))


_authorities = st.builds(
    Authority,
    phase=st.sampled_from(PHASES),
    epoch=st.integers(1, 3).map(Epoch),
    swapping=st.booleans(),
    grants=st.lists(st.sampled_from(["records", "other"])).map(tuple),
    known_facts=st.lists(st.sampled_from(["patient_id", "recognised"])).map(tuple),
    tool_calls=st.integers(0, 10),
    ended=st.booleans(),
)


@given(_authorities, st.sampled_from([*OFFERED, "", "__class__"]), st.integers(1, 3).map(Epoch))
def test_what_is_permitted_is_permitted_for_every_reason(
    clinic_flow: Flow, held: Authority, name: str, epoch: Epoch
) -> None:
    decision = decide(clinic_flow, held, name=name, epoch=epoch)
    if isinstance(decision, Refused):
        assert decision.reason
        return
    assert held.phase in OFFERED[name]
    assert (held.ended, held.swapping, held.epoch) == (False, False, epoch)
    assert set(decision.requires) <= set(held.grants)
    assert set(decision.binds.values()) <= set(held.known_facts)
    assert held.tool_calls < clinic_flow.limits.max_tool_calls
