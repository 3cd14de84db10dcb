"""What has to be imported before anything happens: by an author's module, and by a shell that completes a word."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from typer.main import get_group

from tests.cost.counting import OTHER_PYTHONS
from tests.cost.counts import Counts
from voiceagent.audio import pcm16_to_mulaw
from voiceagent.cli.commands import COMMANDS, app
from voiceagent.core.events import PhaseSwapped, ToolFinished, TranscriptFinal
from voiceagent.runtime.journal_file import read_journal
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import ExpectHangUpStep, SayStep, WaitForAgentStep
from voiceagent.testing.utterance import Utterance

ROOT = Path(__file__).resolve().parents[2]
SERVERS = ("asyncio", "httpx", "starlette", "uvicorn", "websockets", "cryptography", "ssl", "redis", "numpy", "rich")
TEMPLATES = ("jinja2", "yaml", "dateparser", "text_to_num", "transitions", "cachetools", "jellyfish")


def imported_by(program: str, *arguments: str, **environment: str) -> list[str]:
    """Return what a fresh interpreter has imported once a program is over, however it ended."""
    told = (
        "import atexit, json, sys\n"
        "atexit.register(lambda: print('\\n' + json.dumps(sorted(sys.modules)), file=sys.__stderr__))\n"
    )
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", told + program, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    return json.loads(done.stderr.splitlines()[-1])


def ours(modules: list[str]) -> set[str]:
    return {name for name in modules if name.partition(".")[0] == "voiceagent"}


RUN = "from voiceagent.cli import main; main()"
COMMAND_LINE = {"voiceagent", "voiceagent.cli", "voiceagent.cli.commands", "voiceagent.cli.late_commands"}


def test_the_package_is_imported_when_something_of_it_is_used() -> None:
    assert ours(imported_by("import voiceagent")) == {"voiceagent"}


@pytest.mark.parametrize("library", [*SERVERS, *TEMPLATES])
def test_an_author_waits_for_no_server_and_no_template(imported_for_authors: list[str], library: str) -> None:
    assert library not in imported_for_authors


@pytest.fixture(scope="module")
def imported_for_authors() -> list[str]:
    return imported_by("from voiceagent import *")


@pytest.mark.parametrize(
    "arguments",
    [["--version"], ["--help"], ["chek"]],
    ids=["the version", "the list of commands", "a command that there is not"],
)
def test_the_command_line_imports_no_command_that_is_not_typed(arguments: list[str]) -> None:
    modules = imported_by(RUN, *arguments)
    assert ours(modules) == COMMAND_LINE | {"voiceagent.errors"}
    assert {"asyncio", "jinja2"} & set(modules) == set()


def test_a_word_is_completed_without_importing_anything_that_it_is_not_about() -> None:
    typed = {"_VOICEAGENT_COMPLETE": "complete_bash", "COMP_CWORD": "1", "COMP_WORDS": "voiceagent che"}
    modules = imported_by(f"import sys; sys.argv[0] = 'voiceagent'; {RUN}", **typed)
    assert ours(modules) == COMMAND_LINE | {"voiceagent.errors"}
    assert {"asyncio", "rich"} & set(modules) == set()


@pytest.mark.parametrize(
    "arguments",
    [["check", "bank"], ["test", "tests/conversations/bank/balance.call.yaml", "--schedules", "1"], ["graph", "bank"]],
    ids=lambda arguments: arguments[0],
)
def test_what_only_looks_at_an_agent_imports_no_server(arguments: list[str]) -> None:
    modules = set(imported_by(RUN, *arguments))
    assert modules & {"starlette", "uvicorn", "cryptography", "redis", "numpy", "onnxruntime"} == set()


def test_no_more_modules_are_imported_than_before(counts: Counts) -> None:
    for what, program, arguments in (
        ("from voiceagent import *", "from voiceagent import *", ()),
        ("load phases/bank", "from voiceagent.runtime.loader import load_flow; load_flow('bank')", ()),
        ("voiceagent --version", RUN, ("--version",)),
        ("voiceagent check bank", RUN, ("check", "bank")),
    ):
        modules = imported_by(program, *arguments)
        counts.hold("start", what, {"modules": len(modules), "of_ours": len(ours(modules))}, spare=OTHER_PYTHONS)


SPEECH = Utterance.from_mulaw("something", pcm16_to_mulaw((b"\x00\x20" * 20 + b"\x00\xe0" * 20) * 180))
"""0.9 s of a loud square wave."""
SAID = CallerScript("one turn", (WaitForAgentStep(quiet_ms=300), SayStep(SPEECH), ExpectHangUpStep(within_ms=30_000)))


def test_a_server_that_is_open_has_imported_what_a_turn_a_tool_and_a_change_of_phase_need(tmp_path: Path) -> None:
    with subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-m", "tests.cost.a_call_answered", str(tmp_path)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as serving:
        assert serving.stdout is not None
        report = asyncio.run(place_call(serving.stdout.readline().strip(), SAID))
        told, _ = serving.communicate()
    assert serving.returncode == 0
    assert report.ok, report.failure
    (journal,) = (read_journal(file) for file in tmp_path.glob("*.jsonl"))
    happened = {type(entry.event) for entry in journal.entries}
    assert {TranscriptFinal, ToolFinished, PhaseSwapped} <= happened
    assert told.split() == [], "all calls wait for what one has imported"


@pytest.mark.parametrize("name", COMMANDS)
def test_the_list_of_commands_says_of_each_what_it_says_itself(name: str) -> None:
    command = get_group(app).commands[name]
    assert command.help is not None
    assert COMMANDS[name].summary == " ".join(command.help.split("\n\n")[0].split())
    assert command.name == name
