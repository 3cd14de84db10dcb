"""The library: a small agent in both notations, laid out in a folder of its own for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import cast

import pytest

from voiceagent.cli import main
from voiceagent.spec.declared import Declared
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Not
from voiceagent.spec.phase import Phase
from voiceagent.spec.tool import Tool

_LIBRARY = Path(__file__).parent / "library"
_TEXTS = shutil.ignore_patterns("__pycache__")

Library = Callable[..., Path]
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def library(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Library:
    """Return a function that writes the library's agent below the working directory and returns its folder.

    Keyword arguments replace text: `flow={"name: card": "nmae: card"}` does so in `flow.yaml`.
    """
    monkeypatch.chdir(tmp_path)

    def write(*, python: bool = False, **changed: dict[str, str]) -> Path:
        folder = tmp_path / "phases" / "library"
        for made in (folder, tmp_path / "prompts" / "library"):
            shutil.rmtree(made, ignore_errors=True)
        shutil.copytree(_LIBRARY, folder, ignore=_TEXTS)
        (tmp_path / "prompts").mkdir(exist_ok=True)
        shutil.move(folder / "prompts", tmp_path / "prompts" / "library")
        if python:
            (folder / "flow_in_python.py").rename(folder / "__init__.py")
            (folder / "flow.yaml").unlink()
        else:
            (folder / "flow_in_python.py").unlink()
        files = {
            "flow": "flow.yaml",
            "card": "card.yaml",
            "talk": "talk.yaml",
            "tools": "tools.py",
            "skill": "loans/SKILL.md",
            "loans": "loans/tools.py",
            "init": "__init__.py",
        }
        for name, replaced in changed.items():
            file = folder / files[name]
            text = file.read_text()
            for old, new in replaced.items():
                assert old in text, f"{old!r} does not stand in {file.name}"
                text = text.replace(old, new, 1)
            file.write_text(text)
        return folder

    return write


@pytest.fixture
def voiceagent(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs the command line and returns exit code, output and errors."""

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr("sys.argv", ["voiceagent", *arguments])
        try:
            main()
        except SystemExit as ended:
            printed = capsys.readouterr()
            return int(ended.code or 0), printed.out, printed.err
        raise AssertionError("the command line always exits")

    return run


@pytest.fixture
def as_written() -> Callable[[object], object]:
    """Return a function that writes a declaration as an author would write it in YAML."""
    return _as_written


def _as_written(value: object) -> object:
    """Return a declaration as an author would write it in YAML."""
    match value:
        case Flow() | Phase():
            said = {name: part for name, part in _fields_of(value).items() if name != "prompts" and part is not Facts}
            return {name: _as_written(part) for name, part in said.items()}
        case Compare():
            return {value.fact: {value.is_: value.value}}
        case AllOf() | AnyOf():
            return {word: [_as_written(part) for part in parts] for word, parts in _fields_of(value).items()}
        case Not():
            return {"not": _as_written(value.not_)}
        case Declared():
            # A guard may be left out, but not empty: an empty one would permit everything.
            body = {
                name: _as_written(part)
                for name, part in _fields_of(value).items()
                if name != "kind" and (name, part) != ("when", None)
            }
            word = getattr(value, "kind", None) or "".join(
                f"_{letter.lower()}" if letter.isupper() else letter for letter in type(value).__name__
            ).lstrip("_")
            if not _is_one_of_several(value):
                return body
            return {word: body} if body else word
        case Tool():
            return _reference(value.run.__module__, value.name)
        case type():
            return _reference(value.__module__, value.__name__)
        case Mapping():
            return {name: _as_written(part) for name, part in cast("Mapping[str, object]", value).items()}
        case tuple() | list():
            return [_as_written(part) for part in cast("Sequence[object]", value)]
        case Decimal() | date() | datetime():
            return str(value)
        case _:
            return value


def _fields_of(value: Declared) -> dict[str, object]:
    return {name: getattr(value, name) for name in type(value).model_fields}


def _is_one_of_several(value: Declared) -> bool:
    one_of_its_kind = {"Transition", "Filler", "Limits", "Phrases", "Reprompts", "Prefetch"}
    one_of_its_kind |= {"GuidedDialogue", "Form", "Intent", "Slot"}
    return type(value).__name__ not in one_of_its_kind


def _reference(module: str, name: str) -> str:
    """Return how a thing in an agent's module is named as seen from the agent's folder."""
    return f"{module.partition('.')[2]}:{name}"
