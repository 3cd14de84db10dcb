"""Prefetch: fetched before anybody asks, served to whoever asks, and to nobody else."""

from __future__ import annotations

import pytest
from pydantic import JsonValue

from voiceagent.core.ids import FetchId, ToolCallId
from voiceagent.core.prefetch import Answer, Joined, PlannedFetch, PrefetchPlan
from voiceagent.spec.facts import Facts
from voiceagent.spec.prefetch import FromFact, FromItem, Prefetch
from voiceagent.spec.tool import tool


class PlanFacts(Facts):
    reader: str | None = None
    branch: str | None = None


@tool(binds=("reader",), fresh_ms=60_000)
async def list_loans(reader: str) -> list[object]:
    """The books on loan."""
    return []


@tool(binds=("reader",), fresh_ms=30_000)
async def read_loan(reader: str, book: str) -> dict[str, object]:
    """One book on loan."""
    return {}


@tool
async def opening_hours(branch: str) -> dict[str, object]:
    """When a branch is open."""
    return {}


@tool(effect="write", invalidates=(list_loans,))
async def renew_all() -> None:
    """Renew all loans."""


READER = PlanFacts(reader="r1", branch="Ely")
LOANS = Prefetch(tool=list_loans, deadline_ms=5_000)
EACH_LOAN = Prefetch(tool=read_loan, after=list_loans, arguments={"book": FromItem(field="book")}, at_most=3)
CALL = ToolCallId("t1")


def recognised() -> PrefetchPlan:
    """A plan of a caller who has been recognised."""
    plan = PrefetchPlan()
    plan.identity_established()
    return plan


def fetched(plan: PrefetchPlan, result: JsonValue = None, *, at_ms: int = 1_300) -> PlannedFetch:
    """Fetch the loans; they take 300 ms."""
    fetch = plan.plan([LOANS], READER, at_ms - 300)[0]
    plan.finished(fetch.fetch, result, READER, at_ms)
    return fetch


def test_a_fetch_starts_at_once_with_its_bound_arguments_and_a_deadline() -> None:
    (fetch,) = recognised().plan([LOANS], READER, 1_000)
    assert (fetch.tool, fetch.arguments, fetch.deadline_ms) == (list_loans, {"reader": "r1"}, 6_000)


def test_an_argument_may_be_taken_from_a_fact_or_written_down() -> None:
    from_fact = Prefetch(tool=opening_hours, arguments={"branch": FromFact(fact="branch")})
    written = Prefetch(tool=opening_hours, arguments={"branch": "Cambridge"})
    planned = recognised().plan([from_fact, written], READER, 0)
    assert [fetch.arguments for fetch in planned] == [{"branch": "Ely"}, {"branch": "Cambridge"}]


def test_a_fact_that_is_not_known_means_that_nothing_is_fetched() -> None:
    assert recognised().plan([LOANS], PlanFacts(), 0) == []


# --- who asks is served ----------------------------------------------------------------------------------------------


def test_who_asks_after_the_answer_is_served_from_memory() -> None:
    plan = recognised()
    fetch = fetched(plan, ["Emma"])
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 2_000) == Answer(fetch.fetch, ["Emma"], saved_ms=300)


def test_who_asks_before_the_answer_waits_for_it_and_nothing_is_fetched_twice() -> None:
    plan = recognised()
    (fetch,) = plan.plan([LOANS], READER, 1_000)
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_100) == Joined(fetch.fetch)
    more, answers = plan.finished(fetch.fetch, ["Emma"], READER, 1_300)
    assert more == []
    assert answers == [(CALL, Answer(fetch.fetch, ["Emma"], saved_ms=100))]


def test_the_order_of_arguments_does_not_matter() -> None:
    plan = recognised()
    plan.store(read_loan, {"reader": "r1", "book": "Emma"}, 5, 100)
    assert isinstance(plan.look_up(CALL, read_loan, {"book": "Emma", "reader": "r1"}, 0), Answer)


def test_other_arguments_are_another_question() -> None:
    plan = recognised()
    fetched(plan)
    assert plan.look_up(CALL, list_loans, {"reader": "r2"}, 2_000) is None


