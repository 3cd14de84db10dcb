"""What docs/scripted-conversations.md shows is run: with the agent of the README, as its reader would."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import typer.core
import typer.main
from typer.testing import CliRunner

from voiceagent.cli.commands import app
from voiceagent.testing import call_rows

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "scripted-conversations.md").read_text()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with all that the two pages tell their readers to write."""
    for page in ((ROOT / "README.md").read_text(), PAGE):
        written = re.findall(r"^`([a-z_/.]+)`:\n\n```[a-z]+\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
        for name, content in written:
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text(content)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_every_conversation_goes_as_the_page_says(folder: Path) -> None:
    done = CliRunner().invoke(app, ["test", str(folder / "tests")])
    assert done.exit_code == 0, done.output
    assert "4 passed, 1 skipped" in done.output


def test_pytest_plays_the_same_and_the_test_in_python(folder: Path) -> None:
    plugins = ["-p", "no:voiceagent", "-p", "voiceagent.testing.pytest_plugin", "-p", "no:cacheprovider"]
    done = subprocess.run(  # noqa: S603 - our own interpreter
        [sys.executable, "-m", "pytest", "-q", *plugins, "tests"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "5 passed, 1 skipped" in done.stdout, done.stdout + done.stderr


def test_every_option_is_there_and_told() -> None:
    tree = typer.main.get_command(app)
    assert isinstance(tree, typer.core.TyperGroup)
    options = {name for option in tree.commands["test"].params for name in option.opts if name.startswith("-")}
    told = {
        name for row in re.findall(r"^\| (`-.*?) \|", PAGE, re.MULTILINE) for name in re.findall(r"`(-[-a-z]+)", row)
    }
    assert told == options


@pytest.mark.parametrize(
    ("beginning", "known"),
    [
        ("**Turns**", set(call_rows.ACTS)),
        ("**Expectations**", set(call_rows.ExpectRow.model_fields)),
        ("**Faults**", set(call_rows.FaultsRow.model_fields)),
    ],
)
def test_every_key_is_there_and_told(beginning: str, known: set[str]) -> None:
    told = PAGE.partition(f"- {beginning}")[2].partition("\n- ")[0]
    assert {name for name in re.findall(r"`([a-z_]+)`", told) if name != "in_the_end"} == known
