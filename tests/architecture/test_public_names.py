"""The names of the package are there when they are asked for, and type checkers know which there are."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHECKER = Path(sys.executable).with_name("basedpyright")


def run(program: str) -> str:
    """Return what a fresh interpreter prints, in which nothing has been imported yet."""
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("module", ["errors", "spec", "tools"])
def test_a_module_of_the_package_is_there_when_it_is_first_asked_for(module: str) -> None:
    assert run(f"import voiceagent; print(voiceagent.{module}.__name__)") == f"voiceagent.{module}\n"


def test_a_name_is_looked_for_once() -> None:
    looked = run(
        "import voiceagent\n"
        "print('Phase' in vars(voiceagent), voiceagent.Phase.__name__, vars(voiceagent)['Phase'] is voiceagent.Phase)"
    )
    assert looked == "False Phase True\n"


def test_a_type_checker_knows_the_names_of_the_package_and_no_others(tmp_path: Path) -> None:
    (tmp_path / "author.py").write_text(
        "import voiceagent\n"
        "from voiceagent import Flow, Phase\n"
        "from voiceagent import Phaze\n"
        "print(voiceagent.Phase, voiceagent.Floww, Flow, Phase, Phaze)\n"
    )
    settings = {"extraPaths": [str(ROOT)], "venvPath": str(ROOT), "venv": ".venv", "typeCheckingMode": "standard"}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(settings))
    done = subprocess.run(  # noqa: S603 - our own type checker
        [str(CHECKER), "--outputjson", "--project", str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    told = json.loads(done.stdout)["generalDiagnostics"]
    assert [(one["rule"], one["range"]["start"]["line"] + 1) for one in told if one["severity"] == "error"] == [
        ("reportAttributeAccessIssue", 3),
        ("reportAttributeAccessIssue", 4),
    ]
