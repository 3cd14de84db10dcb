"""What is wrong with a flow is found before anybody calls, with the line that says so."""

from __future__ import annotations

import inspect
import linecache
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceagent.errors import Source
from voiceagent.spec.expects import Digits
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import HangUpAfter, Phase, Requested, Say, ToolFails, ToolSucceeds, Transition
from voiceagent.spec.prefetch import FromFact, FromItem, Prefetch
from voiceagent.spec.prompt import Prompt
from voiceagent.spec.tool import Sealed, Tool, tool
from voiceagent.spec.verify import Finding, verify


class LibraryFacts(Facts):
    recognised: bool = False
    reader_id: str | None = None
    branch: str | None = None
    town: str = "Elmham"


@tool(grants="loans", grants_when="recognised", sets=("recognised", "reader_id"))
async def check_card(card: str) -> dict[str, object]:
    """Check a reader's card."""
    return {}


@tool(requires="loans", binds=("reader_id",))
async def list_loans(reader_id: str) -> list[object]:
    """The books on loan."""
    return []


@tool(effect="irreversible", requires="loans", confirm="Shall I renew {{ book }}?")
async def renew(book: str) -> None:
    """Renew a loan."""


BYE = Phase(name="bye", on_enter=Say(text="Goodbye."), ends=HangUpAfter())
DONE = Transition(on=Requested(name="finish", description="They are done."), to="bye")
LOANS = Phase(name="loans", prompt="library/loans.md", tools=(list_loans, renew), transitions=(DONE,))
CARD = Phase(
    name="card",
    prompt="library/card.md",
    tools=(check_card,),
    transitions=(
        Transition(on=check_card, to="loans", when={"recognised": True}, prefetch=(Prefetch(tool=list_loans),)),
        DONE,
    ),
)
PROMPTS = {
    "library/card.md": Prompt("Ask for the card."),
    "library/loans.md": Prompt("Answer.\n---\nReader {{ reader_id }} in {{ town }}."),
}


def library(*phases: Phase, transitions: tuple[Transition, ...] = (), prompts: dict[str, Prompt] | None = None) -> Flow:
    """The library's flow, or one of these phases instead of its own."""
    return Flow(
        name="library",
        initial=phases[0].name if phases else "card",
        phases=phases or (CARD, LOANS, BYE),
        transitions=transitions,
        facts=LibraryFacts,
        prompts={**PROMPTS, **(prompts or {})},
    )


def test_nothing_is_wrong_with_a_correct_flow() -> None:
    assert verify(library()) == []


# --- names -----------------------------------------------------------------------------------------------------------


def duplicate_phase() -> Flow:
    again = Phase(name="bye", ends=HangUpAfter())  # ← wrong
    return library(CARD, LOANS, again, again)


def missing_prompt() -> Flow:
    phase = Phase(name="card", prompt="library/crd.md", transitions=(DONE,))  # ← wrong
    return library(phase, BYE)


def unknown_initial() -> Flow:
    return Flow(name="library", initial="by", phases=(BYE,))  # ← wrong


def unknown_target() -> Flow:
    edge = Transition(on=Requested(name="finish", description="They are done."), to="byee")  # ← wrong
    return library(Phase(name="card", transitions=(edge,)), BYE)


def unknown_target_from_everywhere() -> Flow:
    edge = Transition(on=Requested(name="help", description="They need help."), to="byee")  # ← wrong
    return library(CARD, LOANS, BYE, transitions=(edge,))


def unknown_tool() -> Flow:
    @tool
    async def check_cards(card: str) -> None:
        """Check many cards."""

    edge = Transition(on=ToolSucceeds(tool=check_cards), to="bye")  # ← wrong
    return library(Phase(name="card", tools=(check_card,), transitions=(edge,)), BYE)


def unknown_failing_tool() -> Flow:
    edge = Transition(on=ToolFails(tool=renew), to="bye")  # ← wrong
    return library(_leads(BYE), BYE, transitions=(edge,))