def test_who_no_longer_waits_is_not_answered() -> None:
    plan = recognised()
    (fetch,) = plan.plan([LOANS], READER, 1_000)
    plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_100)
    plan.leave(CALL)
    assert plan.finished(fetch.fetch, [], READER, 1_300) == ([], [])


def test_who_waited_for_a_fetch_that_failed_asks_for_themselves() -> None:
    plan = recognised()
    (fetch,) = plan.plan([LOANS], READER, 1_000)
    plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_100)
    assert plan.failed(fetch.fetch, 1_300) == ([], [CALL])


def test_a_failure_is_not_remembered() -> None:
    plan = recognised()
    (fetch,) = plan.plan([LOANS], READER, 1_000)
    plan.failed(fetch.fetch, 1_300)
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_400) is None
    assert len(plan.plan([LOANS], READER, 1_500)) == 1


@pytest.mark.parametrize(("at_ms", "fresh"), [(1_300, True), (61_299, True), (61_300, False), (99_999, False)])
def test_an_answer_is_served_as_long_as_it_is_fresh(at_ms: int, *, fresh: bool) -> None:
    plan = recognised()
    fetched(plan, [], at_ms=1_300)
    assert (plan.look_up(CALL, list_loans, {"reader": "r1"}, at_ms) is not None) is fresh


def test_the_answer_to_a_question_of_the_models_own_is_kept_too() -> None:
    plan = recognised()
    plan.store(list_loans, {"reader": "r1"}, ["Emma"], 400)
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 100) == Answer(FetchId("f0"), ["Emma"], saved_ms=400)


def test_before_the_caller_is_recognised_nothing_is_kept() -> None:
    plan = PrefetchPlan()
    plan.store(list_loans, {"reader": "r1"}, ["Emma"], 400)
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 100) is None


def test_a_write_is_never_answered_from_memory() -> None:
    plan = recognised()
    plan.store(renew_all, {}, "done", 100)
    assert plan.look_up(CALL, renew_all, {}, 100) is None


# --- one fetch after another -----------------------------------------------------------------------------------------


def test_what_depends_on_an_answer_is_fetched_for_each_of_its_items() -> None:
    plan = recognised()
    (first,) = plan.plan([LOANS, EACH_LOAN], READER, 0)
    books: JsonValue = [{"book": "Emma"}, {"other": 1}, "Ulysses"]
    more, _ = plan.finished(first.fetch, books, READER, 300)
    assert [fetch.arguments for fetch in more] == [{"reader": "r1", "book": "Emma"}]


def test_only_so_many_items_are_followed() -> None:
    plan = recognised()
    (first,) = plan.plan([LOANS, EACH_LOAN], READER, 0)
    more, _ = plan.finished(first.fetch, [{"book": str(number)} for number in range(9)], READER, 300)
    assert len(more) == 3


def test_the_items_may_stand_in_a_field_of_the_answer() -> None:
    plan = recognised()
    inside = EACH_LOAN.model_copy(update={"for_each": "loans"})
    (first,) = plan.plan([LOANS, inside], READER, 0)
    more, _ = plan.finished(first.fetch, {"loans": [{"book": "Emma"}]}, READER, 300)
    assert len(more) == 1


@pytest.mark.parametrize("result", [None, "text", 5, {}, {"loans": 3}, [[]]])
def test_an_answer_of_another_shape_has_no_items(result: JsonValue) -> None:
    plan = recognised()
    (first,) = plan.plan([LOANS, EACH_LOAN], READER, 0)
    assert plan.finished(first.fetch, result, READER, 300)[0] == []


def test_the_same_question_is_fetched_once() -> None:
    plan = recognised()
    assert len(plan.plan([LOANS, LOANS], READER, 0)) == 1
    assert plan.plan([LOANS], READER, 10) == []


def test_only_four_fetches_run_at_once_and_the_next_starts_when_one_is_done() -> None:
    plan = recognised()
    many = [Prefetch(tool=opening_hours, arguments={"branch": str(number)}) for number in range(6)]
    started = plan.plan(many, READER, 0)
    assert len(started) == 4
    (fifth,), _ = plan.finished(started[0].fetch, {}, READER, 100)
    (sixth,), _ = plan.failed(started[1].fetch, 100)
    assert [fifth.arguments, sixth.arguments] == [{"branch": "4"}, {"branch": "5"}]


