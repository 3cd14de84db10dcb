"""A phase may be a folder in the open Agent Skills format: a SKILL.md beside its tools."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from voiceagent.errors import PhaseError, Source
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.phase import Phase

Library = Callable[..., Path]
BOTH = pytest.mark.parametrize("python", [True, False], ids=["in Python", "in YAML"])


def complaint(folder: Path) -> str:
    """Load an agent that cannot be loaded; return what is said, with the place as seen from its folder."""
    with pytest.raises(PhaseError) as refusal:
        load_flow(folder)
    said = str(refusal.value)
    assert "\n" not in said
    return said.replace(f"{folder}/", "")


# --- what a skill says -----------------------------------------------------------------------------------------------


@BOTH
def test_a_skill_is_a_phase_with_its_name_its_text_as_prompt_and_its_tools(library: Library, python: bool) -> None:
    folder = library(python=python)
    flow = load_flow(folder)
    loans = flow.phase("loans")
    assert [tool.name for tool in loans.tools] == ["list_loans", "renew"]
    assert loans.max_turns == 20
    prompt = flow.prompt_of(loans)
    assert prompt.static.startswith("Tell the reader which books they have.")
    assert prompt.late == "The reader's branch is {{ branch }}."
    assert prompt.source == Source(str(folder / "loans" / "SKILL.md"), 9)
    assert prompt.late_line == 12


@BOTH
def test_a_tool_of_a_skill_is_the_one_that_its_module_has(library: Library, python: bool) -> None:
    flow = load_flow(library(python=python))
    trigger = flow.phase("loans").transitions[0].on
    assert getattr(trigger, "tool", None) is flow.phase("loans").tools[1]


def test_hyphens_of_the_format_are_underscores_in_the_name_of_the_phase(library: Library) -> None:
    folder = library(skill={"name: loans": "name: late-loans"}, flow={"skill: loans": "skill: late-loans"})
    (folder / "loans").rename(folder / "late-loans")
    text = (folder / "flow.yaml").read_text().replace("loans.tools:", "tools:")
    (folder / "flow.yaml").write_text(text.replace("to: loans", "to: late_loans"))
    (folder / "card.yaml").write_text(
        (folder / "card.yaml").read_text().replace("loans.tools:list_loans", "tools:card")
    )
    (folder / "tools.py").write_text(
        f"{(folder / 'tools.py').read_text()}\n\nfrom importlib import import_module\n"
        "\nloans = import_module('.late-loans.tools', __package__)\nrenew, card = loans.renew, loans.list_loans\n"
    )
    assert load_flow(folder).phase("late_loans").prompt == "library/late-loans/SKILL.md"


@pytest.mark.parametrize(
    "named", ["list_loans renew", "list_loans, renew", "[list_loans, renew]", "loans.tools:list_loans tools.renew"]
)
def test_tools_are_named_apart_by_spaces_or_commas_or_in_a_list(library: Library, named: str) -> None:
    flow = load_flow(library(skill={"list_loans renew": named}))
    assert [tool.name for tool in flow.phase("loans").tools] == ["list_loans", "renew"]


def test_a_skill_without_tools_of_its_own_may_name_the_agents(library: Library) -> None:
    folder = library(skill={"list_loans renew": "check_card"})
    (folder / "loans" / "tools.py").rename(folder / "loans" / "renewing.py")
    for name in ("flow.yaml", "card.yaml"):
        (folder / name).write_text((folder / name).read_text().replace("loans.tools:", "loans.renewing:"))
    assert [tool.name for tool in load_flow(folder).phase("loans").tools] == ["check_card"]


def test_a_change_of_the_text_is_another_prompt_and_a_change_of_the_front_matter_is_not(library: Library) -> None:
    before = load_flow(library()).prompt_hashes
    longer = load_flow(library(skill={"license: Apache-2.0": "license: Apache-2.0\ncompatibility: any"}))
    assert longer.prompt_hashes == before
    assert load_flow(library(skill={"Tell the reader": "Tell them"})).prompt_hashes != before


# --- what is wrong ---------------------------------------------------------------------------------------------------

MISTAKES = {
    "no front matter": ({"---\nname": "name"}, "loans/SKILL.md:1: a skill begins with a line `---`"),
    "no end of it": (
        {"renew\n---\n": "renew\n", "title.\n\n---": "title."},
        "loans/SKILL.md:1: the front matter does not end: a line `---` is missing",
    ),
    "a key that does not exist": (
        {"allowed-tools": "allowed-tool"},
        "loans/SKILL.md:7: unknown key 'allowed-tool'; did you mean 'allowed-tools'?",
    ),
    "no name": ({"name: loans\n": ""}, "loans/SKILL.md:2: the key 'name' is missing"),
    "another name": (
        {"name: loans": "name: loan"},
        "loans/SKILL.md:2: the skill is called 'loan' and its folder 'loans': they must be the same",
    ),
    "a name that cannot be one": ({"name: loans": "name: Loans"}, "loans/SKILL.md:2: name: String should match"),
    "no description": ({"description: Tells": "descrption: Tells"}, "loans/SKILL.md:3: unknown key 'descrption'"),
    "a description that is empty": (
        {"description: Tells readers": "description: ''  # Tells readers"},
        "loans/SKILL.md:3: description: String should have at least 1 character",
    ),
    "a tool that does not exist": (
        {"list_loans renew": "list_loans renwe"},
        "loans/SKILL.md:7: 'tools:renwe': 'tools' has no 'renwe'; did you mean 'renew'?",
    ),
    "a tool of another program": (
        {"list_loans renew": "Bash(git:*) renew"},
        "loans/SKILL.md:7: 'Bash(git:*)' is no name of a tool",
    ),
    "a key twice": ({"name: loans": "name: loans\nname: loans"}, "loans/SKILL.md:3: the key 'name' stands here twice"),
    "code in the front matter": (
        {"license: Apache-2.0": "license: !!python/name:os.system"},
        "loans/SKILL.md:4: tags (!!python/name:os.system) are not allowed",
    ),
}


@BOTH
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_in_a_skill_is_told_in_one_line_with_its_place(mistake: str, python: bool, library: Library) -> None:
    changed, said = MISTAKES[mistake]
    assert complaint(library(python=python, skill=changed)).startswith(said)


@BOTH
def test_a_skill_without_text_has_no_prompt(library: Library, python: bool) -> None:
    folder = library(python=python)
    head, _, _ = (folder / "loans" / "SKILL.md").read_text().partition("renew\n---\n")
    (folder / "loans" / "SKILL.md").write_text(f"{head}renew\n---\n\n")
    assert complaint(folder) == "loans/SKILL.md:9: the skill has no text below its front matter: that is the prompt"


@pytest.mark.parametrize(
    ("matter", "said"),
    [
        ("", "loans/SKILL.md:1: the front matter is empty: `name` and `description` are missing"),
        ("- loans\n", "loans/SKILL.md:2: the front matter is keys and values: name, description, allowed-tools"),
    ],
)
def test_front_matter_that_is_none_is_told_as_such(library: Library, matter: str, said: str) -> None:
    folder = library()
    (folder / "loans" / "SKILL.md").write_text(f"---\n{matter}---\nBe kind.\n")
    assert complaint(folder) == said


@pytest.mark.parametrize(
    ("python", "name", "place"),
    [(True, "init", "__init__.py:82"), (False, "flow", "flow.yaml:12")],
    ids=["in Python", "in YAML"],
)
class TestASkill:
    def test_that_does_not_exist_is_told_with_the_nearest(
        self, library: Library, python: bool, name: str, place: str
    ) -> None:
        changed = {"init": {'skill(\n    "loans"': 'skill(\n    "laons"'}, "flow": {"skill: loans": "skill: laons"}}[
            name
        ]
        said = complaint(library(python=python, **{name: changed}))
        assert said == f"{place}: there is no laons/SKILL.md; did you mean 'loans'?"

    def test_outside_of_the_agents_folder_is_refused(
        self, library: Library, python: bool, name: str, place: str
    ) -> None:
        changed = {"init": {'skill(\n    "loans"': 'skill(\n    "../x"'}, "flow": {"skill: loans": "skill: ../x"}}[name]
        said = complaint(library(python=python, **{name: changed}))
        assert said == f"{place}: '../x/SKILL.md' leads out of the agent's folder"

    def test_says_its_prompt_itself(self, library: Library, python: bool, name: str, place: str) -> None:
        changed = {
            "init": {"    max_turns=20": '    prompt="library/card.md"'},
            "flow": {"    max_turns: 20": "    prompt: library/card.md"},
        }[name]
        said = complaint(library(python=python, **{name: changed}))
        assert said == f"{place}: 'prompt' stands in the skill 'loans' already"


def test_a_field_that_does_not_exist_is_told_in_python_too(library: Library) -> None:
    said = complaint(library(python=True, init={"    max_turns=20": "    max_turn=20"}))
    assert said == "__init__.py:82: Phase: max_turn: Extra inputs are not permitted; did you mean 'max_turns'?"


def test_the_agents_own_folder_is_no_skill(library: Library) -> None:
    folder = library(flow={"skill: loans": "skill: ."})
    shutil.copy(folder / "loans" / "SKILL.md", folder)
    assert complaint(folder) == "flow.yaml:12: the skill '.' is the agent's own folder: it needs one of its own"


def test_a_skill_outside_of_an_agent_is_refused() -> None:
    program = compile("\nPhase.from_skill('loans')", "script.py", "exec")
    with pytest.raises(PhaseError, match=r"script\.py:2: a skill belongs to an agent"):
        exec(program, {"Phase": Phase})  # noqa: S102 - a program that is no package, as somebody might run it
