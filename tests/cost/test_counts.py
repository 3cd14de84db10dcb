"""The table of counts holds what the tests count, all of it and nothing else."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cost.counts import Counts, rows

HERE = Path(__file__).parent
CONVERSATIONS = HERE.parent / "conversations"

ONE = """
def test_one(counts):
    counts.hold("calls", "one", {"steps": 1})
"""
ANOTHER = """
import pytest

def test_another(counts):
    OUTCOME
    counts.hold("calls", "another", {"steps": 2})
"""
BEFORE = """calls:\n  "one": {steps: 3}\n  "gone": {steps: 4}\n"""
COUNTED = {"calls": {"one": {"steps": 1}, "another": {"steps": 2}}}


def counted_anew(folder: Path, *arguments: str, outcome: str = "pass") -> tuple[int, str]:
    """Count anew in a folder that has two tests and an older table; return the exit code and the table."""
    inside = folder / "tests" / "cost"
    inside.mkdir(parents=True)
    for name in ("conftest.py", "counts.py"):
        shutil.copy(HERE / name, inside)
    (inside / "test_one.py").write_text(ONE)
    (inside / "test_another.py").write_text(ANOTHER.replace("OUTCOME", outcome))
    table = inside / "counts.yaml"
    table.write_text(BEFORE)
    (folder / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    done = subprocess.run(  # noqa: S603 - our own tests
        [sys.executable, "-m", "pytest", "-q", *(arguments or ["tests/cost"])],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(folder), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "RENEW_COUNTS": "1"},
        capture_output=True,
        check=False,
    )
    return done.returncode, table.read_text()


def test_what_is_counted_anew_is_all_that_the_table_holds(tmp_path: Path) -> None:
    code, table = counted_anew(tmp_path)
    assert code == 0
    assert yaml.safe_load(table) == COUNTED


@pytest.mark.parametrize("outcome", ["assert False", "pytest.skip()", "raise KeyboardInterrupt"])
def test_a_table_is_kept_where_a_test_did_not_pass(tmp_path: Path, outcome: str) -> None:
    code, table = counted_anew(tmp_path, outcome=outcome)
    assert code != 0
    assert table == BEFORE


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "one", "tests/cost"],
        ["tests/cost/test_one.py"],
        ["tests/cost/test_one.py", "tests/cost/test_another.py::test_another"],
    ],
    ids=["deselected", "another file", "one test by its name"],
)
def test_a_table_is_kept_where_not_all_tests_were_run(tmp_path: Path, arguments: list[str]) -> None:
    code, table = counted_anew(tmp_path, *arguments)
    assert code != 0
    assert table == BEFORE


def test_every_row_of_the_table_belongs_to_a_test(counts: Counts) -> None:
    if counts.renews:
        return  # what belongs to none is about to go
    names = [re.compile(pattern) for pattern in set(_names_in_tests())]
    gone = [
        f"{group}: {what}"
        for group, counted in rows().items()
        for what in counted
        if not (what in _conversations(group) if "/" in group else any(name.fullmatch(what) for name in names))
    ]
    assert gone == [], "`make counts` leaves out what nothing counts any more"


def _conversations(group: str) -> set[str]:
    """Return what is counted of a file of scripted conversations; nothing where there is no such file."""
    file = CONVERSATIONS / group
    if not file.exists():
        return set()
    told = yaml.load(file.read_text(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506 - it is a safe one
    return {"all of them", *(row["name"] for row in told["conversations"])}


def _names_in_tests() -> Iterator[str]:
    """Yield a pattern of every name that a test of this folder holds something by."""
    for file in HERE.glob("test_*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
        for node in nodes:
            match node:
                case ast.Call(func=ast.Attribute(attr="hold" | "hold_least"), args=[_, ast.JoinedStr(parts), *_]):
                    yield "".join(re.escape(str(p.value)) if isinstance(p, ast.Constant) else ".+" for p in parts)
                case ast.Call(func=ast.Attribute(attr="hold" | "hold_least"), args=[_, ast.Constant(value=name), *_]):
                    yield re.escape(str(name))
                case ast.Call(func=ast.Attribute(attr="hold" | "hold_least"), args=[_, ast.Name(), *_]):
                    yield from map(re.escape, texts)  # it is one of several that the test goes through
                case _:
                    pass