def _leads(to: Phase) -> Phase:
    edge = Transition(on=Requested(name="finish", description="They are done."), to=to.name)
    return Phase(name="card", transitions=(edge,))


def duplicate_tool() -> Flow:
    def another() -> Tool:
        @tool  # ← wrong
        async def check_card(card: str) -> None:
            """Check a card in another way."""

        return check_card

    return library(Phase(name="card", tools=(check_card, another()), transitions=(DONE,)), BYE)


def tool_and_move() -> Flow:
    edge = Transition(on=Requested(name="check_card", description="Check it."), to="bye")
    return library(Phase(name="card", tools=(check_card,), transitions=(edge,)), BYE)  # ← wrong


def unknown_fact_in_a_guard() -> Flow:
    edge = Transition(on=check_card, to="bye", when={"recognized": True})  # ← wrong
    return library(Phase(name="card", tools=(check_card,), transitions=(edge,)), BYE)


def unknown_fact_in_a_tool() -> Flow:
    @tool(sets={"reader": "id"})  # ← wrong
    async def find_reader() -> None:
        """Find the reader."""

    return library(Phase(name="card", tools=(find_reader,), transitions=(DONE,)), BYE)


def unknown_fact_in_a_prefetch() -> Flow:
    fetch = Prefetch(tool=list_loans, arguments={"reader_id": FromFact(fact="reder_id")})  # ← wrong
    edge = Transition(on=check_card, to="loans", when={"recognised": True}, prefetch=(fetch,))
    return library(Phase(name="card", tools=(check_card,), transitions=(edge,)), LOANS, BYE)


def prefetch_of_a_write() -> Flow:
    fetch = Prefetch(tool=renew)  # ← wrong
    edge = Transition(on=check_card, to="loans", when={"recognised": True}, prefetch=(fetch,))
    return library(Phase(name="card", tools=(check_card,), transitions=(edge,)), LOANS, BYE)


def prefetch_after_nothing() -> Flow:
    fetch = Prefetch(tool=list_loans, after=check_card, arguments={"reader_id": FromItem(field="id")})  # ← wrong
    edge = Transition(on=check_card, to="loans", when={"recognised": True}, prefetch=(fetch,))
    return library(Phase(name="card", tools=(check_card,), transitions=(edge,)), LOANS, BYE)


# --- ways ------------------------------------------------------------------------------------------------------------


def unreachable() -> Flow:
    island = Phase(name="island", transitions=(DONE,))  # ← wrong
    return library(_leads(BYE), island, BYE)


def no_end() -> Flow:
    edge = Transition(on=Requested(name="again", description="Once more."), to="card")
    return library(Phase(name="card", transitions=(edge,)))  # ← wrong


def dead_end() -> Flow:
    return library(Phase(name="card"))  # ← wrong


# --- grants and facts ------------------------------------------------------------------------------------------------


@tool(requires="loans")  # ← wrong
async def pay_fine() -> None:
    """Pay a fine."""


def grant_missing() -> Flow:
    desk = Phase(name="desk", tools=(pay_fine,), transitions=(DONE,))
    around = Transition(on=Requested(name="skip", description="No card at hand."), to="desk")
    through = Transition(on=check_card, to="desk", when={"recognised": True})
    return library(Phase(name="card", tools=(check_card,), transitions=(through, around)), desk, BYE)


def prefetch_early() -> Flow:
    fetch = Prefetch(tool=list_loans)  # ← wrong
    edge = Transition(on=check_card, to="loans", prefetch=(fetch,))
    card = Phase(name="card", tools=(check_card,), transitions=(edge,))
    return library(card, Phase(name="loans", transitions=(DONE,)), BYE)


def fact_never_set() -> Flow:
    @tool(binds=("branch",))  # ← wrong
    async def opening_hours(branch: str) -> None:
        """When that branch is open."""

    return library(Phase(name="card", tools=(opening_hours,), transitions=(DONE,)), BYE)


@tool(binds=("reader_id",))  # ← wrong
async def greet_reader(reader_id: str) -> None:
    """Greet the reader."""


