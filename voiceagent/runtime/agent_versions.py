"""Versions of an agent: its files at one moment, kept beside the journals of the calls that went by them."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from voiceagent.errors import JournalError, OperatorError, PhaseError
from voiceagent.runtime.loader import load_flow, prompt_folder
from voiceagent.spec.flow import Flow

__all__ = ["AgentFiles", "KeptVersions", "files_of", "read_files"]

_FOLDER = "agents"
_IGNORED = ("__pycache__",)
_ENDINGS_IGNORED = (".pyc", "~", ".swp", ".tmp", ".call.yaml")
"""What editors and Python leave behind, and scripted conversations, which are about the agent and no part of it."""
_DIGITS = 16


@dataclass(frozen=True)
class AgentFiles:
    """Everything that an agent consists of, as it was when it was read."""

    agent: str
    contents: Mapping[str, bytes]
    """File below `phases/` or `prompts/` → what stands in it, sorted by file."""

    @cached_property
    def version(self) -> str:
        """Digest of names and contents."""
        digest = hashlib.sha256()
        for name, content in self.contents.items():
            digest.update(f"{name}\0{len(content)}\0".encode())
            digest.update(content)
        return digest.hexdigest()[:_DIGITS]

    def changed_since(self, before: AgentFiles) -> tuple[str, ...]:
        """Return which files are other than before, or are there only now or only then."""
        names = sorted({*self.contents, *before.contents})
        return tuple(name for name in names if self.contents.get(name) != before.contents.get(name))


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the files of the agent in this folder, its prompts included, by the names under which they are kept."""
    for kind, root in (("phases", folder), ("prompts", prompt_folder(folder))):
        for file in sorted(root.rglob("*")) if root.is_dir() else ():
            parts = file.relative_to(root).parts
            hidden = any(part in _IGNORED or part.startswith(".") for part in parts)
            if not hidden and not file.name.endswith(_ENDINGS_IGNORED) and file.is_file():
                yield "/".join((kind, folder.name, *parts)), file


def read_files(folder: Path) -> AgentFiles:
    """Read the agent in this folder. Raises OSError for a file that cannot be read, or is gone meanwhile."""
    return AgentFiles(folder.name, {name: file.read_bytes() for name, file in files_of(folder)})


class KeptVersions:
    """Versions of agents in a folder beside journals, each below its digest: what a call is replayed by.

    They have nothing of callers in them.
    """

    def __init__(self, journals: Path) -> None:
        self._folder = journals / _FOLDER

    def keep(self, files: AgentFiles) -> None:
        """Have a version there, for its owner's eyes only. Raises OperatorError where it cannot be written."""
        place = self._folder / files.version
        if place.exists():
            return
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            made = Path(tempfile.mkdtemp(dir=self._folder, prefix=".new-"))
            try:
                for name, content in files.contents.items():
                    _write(made / name, content)
                _into_place(made, place)
            finally:
                shutil.rmtree(made, ignore_errors=True)
        except OSError as exc:
            raise OperatorError(f"the agent cannot be kept in {self._folder}: {exc.strerror}") from exc

    def has(self, version: str) -> bool:
        """Whether a version is there."""
        return version.isalnum() and (self._folder / version).is_dir()

    def flow(self, version: str) -> Flow:
        """Return the flow of a version, whose code is run for that.

        Raises JournalError where it is not there, is not this user's or not what its name says, or cannot be loaded.
        """
        if not self.has(version):
            raise JournalError(f"version {version} of the agent is not kept in {self._folder}")
        place = self._folder / version
        agents = list((place / "phases").glob("*/"))
        if len(agents) != 1:
            raise JournalError(f"{place} is not a version of an agent")
        try:
            # Code is run before anything else could be compared: not what others put there, nor what was changed since.
            if any(path.stat().st_uid != os.geteuid() for path in (self._folder, place, *place.rglob("*"))):
                raise JournalError(f"{place} belongs to another user: nothing of it is run")
            if read_files(agents[0]).version != version:
                raise JournalError(f"{place} is not version {version} of the agent any more: nothing of it is run")
            return load_flow(agents[0])
        except OSError as exc:
            raise JournalError(f"version {version} of the agent cannot be read: {exc.strerror}") from exc
        except PhaseError as exc:
            raise JournalError(f"version {version} of the agent cannot be loaded: {exc}") from exc


def _into_place(made: Path, place: Path) -> None:
    try:
        made.rename(place)
    except OSError:
        if not place.is_dir():  # else another call of the same agent has kept this version meanwhile
            raise


def _write(file: Path, content: bytes) -> None:
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as written:
        written.write(content)
