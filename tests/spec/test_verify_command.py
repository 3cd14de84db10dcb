"""`voiceagent check`: what an author reads, what a machine reads, and the exit code."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import Result
from typer.testing import CliRunner

from voiceagent.cli.commands import app

ROOT = Path(__file__).resolve().parents[2]
BROKEN = Path(__file__).parent / "broken_flows"


def check(agent: str | Path, *options: str) -> Result:
    return CliRunner().invoke(app, ["check", str(agent), *options])


@pytest.mark.parametrize("agent", ["bank", "clinic", "loadtest", "restaurant"])
def test_an_agent_that_is_right_is_exit_code_0(agent: str) -> None:
    done = check(ROOT / "phases" / agent)
    assert done.exit_code == 0
    assert "nothing wrong" in done.output


def test_every_phase_is_printed_with_its_longest_silence() -> None:
    lines = check(ROOT / "phases" / "loadtest").output.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["odd", "even", "over"]
    assert lines[1].endswith("longest silence 4.8 s, waiting for a reply: until the filler 'One moment.'")


def test_errors_are_exit_code_1_each_with_its_line_its_rule_and_the_way() -> None:
    done = check(BROKEN / "phases" / "grant_missing")
    assert done.exit_code == 1
    first, counts, *_ = done.output.splitlines()
    assert first.startswith(f"{BROKEN / 'phases' / 'grant_missing' / '__init__.py'}:")
    assert first.endswith("which 'pay_fine' requires (by way of card → desk) [grant-missing]")
    assert counts == "library: 3 phases, 1 error, 0 warnings"


def test_a_flow_that_cannot_be_built_is_exit_code_1_too() -> None:
    done = check(BROKEN / "phases" / "unknown_operator")
    assert done.exit_code == 1
    assert "'less' is no operator; did you mean 'le'?" in done.output
    assert "Traceback" not in done.output


def test_warnings_alone_are_exit_code_0(tmp_path: Path) -> None:
    folder = tmp_path / "phases" / "lucky"
    folder.mkdir(parents=True)
    right = (BROKEN / "phases" / "grant_never" / "__init__.py").read_text()
    text = right.replace('@tool(requires="loans")', "@tool").replace('to="bye")', 'to="bye", when=lambda facts: True)')
    (folder / "__init__.py").write_text(text)
    done = check(folder)
    assert done.exit_code == 0
    assert "warning: the guard '<lambda>' is Python" in done.output
    assert "0 errors, 1 warning" in done.output


def test_no_such_agent_is_exit_code_2_and_nothing_on_standard_output() -> None:
    done = check("bnk", "--json")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "there is no agent 'bnk'" in done.stderr


def test_no_such_option_is_exit_code_2() -> None:
    assert check("bank", "--jsn").exit_code == 2


def test_machines_read_findings_and_waits() -> None:
    written = json.loads(check(BROKEN / "phases" / "single_phrase_for_a_long_wait", "--json").output)
    (finding,) = written["findings"]
    assert (finding["code"], finding["severity"], finding["path"]) == ("silence-too-long", "error", [])
    assert finding["source"]["line"] > 0
    talk = written["phases"][0]
    assert talk["phase"] == "talk"
    assert max(wait["silence_ms"] for wait in talk["waits"]) == 55_000


def test_machines_read_what_cannot_be_built_in_the_same_form() -> None:
    written = json.loads(check(BROKEN / "phases" / "no_confirmation", "--json").output)
    assert [finding["code"] for finding in written["findings"]] == ["no-confirmation"]


SAYS = """
from voiceagent import Flow, HangUpAfter, Phase

print("loading {")
FLOW = Flow(name=%r, initial="bye", phases=(Phase(name="bye", ends=HangUpAfter()),))
"""


def written(folder: Path, name: str) -> Path:
    agent = folder / "phases" / "shop"
    agent.mkdir(parents=True)
    (agent / "__init__.py").write_text(SAYS % name)
    return agent


@pytest.mark.parametrize("command", [["check", "--json"], ["graph", "--format", "json"]])
def test_what_an_agents_module_prints_is_not_taken_for_our_output(tmp_path: Path, command: list[str]) -> None:
    name, *options = command
    done = CliRunner().invoke(app, [name, str(written(tmp_path, "shop")), *options])
    assert json.loads(done.stdout)
    assert done.stderr == "loading {\n"


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_half_a_character_is_spelled_out(tmp_path: Path, options: list[str]) -> None:
    agent = written(tmp_path, "caf\ud800é")
    command = [sys.executable, "-m", "voiceagent.cli", "check", str(agent), *options]
    environment = {**os.environ, "PYTHONIOENCODING": "utf-8", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, check=True, text=True)  # noqa: S603 - our own
    assert r"caf\ud800é" in done.stdout
