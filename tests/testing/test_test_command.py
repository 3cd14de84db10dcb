"""`voiceagent test` and the pytest plugin, as a user runs them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from voiceagent.cli.commands import app

ROOT = Path(__file__).parents[2]

CALLS = """
agent: desk
model: {lines: {hello: [{calls: check_member, arguments: {code: ⟨code⟩}}], desk: What can I do for you}}
tools: {check_member: {result: {member: true}}, opening_hours: {result: {until: six}}}
conversations:
  - name: a good call
    call: [{says: one two three four, expect: {phase: desk}}]
  - name: a bad call
    call: [{says: one two three four, expect: {phase: hello}}]
  - name: a known call
    xfail: not mended yet
    call: [{says: one two three four, expect: {phase: hello}}]
"""

Run = Callable[..., tuple[int, str]]


@pytest.fixture
def folder(place: Path) -> Path:
    folder = place / "tests"
    shutil.rmtree(folder, ignore_errors=True)  # a run of pytest in it leaves its cache behind
    folder.mkdir()
    (folder / "desk.call.yaml").write_text(CALLS)
    return folder


@pytest.fixture
def run(folder: Path) -> Run:
    """Return a function that runs the command and returns its exit code and everything it printed."""

    def run_command(*arguments: object) -> tuple[int, str]:
        done = CliRunner().invoke(app, ["test", *map(str, arguments)])
        assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
        return done.exit_code, done.output

    return run_command


def test_calls_that_go_as_expected_exit_with_0(run: Run, folder: Path) -> None:
    code, printed = run(folder, "-k", "not bad")
    assert code == 0, printed
    assert "ok      a good call" in printed
    assert "known   a known call" in printed
    assert "1 passed, 1 known to fail" in printed
    assert "simulated seconds per second" in printed
    assert "6 calls on the core" in printed, "five schedules, and one until the known failure"


def test_one_that_does_not_exits_with_1_and_says_why(run: Run, folder: Path) -> None:
    code, printed = run(folder / "desk.call.yaml")
    assert code == 1
    assert "FAILED  a bad call" in printed
    assert "expected  hello" in printed
    assert "got       desk" in printed


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nowhere.call.yaml"], "nowhere.call.yaml: cannot be read"),
        (["empty"], "there is no *.call.yaml in "),
        (["desk.call.yaml", "-k", "bananas"], "-k 'bananas' selects no conversation"),
        (["desk.call.yaml", "-k", "(a"], "a parenthesis is not closed"),
        (["broken.call.yaml"], "broken.call.yaml:1: unknown key 'agnt'; did you mean 'agent'?"),
        (["lost.call.yaml"], "lost.call.yaml:1: there is no agent 'dusk'; did you mean 'desk'?"),
        (["desk.call.yaml", "--junit", "desk.call.yaml/x.xml"], "cannot be written"),
        (["desk.call.yaml", "--schedules", "0"], "--schedules"),
        ([], "Missing argument"),
    ],
)
def test_what_cannot_be_used_exits_with_2_and_one_line(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], said: str
) -> None:
    monkeypatch.chdir(folder)
    (folder / "broken.call.yaml").write_text("agnt: desk\nname: a\ncall: [waits]")
    (folder / "lost.call.yaml").write_text("agent: dusk\nname: a\ncall: [waits]")
    Path("empty").mkdir(exist_ok=True)
    code, printed = run(*arguments)
    Path("empty").rmdir()
    assert code == 2
    assert said in printed
    assert "Traceback" not in printed


def test_with_runtime_they_are_played_through_it_as_well(run: Run, folder: Path) -> None:
    code, printed = run(folder, "--schedules", 2, "--runtime", 1, "-k", "good")
    assert code == 0, printed
    assert "2 calls on the core, " in printed
    assert "1 call through the runtime, " in printed


def test_what_the_runtime_cannot_play_is_refused_before_anything_is(run: Run, folder: Path) -> None:
    calls = CALLS.replace("  - name: a good call", "  - name: a good call\n    faults: {swap_fails: 2}")
    (folder / "desk.call.yaml").write_text(calls)
    code, printed = run(folder, "--runtime", 1)
    assert code == 2
    assert "desk.call.yaml:7: through the runtime no swap fails" in printed
    assert "ok" not in printed


def test_machines_are_told_the_same(run: Run, folder: Path, tmp_path: Path) -> None:
    code, printed = run(folder, "--json", "--seed", 3, "--schedules", 2, "--junit", tmp_path / "new" / "junit.xml")
    told = json.loads(printed)
    assert code == 1
    assert [result["status"] for result in told["results"]] == ["passed", "failed", "known"]
    assert told["results"][1]["seed"] == 3
    assert told["summary"]["failed"] == 1
    assert "<testsuites>" in (tmp_path / "new" / "junit.xml").read_text()


def test_processes_share_the_files(run: Run, folder: Path) -> None:
    (folder / "more.call.yaml").write_text(CALLS)
    code, printed = run(folder, "--jobs", 2, "-k", "good")
    assert code == 0, printed
    assert printed.index("desk.call.yaml") < printed.index("more.call.yaml")
    assert ": 2 passed" in printed


# --- pytest ----------------------------------------------------------------------------------------------------------

PYTHON_TEST = """
from voiceagent.runtime.loader import load_flow
from voiceagent.testing import ScriptedCall, ScriptedModel, say

