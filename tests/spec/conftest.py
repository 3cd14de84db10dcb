"""The library: a small agent in both notations, laid out in a folder of its own for each test."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

_LIBRARY = Path(__file__).parent / "library"
_TEXTS = shutil.ignore_patterns("__pycache__")

Library = Callable[..., Path]


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
