"""Every rule has a flow that breaks it: an agent in `broken_flows/` that says which, and on which line.

Agents in YAML are called `…_in_yaml`. A comment says `breaks <code>`; the line that is wrong, in the agent's phases or
its prompts, ends in `← wrong`.
`cd tests/spec/broken_flows && voiceagent check <agent>` shows what an author would read.
"""

from __future__ import annotations

import json
import linecache
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.spec.rules import ONLY_WARNINGS, told_rules
from voiceagent.cli.commands import app
from voiceagent.runtime.loader import load_flow
from voiceagent.spec import verify as package
from voiceagent.spec.verify import verify

HERE = Path(__file__).parent / "broken_flows"
AGENTS = sorted(entry.name for entry in (HERE / "phases").iterdir() if entry.is_dir() and entry.name[0] != "_")
IN_YAML = [agent for agent in AGENTS if (HERE / "phases" / agent / "flow.yaml").is_file()]
IN_PYTHON = [agent for agent in AGENTS if agent not in IN_YAML]


def expected(agent: str) -> str:
    """Return the code of the rule that an agent breaks."""
    texts = [file.read_text() for file in sorted((HERE / "phases" / agent).iterdir()) if file.is_file()]
    found = [code for text in texts for code in re.findall(r"^# breaks (\S+)$", text, flags=re.MULTILINE)]
    assert len(found) == 1, f"{agent} says {len(found)} times what is wrong with it"
    return found[0]


def checked(agent: str) -> tuple[int, list[dict[str, object]]]:
    """Run `voiceagent check` over an agent; return its exit code and its errors."""
    done = CliRunner().invoke(app, ["check", str(HERE / "phases" / agent), "--json"])
    findings = json.loads(done.output)["findings"]
    return done.exit_code, [finding for finding in findings if finding["severity"] == "error"]


@pytest.mark.parametrize("agent", AGENTS)
def test_a_broken_flow_is_refused_for_its_own_reason_and_no_other(agent: str) -> None:
    exit_code, errors = checked(agent)
    assert exit_code == 1
    assert {error["code"] for error in errors} == {expected(agent)}, errors


@pytest.mark.parametrize("agent", AGENTS)
def test_an_error_is_told_once_and_points_at_the_line_that_is_wrong(agent: str) -> None:
    _, errors = checked(agent)
    assert len(errors) == 1, errors
    source = errors[0]["source"]
    assert isinstance(source, dict)
    file = Path(source["file"]).relative_to(HERE.resolve())
    assert file.parts[1] == agent
    assert linecache.getline(source["file"], source["line"]).rstrip().endswith("← wrong"), errors


def test_there_are_many_of_them_in_either_notation() -> None:
    assert len(IN_PYTHON) >= 40
    assert len(IN_YAML) >= 40


@pytest.mark.parametrize("agents", [IN_PYTHON, IN_YAML], ids=["Python", "YAML"])
def test_every_rule_has_a_flow_that_breaks_it_in_either_notation(agents: list[str]) -> None:
    assert told_rules() - ONLY_WARNINGS == {expected(agent) for agent in agents} - {"unloadable"}


def test_every_rule_is_documented() -> None:
    documented = set(re.findall(r"[a-z]+(?:-[a-z]+)*", package.__doc__ or ""))
    assert told_rules() <= documented


@pytest.mark.parametrize("agent", ["bank", "clinic", "loadtest", "restaurant"])
def test_the_agents_that_are_shipped_are_not_broken(agent: str) -> None:
    assert verify(load_flow(Path(__file__).parents[2] / "phases" / agent)) == []
