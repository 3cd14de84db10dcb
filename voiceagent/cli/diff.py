"""`voiceagent diff`: say what has changed between two versions of an agent."""

from __future__ import annotations

import contextlib
import difflib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer
from pydantic import JsonValue

from voiceagent.errors import OperatorError, PhaseError, VoiceAgentError
from voiceagent.runtime.loader import agent_folder, load_flow
from voiceagent.spec.difference import Change, differences
from voiceagent.spec.flow import Flow

__all__ = ["diff", "lines_of"]

_GIT = "git:"
_TITLED = ("tool", "transition")


def diff(
    before: Annotated[str, typer.Argument(help="Folder or name of an agent, or git:REV for the other as it was then.")],
    after: Annotated[str, typer.Argument(help="Folder or name of an agent, or git:REV for the other as it was then.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print the changes for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Print what has changed between two versions of an agent, phase by phase.

    Exit code 0: nothing. 1: something. 2: a version that cannot be read.

    Example: voiceagent diff git:HEAD bank
    """
    try:
        with contextlib.redirect_stdout(sys.stderr):  # an author's module may print; our output is read by machines
            changes = differences(_load(before, other=after), _load(after, other=before))
    except VoiceAgentError as exc:
        typer.echo(f"voiceagent: {exc}", err=True)
        raise typer.Exit(2) from exc
    if as_json:
        typer.echo(json.dumps([asdict(change) for change in changes], ensure_ascii=False, indent=2))
    else:
        for line in lines_of(changes):
            typer.echo(line)
    if changes:
        raise typer.Exit(1)


# --- versions --------------------------------------------------------------------------------------------------------


def _load(version: str, *, other: str) -> Flow:
    if not version.startswith(_GIT):
        return load_flow(version)
    if other.startswith(_GIT):
        raise OperatorError(f"one of the two must be an agent's folder, not {version!r} and {other!r}")
    return _load_from_git(agent_folder(other), version.removeprefix(_GIT))


def _load_from_git(folder: Path, revision: str) -> Flow:
    """Load an agent as it was committed, from a copy of its folder and its prompts."""
    top = Path(_git(folder, "rev-parse", "--show-toplevel").decode().strip()).resolve()
    commit = _commit(folder, revision)
    agent = folder.relative_to(top)
    wanted = [agent.as_posix(), (agent.parent.parent / "prompts" / agent.name).as_posix()]
    there = _git(top, "ls-tree", "-z", "--name-only", commit, "--", *wanted).decode().split("\0")
    if wanted[0] not in there:
        raise OperatorError(f"{revision!r} has no folder {wanted[0]}")
    archive = _git(top, "archive", "--format=zip", commit, "--", *(path for path in wanted if path in there))
    with tempfile.TemporaryDirectory() as made:
        copy = Path(made).resolve()
        with zipfile.ZipFile(io.BytesIO(archive)) as files:
            files.extractall(copy)
        try:
            return load_flow(copy / agent)
        except PhaseError as exc:
            raise OperatorError(f"{_GIT}{revision}: {str(exc).replace(f'{copy}/', '')}") from exc


def _commit(folder: Path, revision: str) -> str:
    try:
        return _git(folder, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}").decode().strip()
    except OperatorError as exc:
        raise OperatorError(f"git knows no revision {revision!r}") from exc


def _git(folder: Path, *arguments: str) -> bytes:
    try:
        done = subprocess.run(  # noqa: S603 - no shell, and what is given is no option
            ["git", "-C", str(folder), *arguments],  # noqa: S607 - the user's own git
            capture_output=True,
            check=True,
        )
    except FileNotFoundError as exc:
        raise OperatorError("git is not installed") from exc
    except subprocess.CalledProcessError as exc:
        said: bytes = exc.stderr
        raise OperatorError(f"git: {said.decode(errors='replace').strip().splitlines()[-1]}") from exc
    return done.stdout


# --- for people ------------------------------------------------------------------------------------------------------


def lines_of(changes: Sequence[Change]) -> Iterator[str]:
    """Return what has changed for people to read, phase by phase."""
    for (of, name), group in groupby(changes, key=lambda change: (change.of, change.name)):
        parts = list(group)
        if not parts[0].what:
            yield f"{of} {name}: {'added' if parts[0].before is None else 'removed'}"
            continue
        yield f"{of} {name}"
        for change in parts:
            yield from _change(change)


def _change(change: Change) -> Iterator[str]:
    before, after = change.before, change.after
    if isinstance(before, str) and isinstance(after, str) and "\n" in before + after:
        yield f"  ~ {change.what}"
        compared = difflib.ndiff(before.splitlines(), after.splitlines())
        yield from (f"      {line}" for line in compared if line[0] in "+-")
    elif change.what in _TITLED:
        yield f"  {'+' if before is None else '-'} {change.what} {after if before is None else before}"
    elif before is None:
        yield f"  + {change.what}: {_text(after)}"
    elif after is None:
        yield f"  - {change.what}: {_text(before)}"
    else:
        yield f"  ~ {change.what}: {_text(before)} → {_text(after)}"


def _text(value: JsonValue) -> str:
    """Return a value on one line, a declaration as it looks in Python."""
    match value:
        case {"is": str(kind)}:
            fields: Mapping[str, JsonValue] = {name: part for name, part in value.items() if name != "is"}
            said = ", ".join(f"{name}={_text(part)}" for name, part in fields.items() if part is not None)
            return f"{kind}({said})"
        case list(items):
            return f"[{', '.join(map(_text, items))}]"
        case _:
            return json.dumps(value, ensure_ascii=False)
