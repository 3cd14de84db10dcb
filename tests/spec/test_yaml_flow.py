"""A flow in YAML is the flow that the same declarations in Python make, down to its hash and its findings."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Callable
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest
import yaml

from voiceagent import FromAnswer, FromFact
from voiceagent.errors import Source
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.declared import Declared
from voiceagent.spec.verify import verify

Library = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]
ROOT = Path(__file__).parents[2]


# --- the same flow ---------------------------------------------------------------------------------------------------


def test_a_flow_in_yaml_and_its_twin_in_python_are_the_same(library: Library) -> None:
    in_python = load_flow(library(python=True))
    in_yaml = load_flow(library())
    assert in_yaml.sha256 == in_python.sha256
    assert in_yaml.prompt_hashes == in_python.prompt_hashes
    assert in_yaml.tool_hashes == in_python.tool_hashes


def test_names_to_listen_for_are_written_like_any_of_several(library: Library) -> None:
    hints = "hints: [Dostoyevsky, {from_fact: reader_id}, {from_answer: {tool: tools:loans, field: author}}]"
    listed = '\n\n\n@tool\nasync def loans() -> list[str]:\n    """The books on loan."""\n    return []\n\n\n@tool'
    folder = library(flow={"max_turns: 20": f"max_turns: 20\n    {hints}"}, tools={"\n\n\n@tool": listed})
    name, fact, answer = load_flow(folder).phase("loans").hints
    assert isinstance(fact, FromFact)
    assert isinstance(answer, FromAnswer)
    assert (name, fact.fact) == ("Dostoyevsky", "reader_id")
    assert (answer.tool.name, answer.for_each, answer.field) == ("loans", None, "author")


def test_a_flow_in_yaml_is_found_by_its_name(library: Library) -> None:
    library()
    assert load_flow("library").name == "library"


def test_any_change_of_a_yaml_file_is_another_flow(library: Library) -> None:
    before = load_flow(library())
    assert load_flow(library(flow={"{on: silent, to: bye}": "{on: timed_out, to: bye}"})).sha256 != before.sha256
    assert load_flow(library(talk={"that is all": "that is everything"})).sha256 != before.sha256


def test_the_facts_of_a_yaml_flow_are_typed_and_start_as_declared(library: Library) -> None:
    facts = load_flow(library()).facts()
    assert facts.known() == {"recognised": False, "owes": "0"}
    late = facts.with_values({"member_since": "2020-02-29", "owes": "12.50"})
    assert late.model_dump()["member_since"] == date(2020, 2, 29)
    assert late.model_dump()["owes"] == Decimal("12.50")


def test_facts_may_be_a_class_in_the_agents_folder(library: Library) -> None:
    kept = "\n\nclass Known(Facts):\n    recognised: bool = False\n    since: str = 'ever'\n"
    folder = library(tools={"\n\n\n@tool": f"{kept}\n\n@tool"})
    text = (folder / "flow.yaml").read_text()
    head, _, rest = text.partition("facts:\n")
    (folder / "flow.yaml").write_text(f"{head}facts: tools:Known\nphases:\n{rest.partition('phases:')[2]}")
    assert load_flow(folder).facts().known() == {"recognised": False, "since": "ever"}


# --- the same findings -----------------------------------------------------------------------------------------------


def test_a_sound_flow_in_yaml_has_no_errors(library: Library) -> None:
    assert [finding for finding in verify(load_flow(library())) if finding.severity == "error"] == []


def test_what_is_wrong_with_a_yaml_flow_has_the_line_of_the_file_it_stands_in(library: Library) -> None:
    folder = library(card={"to: loans": "to: laons"}, flow={"{on: silent, to: bye}": "{on: silent, to: by}"})
    found = {
        finding.message: finding.source for finding in verify(load_flow(folder)) if finding.code == "unknown-phase"
    }
    assert found == {
        "phase 'card' leads to 'laons', which is none; did you mean 'loans'?": Source(str(folder / "card.yaml"), 10),
        "every phase leads to 'by', which is none; did you mean 'bye'?": Source(str(folder / "flow.yaml"), 36),
    }


def test_the_check_prints_the_line_of_the_yaml_file(library: Library, voiceagent: Command) -> None:
    folder = library(card={"to: loans": "to: laons"})
    code, printed, _ = voiceagent("check", "library")
    assert code == 1
    assert f"{folder}/card.yaml:10: error: phase 'card' leads to 'laons'" in printed
    folder = library(card={"to: loans": "ot: loans"})
    code, printed, _ = voiceagent("check", "library")
    assert code == 1
    assert f"{folder}/card.yaml:10: " in printed
    assert "unknown key 'ot'" in printed


def test_whatever_a_yaml_flow_declares_or_leaves_to_a_default_stands_in_one_of_its_files(library: Library) -> None:
    folder = library()
    places = {source.file for source in sources_in(load_flow(folder))}
    assert places == {str(folder / "flow.yaml"), str(folder / "card.yaml"), str(folder / "talk.yaml")}


def test_a_placeholder_in_a_skill_has_the_line_of_its_file(library: Library) -> None:
    folder = library(skill={"{{ branch }}": "{{ branhc }}"})
    (finding,) = [finding for finding in verify(load_flow(folder)) if finding.code == "unknown-placeholder"]
    assert finding.source == Source(str(folder / "loans" / "SKILL.md"), 12)


def sources_in(value: object) -> list[Source]:
    """Return where everything that was declared stands."""
    match value:
        case Declared():
            inside = [getattr(value, name) for name in type(value).model_fields]
            return [value.source, *(source for part in inside for source in sources_in(part))]
        case tuple():
            return [source for part in cast("tuple[object, ...]", value) for source in sources_in(part)]
        case _:
            return []


# --- all that Python can say -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("agent", ["bank", "clinic", "loadtest", "restaurant"])
def test_everything_that_a_shipped_agent_says_can_be_said_in_yaml(
    agent: str, tmp_path: Path, as_written: Callable[[object], object]
) -> None:
    in_python = load_flow(ROOT / "phases" / agent)
    folder = tmp_path / "phases" / agent
    shutil.copytree(ROOT / "phases" / agent, folder, ignore=shutil.ignore_patterns("__pycache__", "__init__.py"))
    if (ROOT / "prompts" / agent).is_dir():
        shutil.copytree(ROOT / "prompts" / agent, tmp_path / "prompts" / agent)
    (folder / "flow.yaml").write_text(yaml.safe_dump(as_written(in_python), sort_keys=False, allow_unicode=True))
    in_yaml = load_flow(folder)
    assert in_yaml.sha256 == in_python.sha256
    assert in_yaml.prompt_hashes == in_python.prompt_hashes


# --- what the page about it shows ------------------------------------------------------------------------------------


def test_the_agent_that_the_documentation_shows_has_nothing_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    page = (ROOT / "docs" / "flows-in-yaml.md").read_text()
    for name, content in re.findall(
        r"^`([a-zA-Z/.]+)`[^\n]*:\n\n```[a-z]+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    flow = load_flow("shop")
    assert [phase.name for phase in flow.phases] == ["order", "delivery", "goodbye"]
    assert verify(flow) == []
    clinic = load_flow("clinic")
    assert [clinic.language_of(phase) for phase in clinic.phases] == ["en-US", "es-ES", "es-ES", "en-US"]
    assert verify(clinic) == []


# --- loading ---------------------------------------------------------------------------------------------------------


def test_the_tools_may_stand_in_a_package_that_has_no_flow(library: Library) -> None:
    folder = library()
    (folder / "__init__.py").write_text("from .tools import check_card\n")
    assert load_flow(folder).tool_hashes


def test_a_flow_that_is_declared_twice_is_refused(library: Library) -> None:
    folder = library()
    (folder / "__init__.py").write_text("FLOW = 1\n")
    with pytest.raises(Exception, match=r"flow\.yaml: the flow is declared twice: here, and as FLOW in __init__\.py"):
        load_flow(folder)


def test_what_failed_to_load_leaves_no_module_behind(library: Library) -> None:
    folder = library(flow={"to: bye": "ot: bye"})
    before = set(sys.modules)
    with pytest.raises(Exception, match="unknown key 'ot'"):
        load_flow(folder)
    assert {name for name in sys.modules if "library" in name} <= before