DESK = load_flow({place!r})


def test_with_a_scripted_call(scripted_call):
    call = scripted_call(DESK, model=ScriptedModel({{"hello": [say("Your code?")]}}))
    assert call.says("hello there").heard[-1] == "Your code?"


def test_whose_call_replays_otherwise(scripted_call, monkeypatch):
    scripted_call(DESK, model=ScriptedModel({{}}))
    ScriptedCall.replay_difference = lambda call: "event 7"
"""


def pytest_in(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run pytest with the plugin as it is here, whether or not another copy of the package is installed."""
    chosen = ["no:voiceagent", "voiceagent.testing.pytest_plugin", "no:randomly", "no:cacheprovider"]
    plugins = [part for name in chosen for part in ("-p", name)]
    return subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "pytest", "-q", "-ra", *plugins, *arguments, "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_pytest_collects_the_files_and_lends_a_call(folder: Path, place: Path) -> None:
    (folder / "test_desk.py").write_text(PYTHON_TEST.format(place=str(place / "phases" / "desk")))
    (folder / "broken.call.yaml").write_text("agent: desk\nname: a\ncal: [waits]")
    done = pytest_in(folder, "--continue-on-collection-errors", "--call-schedules", "3", "--call-runtime", "1")
    printed = done.stdout
    assert done.returncode == 1, printed + done.stderr
    assert "1 failed, 3 passed, 1 xfailed, 2 errors" in printed
    assert "turn 1: says 'one two three four'" in printed
    assert "broken.call.yaml:3: unknown key 'cal'; did you mean 'call'?" in printed
    assert "XFAIL desk.call.yaml::a known call - not mended yet" in printed
    assert "AssertionError: event 7" in printed
    assert "Traceback" not in printed


REPLAYS_OTHERWISE = """
from voiceagent.core.agent_speech import AgentSpeech

begin, begun = AgentSpeech.begin, []

def counted_for_all_calls(self, kind, *, interruptible, utterance=None):
    begun.append(kind)
    return begin(self, kind, interruptible=interruptible, utterance=f"a{len(begun)}")

AgentSpeech.begin = counted_for_all_calls
"""
MARKS_EVERYTHING = """
def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker("through_runtime")
"""


@pytest.mark.parametrize("option", ["--call-schedules=0", "--call-runtime=-1", "--call-seed=-1"])
def test_pytest_does_not_play_nothing(folder: Path, option: str) -> None:
    done = pytest_in(folder, option)
    assert done.returncode == 4
    assert "is less than" in done.stderr
    assert "passed" not in done.stdout


def test_pytest_lets_nothing_pass_that_replays_otherwise(folder: Path) -> None:
    (folder / "test_desk.py").write_text("")
    (folder / "conftest.py").write_text(REPLAYS_OTHERWISE)
    done = pytest_in(folder, "--call-schedules", "1")
    assert "3 failed" in done.stdout, done.stdout
    assert "xfailed" not in done.stdout
    assert "the journal\n    expected  to give the same effects again, byte for byte" in done.stdout


def test_pytest_plays_what_is_marked_through_the_runtime_as_well(folder: Path) -> None:
    (folder / "conftest.py").write_text(MARKS_EVERYTHING)
    calls = CALLS.replace("  - name: a good call", "  - name: a good call\n    faults: {swap_fails: 2}")
    (folder / "desk.call.yaml").write_text(calls)
    printed = pytest_in(folder, "-k", "good", "--strict-markers").stdout
    assert "1 failed" in printed
    assert "desk.call.yaml:7: through the runtime no swap fails" in printed
    assert "Traceback" not in printed
