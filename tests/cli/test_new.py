"""`voiceagent new`: an agent that is whole, in a folder that was not there, under a name that can be called."""

from __future__ import annotations

import json
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.cli.chats import ROOT, chat_by_pipe
from tests.cli.conftest import Run
from voiceagent.runtime.loader import load_flow
from voiceagent.spec.verify import verify

SCAFFOLD = ROOT / "voiceagent" / "cli" / "scaffold"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_has_nothing_wrong_and_is_called_what_it_is_called(here: Path, voiceagent: Run):
    code, said, _ = voiceagent("new", "front_desk2")
    assert code == 0
    assert said.splitlines()[-2] == (
        "next: voiceagent check front_desk2; voiceagent test front_desk2; voiceagent chat front_desk2 --reload"
    )
    flow = load_flow(here / "front_desk2")
    assert flow.name == "front_desk2"
    assert verify(flow) == []
    assert not [file for file in here.rglob("*") if file.is_file() and "my_agent" in file.read_text()]
    assert voiceagent("check", "front_desk2")[0] == 0


def test_its_three_conversations_go_as_they_say(here: Path, voiceagent: Run):
    del here
    voiceagent("new", "desk")
    code, said, _ = voiceagent("test", "desk", "--json")
    assert (code, [result["status"] for result in json.loads(said)["results"]]) == (0, ["passed"] * 3)


def test_it_is_called_without_a_key(here: Path, voiceagent: Run):
    voiceagent("new", "desk")
    assert chat_by_pipe(here, "desk", "4711\nbye\n", "--json").of("ended")[0]["reason"] == "phase goodbye"


def test_its_readme_has_ten_lines_at_most(here: Path, voiceagent: Run):
    voiceagent("new", "desk")
    assert len((here / "desk" / "README.md").read_text().splitlines()) <= 10


@pytest.mark.parametrize("name", ["", "Desk", "2desk", "a-desk", "../desk", "desk/", "dësk", "desk\n", "d" * 64, "."])
def test_a_name_that_cannot_be_called_is_refused(here: Path, voiceagent: Run, name: str):
    code, said, complained = voiceagent("new", name)
    assert (code, said) == (1, "")
    assert complained.startswith("voiceagent: an agent cannot be called")
    assert list(here.iterdir()) == []


def test_nothing_is_overwritten(here: Path, voiceagent: Run):
    (here / "desk").mkdir()
    (here / "desk" / "flow.yaml").write_text("mine")
    (here / "letter").write_text("mine")
    for name in ("desk", "letter"):
        code, said, complained = voiceagent("new", name)
        assert (code, said, complained) == (1, "", f"voiceagent: there is a {name} here already: nothing was written\n")
    assert [file.read_text() for file in here.rglob("*") if file.is_file()] == ["mine", "mine"]


def test_a_folder_that_cannot_be_written_is_one_line(voiceagent: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir("/proc")
    code, _, complained = voiceagent("new", "desk")
    assert code == 1
    assert complained.startswith("voiceagent: desk cannot be written: ")


def test_what_it_writes_comes_with_the_wheel():
    """The build takes all of the package's folder but what git ignores; so nothing of this may be ignored."""
    build = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert build == {"packages": ["voiceagent"]}
    files = [str(file) for file in SCAFFOLD.rglob("*") if file.is_file() and "__pycache__" not in file.parts]
    assert len(files) == 8
    ignored = subprocess.run(["git", "check-ignore", *files], cwd=ROOT, capture_output=True, check=False)  # noqa: S603, S607 - git of this machine
    assert ignored.stdout == b""