def fact_missing() -> Flow:
    desk = Phase(name="desk", tools=(greet_reader,), transitions=(DONE,))
    around = Transition(on=Requested(name="skip", description="No card at hand."), to="desk")
    through = Transition(on=check_card, to="desk")
    return library(Phase(name="card", tools=(check_card,), transitions=(through, around)), desk, BYE)


# --- texts -----------------------------------------------------------------------------------------------------------


def bad_template_on_entry() -> Flow:
    entry = Say(text="Hello {{ town")  # ← wrong
    return library(Phase(name="card", on_enter=entry, transitions=(DONE,)), BYE)


def unknown_placeholder_on_the_way() -> Flow:
    edge = Transition(on=Requested(name="x", description="Y."), to="bye", say="Bye, {{ readr_id }}.")  # ← wrong
    return library(Phase(name="card", transitions=(edge,)), BYE)


def placeholder_never_set() -> Flow:
    entry = Say(text="Welcome to {{ branch }}.")  # ← wrong
    return library(Phase(name="card", on_enter=entry, transitions=(DONE,)), BYE)


def unknown_placeholder_in_a_read_back() -> Flow:
    @tool(effect="irreversible", confirm="Shall I send {{ titel }}?")  # ← wrong
    async def send_book(title: str) -> None:
        """Send a book."""

    return library(Phase(name="card", tools=(send_book,), transitions=(DONE,)), BYE)


# --- secrets and moves -----------------------------------------------------------------------------------------------


def secret_expected_in_the_open() -> Flow:
    return library(Phase(name="card", expects=(Digits(name="pin", sealed=True),), transitions=(DONE,)), BYE)  # ← wrong


def secret_taken_in_the_open() -> Flow:
    @tool
    async def check_pin(pin: Sealed) -> None:
        """Check the PIN."""

    return library(Phase(name="card", tools=(check_pin,), transitions=(DONE,)), BYE)  # ← wrong


def no_description() -> Flow:
    move = Requested(name="finish", description=" ")  # ← wrong
    return library(Phase(name="card", transitions=(Transition(on=move, to="bye"),)), BYE)


BROKEN: list[tuple[Callable[[], Flow], str, str]] = [
    (duplicate_phase, "duplicate-phase", "several phases 'bye'"),
    (missing_prompt, "missing-prompt", "did you mean 'library/card.md'"),
    (unknown_initial, "unknown-phase", "did you mean 'bye'"),
    (unknown_target, "unknown-phase", "did you mean 'bye'"),
    (unknown_target_from_everywhere, "unknown-phase", "did you mean 'bye'"),
    (unknown_tool, "unknown-tool", "did you mean 'check_card'"),
    (unknown_failing_tool, "unknown-tool", "'renew', which it does not offer"),
    (duplicate_tool, "duplicate-tool", "two tools 'check_card'"),
    (tool_and_move, "duplicate-tool", "both a tool and a move"),
    (unknown_fact_in_a_guard, "unknown-fact", "did you mean 'recognised'"),
    (unknown_fact_in_a_tool, "unknown-fact", "did you mean 'reader_id'"),
    (unknown_fact_in_a_prefetch, "unknown-fact", "did you mean 'reader_id'"),
    (prefetch_of_a_write, "prefetch-write", "cannot be fetched ahead"),
    (prefetch_after_nothing, "prefetch-order", "which is not fetched here"),
    (unreachable, "unreachable", "'island'"),
    (no_end, "no-end", "can never end"),
    (dead_end, "dead-end", "no way out"),
    (grant_missing, "grant-missing", "'loans', which 'pay_fine' requires"),
    (prefetch_early, "prefetch-early", "before 'loans' is granted"),
    (fact_never_set, "fact-never-set", "binds 'branch', which no tool ever sets"),
    (fact_missing, "fact-missing", "without 'reader_id', which 'greet_reader' binds"),
    (bad_template_on_entry, "bad-template", "template cannot be read"),
    (unknown_placeholder_on_the_way, "unknown-placeholder", "did you mean 'reader_id'"),
    (placeholder_never_set, "placeholder-never-set", "{{ branch }}"),
    (unknown_placeholder_in_a_read_back, "unknown-placeholder", "did you mean 'title'"),
    (secret_expected_in_the_open, "secret-exposed", "expects the secret 'pin'"),
    (secret_taken_in_the_open, "secret-exposed", "'check_pin', which takes a secret"),
    (no_description, "no-description", "'finish' needs a description"),
]


