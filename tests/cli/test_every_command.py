"""Every command tells how it is used, with an example that can be typed, and what its exit codes mean."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from tests.cli.conftest import Run
from voiceagent.cli.commands import app

COMMANDS = get_group(app).commands
_EXAMPLE = re.compile(r"Example[^:\n]*: (.*?)(?:\n\n|\Z)", re.DOTALL)
_NOT_FOR_MACHINES = {
    "new": "it writes files",
    "serve": "--log-format json",
    "graph": "--format json",
    "report": "it prints a path",
    "promote": "it prints YAML",
    "schema": "it is JSON",
    "talk": "a person speaks; the journal is for machines",
}


def help_of(command: str) -> str:
    return COMMANDS[command].help or ""


def examples_of(command: str) -> list[str]:
    return [" ".join(found.split()) for found in _EXAMPLE.findall(help_of(command))]


@pytest.mark.parametrize("command", COMMANDS)
def test_it_has_examples_that_the_command_line_understands(command: str) -> None:
    examples = examples_of(command)
    assert examples
    for example in examples:
        typed = re.split(r"\||>", example.replace("<call>", "call"))
        (own,) = [part for part in typed if part.strip().startswith("voiceagent")]
        _, name, *arguments = shlex.split(own)
        assert name == command
        context = COMMANDS[command].make_context(name, arguments)  # raises where an option or argument is none
        assert context.params


@pytest.mark.parametrize("command", COMMANDS)
def test_its_exit_codes_are_told(command: str) -> None:
    assert re.search(r"^Exit code 0[:,] ", help_of(command), re.MULTILINE), help_of(command)


@pytest.mark.parametrize("command", COMMANDS)
def test_machines_can_read_what_it_says(command: str) -> None:
    options = {option for parameter in COMMANDS[command].params for option in parameter.opts}
    assert ("--json" in options) != (command in _NOT_FOR_MACHINES)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_option_is_explained(command: str) -> None:
    unexplained = [
        parameter.opts[0]
        for parameter in COMMANDS[command].params
        if not getattr(parameter, "hidden", False) and not getattr(parameter, "help", None)
    ]
    assert unexplained == []


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_is_given_what_completes_it(shell: str) -> None:
    script = Path(sys.executable).with_name("voiceagent")
    run = subprocess.run(  # noqa: S603 - our own command
        [script],
        env={**os.environ, "_VOICEAGENT_COMPLETE": f"source_{shell}", "PYTHONPATH": str(Path(__file__).parents[2])},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert "voiceagent" in run.stdout
    assert f"complete_{shell}" in run.stdout


def test_what_exploring_has_found_can_be_read_by_machines(voiceagent: Run) -> None:
    code, said, _ = voiceagent("explore", "--calls", "3", "--runtime", "0", "--json")
    told = json.loads(said)
    assert (code, told["test"]) == (0, None)
    assert [(level["level"], level["calls"], level["broken"]) for level in told["levels"]] == [
        ("core", 3, []),
        ("runtime", 0, []),
    ]
