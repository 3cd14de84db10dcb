"""What a finding says, and what is right although it looks wrong. The mistakes themselves are in `broken_flows/`."""

from __future__ import annotations

import dataclasses

import pytest

from voiceagent.errors import Source
from voiceagent.spec.expects import FreeSpeech
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guided import Form, GuidedDialogue, Intent, Slot
from voiceagent.spec.phase import (
    HangUpAfter,
    Phase,
    Pressed,
    Requested,
    Say,
    Silent,
    TimedOut,
    ToolSucceeds,
    TransferTo,
    Transition,
    TurnLimitReached,
)
from voiceagent.spec.prefetch import Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Tool, tool
from voiceagent.spec.verify import Finding, verify


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    town: str = "Elmham"


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool(requires="loans", binds=("reader_id",))
async def list_loans(reader_id: str) -> list[object]:
    """The books on loan."""
    return []


@tool(requires="loans")
async def pay_fine() -> None:
    """Pay a fine."""


@tool(binds=("reader_id",))
async def greet_reader(reader_id: str) -> None:
    """Greet the reader."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
SKIP = Requested(name="skip", description="They have no card at hand.")
LOANS = Phase(name="loans", prompt="library/loans.md", tools=(list_loans,), transitions=(DONE,))
IN = Transition(on=check_card, to="loans", when={"recognised": True}, prefetch=(Prefetch(tool=list_loans),))
CARD = Phase(name="card", prompt="library/card.md", tools=(check_card,), transitions=(IN, DONE))
PROMPTS = {
    "library/card.md": Prompt("Ask for the card."),
    "library/loans.md": Prompt("Answer.\n---\nReader {{ reader_id }} in {{ town }}."),
}


def library(*phases: Phase, prompts: dict[str, Prompt] | None = None, **more: object) -> Flow:
    """The library's flow, or one of these phases instead of its own."""
    return Flow.model_validate(
        {
            "name": "library",
            "initial": phases[0].name if phases else "card",
            "phases": phases or (CARD, LOANS, BYE),
            "facts": LibraryFacts,
            "prompts": {**PROMPTS, **(prompts or {})},
            **more,
        }
    )


def card(*edges: Transition, **more: object) -> Phase:
    """The first phase with other ways out of it."""
    return CARD.model_copy(update={"transitions": edges, **more})


def desk(*tools: Tool, **more: object) -> Phase:
    return Phase.model_validate(
        {"name": "desk", "prompt": "library/card.md", "tools": tools, "transitions": (DONE,), **more}
    )


def codes(flow: Flow) -> list[str]:
    return [finding.code for finding in verify(flow)]


def test_nothing_is_wrong_with_a_correct_flow() -> None:
    assert verify(library()) == []


# --- what a finding says ---------------------------------------------------------------------------------------------


def test_a_finding_reads_like_the_message_of_a_compiler() -> None:
    finding = Finding("no-end", "error", "the call can never end", Source("phases/x/__init__.py", 12), ("a", "b"))
    assert str(finding) == "phases/x/__init__.py:12: error: the call can never end (by way of a → b) [no-end]"


def test_the_way_on_which_a_grant_is_missing_is_shown() -> None:
    around = Transition(on=SKIP, to="desk")
    through = Transition(on=check_card, to="desk", when={"recognised": True})
    (finding,) = verify(library(card(through, around), desk(pay_fine), BYE))
    assert finding.severity == "error"
    assert finding.path == ("card", "desk")
    assert str(finding).endswith("(by way of card → desk) [grant-missing]")


def test_a_wrong_transition_of_every_phase_is_told_once() -> None:
    lost = Transition(on=Requested(name="lost", description="They are lost."), to="bye", say="Poor {{ reader_id }}.")
    assert codes(library(transitions=(lost,))) == ["placeholder-missing"]


def test_a_loop_that_nothing_leads_out_of_is_shown() -> None:
    again = Transition(on=SKIP, to="desk")
    back = Transition(on=SKIP, to="card")
    (finding,) = verify(library(card(again, tools=()), desk(transitions=(back,))))
    assert finding.code == "no-end"
    assert "nothing leads out of card → desk → card" in finding.message


# --- grants and facts ------------------------------------------------------------------------------------------------


def test_a_grant_that_depends_on_the_result_needs_a_guard_that_says_so() -> None:
    for guard, wrong in (
        ({"recognised": True}, []),
        ({"recognised": False}, ["grant-missing"]),
        (None, ["grant-missing"]),
    ):
        edge = Transition(on=check_card, to="desk", when=guard)
        assert codes(library(card(edge), desk(pay_fine), BYE)) == wrong


@pytest.mark.parametrize(
    ("guard", "wrong"),
    [
        ({"recognised": True}, []),
        ({"recognised": True, "town": "Elmham"}, []),
        ({"any_of": [{"recognised": True}, {"recognised": True, "town": "Ely"}]}, []),
        ({"any_of": [{"recognised": True}, {"reader_id": {"set": True}}]}, ["grant-missing"]),
        ({"recognised": {"ne": False}}, ["grant-missing"]),
    ],
)
def test_a_later_guard_on_the_fact_that_came_with_a_grant_proves_it(guard: dict[str, object], wrong: list[str]) -> None:
    edge = Transition(on=SKIP, to="desk", when=guard)
    assert [c for c in codes(library(card(edge, DONE), desk(pay_fine), BYE)) if c != "dead-guard"] == wrong