def test_a_model_that_is_quicker_than_the_queue_takes_the_place_of_the_fetch() -> None:
    plan = recognised()
    many = [Prefetch(tool=opening_hours, arguments={"branch": str(number)}) for number in range(5)]
    started = plan.plan(many, READER, 0)
    assert plan.look_up(CALL, opening_hours, {"branch": "4"}, 50) is None
    assert plan.finished(started[0].fetch, {}, READER, 100)[0] == []


# --- what makes an answer worthless ----------------------------------------------------------------------------------


def test_a_write_drops_the_answers_that_it_makes_stale_and_no_others() -> None:
    plan = recognised()
    fetched(plan)
    plan.store(read_loan, {"reader": "r1", "book": "Emma"}, {}, 100)
    plan.written(renew_all)
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 2_000) is None
    assert plan.look_up(CALL, read_loan, {"reader": "r1", "book": "Emma"}, 2_000) is not None


def test_a_fetch_that_began_before_a_write_is_not_kept_and_not_joined_after_it() -> None:
    plan = recognised()
    (fetch,) = plan.plan([LOANS], READER, 1_000)
    plan.written(renew_all)
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_100) is None
    plan.finished(fetch.fetch, ["old"], READER, 1_300)
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_400) is None


def test_who_joined_before_the_write_is_still_answered() -> None:
    plan = recognised()
    (fetch,) = plan.plan([LOANS], READER, 1_000)
    plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_100)
    plan.written(renew_all)
    assert [call for call, _ in plan.finished(fetch.fetch, ["old"], READER, 1_300)[1]] == [CALL]


def test_a_read_of_the_models_own_knows_whether_a_write_came_between() -> None:
    plan = recognised()
    before = plan.version_of(list_loans)
    plan.written(renew_all)
    assert plan.version_of(list_loans) != before


def test_another_identity_is_served_nothing_that_was_fetched_before() -> None:
    plan = recognised()
    fetched(plan)
    (under_way,) = plan.plan([Prefetch(tool=opening_hours, arguments={"branch": "Ely"})], READER, 1_400)
    plan.identity_established()
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 2_000) is None
    assert plan.look_up(CALL, opening_hours, {"branch": "Ely"}, 2_000) is None
    plan.finished(under_way.fetch, {}, READER, 2_100)
    assert plan.look_up(CALL, opening_hours, {"branch": "Ely"}, 2_200) is None


def test_what_was_being_fetched_for_another_identity_is_not_begun_again() -> None:
    plan = recognised()
    (under_way,) = plan.plan([LOANS], READER, 1_000)
    assert plan.under_way(2_000) == [PlannedFetch(under_way.fetch, list_loans, under_way.arguments, 7_000)]
    plan.identity_established()
    assert plan.under_way(3_000) == []


def test_a_fetch_that_nobody_knows_is_not_believed() -> None:
    plan = recognised()
    assert plan.finished(FetchId("f99"), ["forged"], READER, 100) == ([], [])
    assert plan.failed(FetchId("f99"), 100) == ([], [])


def test_after_the_call_everything_is_forgotten() -> None:
    plan = recognised()
    fetched(plan)
    (under_way,) = plan.plan([Prefetch(tool=opening_hours, arguments={"branch": "Ely"})], READER, 1_400)
    plan.close()
    assert plan.finished(under_way.fetch, {}, READER, 1_500) == ([], [])
    assert plan.look_up(CALL, list_loans, {"reader": "r1"}, 1_600) is None


def test_what_was_answered_is_told_as_long_as_it_is_fresh_true_and_of_the_same_caller() -> None:
    plan = recognised()
    assert plan.answers_of(list_loans, 1_000) == []
    fetched(plan, ["Emma"])
    assert plan.answers_of(list_loans, 1_300) == [["Emma"]]
    assert plan.answers_of(read_loan, 1_300) == []
    assert plan.answers_of(list_loans, 61_300) == []
    fetched(plan, ["Persuasion"], at_ms=70_000)
    plan.written(renew_all)
    assert plan.answers_of(list_loans, 70_000) == []
    fetched(plan, ["Sanditon"], at_ms=71_000)
    plan.identity_established()
    assert plan.answers_of(list_loans, 71_000) == []
