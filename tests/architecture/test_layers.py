"""The layers hold, and are seen to break when somebody breaks them."""

from __future__ import annotations

import ast
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "voiceagent"
LINT = Path(sys.executable).with_name("lint-imports")
ONLY_IMPORTERS = {
    "transitions": "core/phase_machine.py",
    "cachetools": "core/prefetch.py",
    "jellyfish": "language/names.py",
    "pyaudio": "devices/",
}
DECIDES = ("core", "spec", "language", "audio")
CLOCKS = {("datetime", "now"), ("datetime", "utcnow"), ("datetime", "today"), ("date", "today")}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for file in sorted(PACKAGE.rglob("*.py")):
        yield file.relative_to(PACKAGE).as_posix(), ast.parse(file.read_text())


def imported_by(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


@pytest.mark.parametrize(("library", "owner"), ONLY_IMPORTERS.items())
def test_a_library_that_is_hidden_has_one_importer(library: str, owner: str) -> None:
    importers = [name for name, tree in modules() if library in imported_by(tree)]
    assert all(name.startswith(owner) for name in importers), importers


def test_what_decides_never_asks_for_the_time() -> None:
    asked = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if name.startswith(DECIDES)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and (node.value.id, node.attr) in CLOCKS
    ]
    assert asked == []


def test_json_of_calls_is_read_where_nothing_is_kept_of_it() -> None:
    may_keep = ("json_reader.py", "spec/", "testing/")  # what authors have written is of no caller's
    kept = [
        f"{name}:{node.lineno}"
        for name, tree in modules()
        if not name.startswith(may_keep)
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in {"validate_json", "model_validate_json", "from_json"}
    ]
    assert kept == []


def test_every_module_says_in_its_first_line_what_it_is() -> None:
    silent = [name for name, tree in modules() if tree.body and not ast.get_docstring(tree)]
    assert silent == []


def test_every_public_name_of_the_package_is_listed() -> None:
    import voiceagent
    from voiceagent import authoring

    public = {name for name in vars(authoring) if name.isidentifier() and not name.startswith("_")}
    assert public == set(authoring.__all__)
    assert sorted(authoring.__all__) == authoring.__all__ == voiceagent.__all__
    for name in authoring.__all__:
        assert getattr(voiceagent, name) is getattr(authoring, name)
        assert name in dir(voiceagent)
    assert not hasattr(voiceagent, "Conversation")


def lint(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own linter
        [str(LINT), "--no-cache"],
        cwd=folder,
        env={"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )


VIOLATIONS = {
    "core reaches up": ("core/fillers.py", "from voiceagent.runtime import session"),
    "core waits": ("core/fillers.py", "import asyncio"),
    "runtime reaches sideways": ("runtime/learned.py", "from voiceagent.telephony import codec"),
    "spec reaches up": ("spec/filler.py", "from voiceagent.core import events"),
}


@pytest.fixture(scope="module")
def copied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("layers")
    shutil.copytree(PACKAGE, folder / "voiceagent", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def test_the_layers_hold(copied: Path) -> None:
    done = lint(copied)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("violation", VIOLATIONS)
def test_a_broken_layer_is_seen(copied: Path, violation: str) -> None:
    file, line = VIOLATIONS[violation]
    path = copied / "voiceagent" / file
    kept = path.read_text()
    try:
        path.write_text(f"{kept}\n{line}\n")
        done = lint(copied)
    finally:
        path.write_text(kept)
    assert done.returncode != 0
    assert "BROKEN" in done.stdout