def test_a_fact_that_another_tool_sets_too_proves_no_grant() -> None:
    @tool(sets=("recognised",))
    async def guess() -> dict[str, object]:
        """Guess who it is."""
        return {}

    edge = Transition(on=SKIP, to="desk", when={"recognised": True})
    assert codes(library(card(edge, DONE, tools=(check_card, guess)), desk(pay_fine), BYE)) == ["grant-missing"]


def test_a_tool_may_be_offered_beside_the_one_that_gives_the_right_to_it() -> None:
    assert codes(library(card(DONE, tools=(check_card, pay_fine)), BYE)) == []


def test_a_tool_that_requires_what_it_gives_can_never_run() -> None:
    @tool(requires="loans", grants="loans")
    async def borrow() -> None:
        """Borrow."""

    assert codes(library(desk(borrow), BYE)) == ["grant-never"]


def test_a_fact_that_may_be_missing_is_a_warning_since_the_tool_is_not_offered_then() -> None:
    flow = library(
        card(Transition(on=check_card, to="desk", when={"recognised": True}), Transition(on=SKIP, to="desk")),
        desk(greet_reader),
        BYE,
    )
    assert [(finding.code, finding.severity) for finding in verify(flow)] == [("fact-missing", "warning")]


@pytest.mark.parametrize(
    "guard", [{"reader_id": {"set": True}}, {"reader_id": {"ne": None}}, {"reader_id": {"in": ["a"]}}]
)
def test_a_guard_that_only_permits_a_known_fact_establishes_it(guard: dict[str, object]) -> None:
    edges = (
        Transition(on=check_card, to="desk", when={"recognised": True}),
        Transition(on=SKIP, to="desk", when=guard),
    )
    assert codes(library(card(*edges), desk(greet_reader), BYE)) == []


@pytest.mark.parametrize(
    "guard",
    [
        {"reader_id": {"set": False}},
        {"reader_id": {"ne": "x"}},
        {"reader_id": {"in": [None]}},
        {"any_of": [{"reader_id": {"set": True}}, {"town": "Elmham"}]},
        {"not": {"reader_id": {"set": True}}},
    ],
)
def test_a_guard_that_permits_an_unknown_fact_establishes_nothing(guard: dict[str, object]) -> None:
    edges = (
        Transition(on=check_card, to="desk", when={"recognised": True}),
        Transition(on=SKIP, to="desk", when=guard),
    )
    assert codes(library(card(*edges), desk(greet_reader), BYE)) == ["fact-missing"]


def test_a_tool_that_may_say_no_sets_its_facts_only_where_it_has_said_yes() -> None:
    for guard, wrong in (
        ({"recognised": True}, []),
        ({"recognised": False}, ["fact-missing"]),
        (None, ["fact-missing"]),
    ):
        edge = Transition(on=check_card, to="desk", when=guard)
        assert codes(library(card(edge, DONE), desk(greet_reader), BYE)) == wrong


# --- templates -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("late", "wrong"),
    [
        ("{{ reader_id }}", ["placeholder-missing"]),
        ("{{ reader_id | default('somebody') }}", []),
        ("{% if reader_id is defined %}{{ reader_id }}{% endif %}", []),
        ("{% if reader_id is defined and town %}{{ reader_id }}{% else %}{{ town }}{% endif %}", []),
        ("{% if town %}{{ reader_id }}{% endif %}", ["placeholder-missing"]),
        ("{% if reader_id is defined %}yes{% else %}{{ reader_id }}{% endif %}", ["placeholder-missing"]),
        ("{{ reader_id if reader_id is defined else town }}", []),
        ("{{ 'yes' if reader_id else 'no' }}", ["placeholder-missing"]),
        ("{% for letter in reader_id | default('') %}{{ letter }}{% endfor %}", []),
    ],
)
def test_a_hole_needs_a_value_unless_the_template_asks_first(late: str, wrong: list[str]) -> None:
    assert codes(library(prompts={"library/card.md": Prompt(f"Ask.\n---\n{late}")})) == wrong


def test_a_mistake_in_a_prompt_is_found_on_its_line() -> None:
    file = Source("prompts/library/card.md", 1)
    late = verify(library(prompts={"library/card.md": Prompt("Ask.\nNicely.\n---\nOne.\n{{ town", file)}))
    assert [(finding.code, str(finding.source)) for finding in late] == [("bad-template", "prompts/library/card.md:5")]


@pytest.mark.parametrize("static", ["Hello {{ town }}.", "{% if town %}Hello{% endif %}", "Open {{ and", "{{ 7 * 7 }}"])
def test_nothing_is_filled_in_above_the_line(static: str) -> None:
    file = Source("prompts/library/card.md", 1)
    findings = verify(library(prompts={"library/card.md": Prompt(static, file)}))
    assert [finding.code for finding in findings] == ["static-placeholder"]
    assert findings[0].source == file