@pytest.mark.parametrize(("broken", "code", "words"), BROKEN, ids=[broken.__name__ for broken, _, _ in BROKEN])
def test_a_mistake_is_found_where_it_was_written(broken: Callable[[], Flow], code: str, words: str) -> None:
    found = [finding for finding in verify(broken()) if finding.code == code]
    assert found
    assert words in found[0].message
    assert found[0].source.file == __file__
    assert linecache.getline(found[0].source.file, found[0].source.line).rstrip().endswith("# ← wrong")


@pytest.mark.parametrize("broken", [broken for broken, _, _ in BROKEN], ids=lambda broken: broken.__name__)
def test_a_mistake_is_told_once(broken: Callable[[], Flow]) -> None:
    findings = verify(broken())
    assert len(findings) == 1, [str(finding) for finding in findings]


def test_every_code_has_a_flow_that_shows_it() -> None:
    codes = set(re.findall(r'(?:_error|Finding)\(\s*"([a-z-]+)"', Path(inspect.getfile(verify)).read_text()))
    assert codes == {code for _, code, _ in BROKEN} | {"static-placeholder"}


# --- what else a finding says ----------------------------------------------------------------------------------------


def test_the_way_on_which_a_grant_is_missing_is_shown() -> None:
    finding = verify(grant_missing())[0]
    assert finding.severity == "error"
    assert finding.path == ("card", "desk")
    assert str(finding).endswith("(by way of card → desk) [grant-missing]")


def test_a_fact_that_may_be_missing_is_a_warning_since_the_tool_is_not_offered_then() -> None:
    assert [finding.severity for finding in verify(fact_missing())] == ["warning"]


def test_a_guard_that_only_permits_a_known_fact_establishes_it() -> None:
    desk = Phase(name="desk", tools=(greet_reader,), transitions=(DONE,))
    around = Requested(name="skip", description="No card at hand.")
    for guard in ({"reader_id": {"set": True}}, {"reader_id": {"ne": None}}, {"reader_id": {"in": ["a", "b"]}}):
        edges = (Transition(on=check_card, to="desk"), Transition(on=around, to="desk", when=guard))
        assert verify(library(Phase(name="card", tools=(check_card,), transitions=edges), desk, BYE)) == []


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
    desk = Phase(name="desk", tools=(greet_reader,), transitions=(DONE,))
    around = Requested(name="skip", description="No card at hand.")
    edges = (Transition(on=check_card, to="desk"), Transition(on=around, to="desk", when=guard))
    findings = verify(library(Phase(name="card", tools=(check_card,), transitions=edges), desk, BYE))
    assert [finding.code for finding in findings] == ["fact-missing"]


def test_a_grant_that_depends_on_the_result_needs_a_guard_that_says_so() -> None:
    desk = Phase(name="desk", tools=(pay_fine,), transitions=(DONE,))
    for guard, codes in (
        ({"recognised": True}, []),
        ({"recognised": False}, ["grant-missing"]),
        (None, ["grant-missing"]),
    ):
        edge = Transition(on=check_card, to="desk", when=guard)
        flow = library(Phase(name="card", tools=(check_card,), transitions=(edge,)), desk, BYE)
        assert [finding.code for finding in verify(flow)] == codes


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


def test_a_finding_reads_like_the_message_of_a_compiler() -> None:
    finding = Finding("no-end", "error", "the call can never end", Source("phases/x/__init__.py", 12), ("a", "b"))
    assert str(finding) == "phases/x/__init__.py:12: error: the call can never end (by way of a → b) [no-end]"