def test_the_outcome_of_a_tool_is_told_in_the_phase_that_it_leads_to() -> None:
    words = GuidedDialogue(replies={"check_card": "Welcome, {{ reader_id }}: {{ result }}."})
    assert (
        codes(library(card(Transition(on=check_card, to="desk", when={"recognised": True})), desk(guided=words), BYE))
        == []
    )


def test_the_words_for_a_success_may_use_what_it_has_just_set() -> None:
    words = GuidedDialogue(replies={"check_card": "{{ reader_id }}"}, failures={"check_card": "{{ reader_id }}"})
    (finding,) = verify(library(card(DONE, guided=words), BYE))
    assert finding.message.startswith("`failures` for 'check_card': {{ reader_id }} has no value")


def test_a_question_may_use_the_answers_before_it() -> None:
    @tool
    async def reserve(title: str, day: str, copies: int = 1) -> None:
        """Reserve a book."""

    title = Slot(name="title", expects=FreeSpeech(), ask="Which?")
    day = Slot(name="day", expects=FreeSpeech(), ask="When, for {{ title }}?", ask_again="{{ title }}: when?")
    copies = Slot(name="copies", expects=FreeSpeech(), ask="How many?")
    name = Slot(name="day", expects=FreeSpeech(), ask="When, for {{ copies }} of {{ title }}?")
    form = GuidedDialogue(form=Form(does=reserve, slots=(title, day)))
    assert codes(library(desk(reserve, guided=form), BYE)) == []
    # What a tool has a default for is not asked for, so there may be no answer.
    intent = Intent(does=reserve, examples=("a book",), slots=(title, copies, name))
    assert codes(library(desk(reserve, guided=GuidedDialogue(intents=(intent,))), BYE)) == ["placeholder-missing"]


# --- ends ------------------------------------------------------------------------------------------------------------


def test_a_phase_that_lets_silence_end_the_call_is_the_exit_of_a_round() -> None:
    away, back = Transition(on=Silent(), to="desk"), Transition(on=Silent(), to="card")
    assert codes(library(card(DONE, away), desk(transitions=(DONE, back)), BYE)) == ["endless-loop"]
    assert codes(library(card(DONE, away), desk(), BYE)) == []
    guarded = Transition(on=Silent(), to="card", when={"recognised": True})
    assert codes(library(card(DONE, away), desk(transitions=(DONE, guarded)), BYE)) == []


def test_a_time_out_that_is_longer_than_the_patience_with_silence_is_no_endless_round() -> None:
    again = Transition(on=TimedOut(), to="card")
    assert codes(library(card(DONE, again, timeout_ms=3_000), BYE)) == ["endless-loop"]
    assert codes(library(card(DONE, again, timeout_ms=30_000), BYE)) == []


def test_a_limit_may_be_what_every_phase_has_a_transition_for() -> None:
    over = Transition(on=TurnLimitReached(), to="bye")
    assert codes(library(card(DONE, max_turns=3), BYE, transitions=(over,))) == []


def test_a_phase_without_a_model_is_left_by_keys_and_silence_and_not_by_moves() -> None:
    menu = Phase(name="menu", on_enter=Say(text="Press one."))
    pressed = Transition(on=Pressed(digits="1"), to="bye")
    assert codes(library(menu, BYE, transitions=(pressed,))) == []
    assert codes(library(menu, BYE, transitions=(DONE,))) == ["unreachable", "dead-end"]


def test_a_transition_of_every_phase_leads_on_only_where_its_tool_is_offered() -> None:
    onward = Transition(on=check_card, to="bye")
    assert codes(library(card(tools=(check_card,)), BYE, transitions=(onward,))) == []
    lost = card(DONE.model_copy(update={"to": "desk"}))
    assert codes(library(lost, desk(transitions=()), BYE, transitions=(onward,))) == ["dead-end"]


def test_a_person_may_be_several_phases_away() -> None:
    help_ = Transition(on=Requested(name="help", description="They want a person."), to="human")
    human = Phase(name="human", on_enter=Say(text="One moment."), ends=TransferTo(target="desk"))
    onward = Transition(on=ToolSucceeds(tool=check_card), to="desk")
    flow = library(card(onward), desk(transitions=(help_, DONE)), human, BYE, reaches_human=True)
    assert codes(flow) == []
    assert codes(flow.model_copy(update={"phases": (card(onward, DONE), desk(), human, BYE)})) == [
        "unreachable",
        "no-human",
        "no-human",
    ]


# --- tools that were not made by the decorator -----------------------------------------------------------------------


def test_a_tool_without_a_description_or_a_read_back_is_found_however_it_was_made() -> None:
    silent = dataclasses.replace(check_card, description=" ")
    rash = dataclasses.replace(check_card, effect="irreversible")
    assert codes(library(desk(silent), BYE)) == ["no-description"]
    assert codes(library(desk(rash), BYE)) == ["no-confirmation"]
