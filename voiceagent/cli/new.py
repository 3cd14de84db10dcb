"""`voiceagent new`: write a small agent that can be called at once."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.errors import OperatorError

__all__ = ["new"]

_TEMPLATE = Path(__file__).parent / "scaffold" / "my_agent"
_WRITTEN = (".md", ".py", ".yaml")
"""And nothing that an interpreter leaves beside them."""
_NAME = re.compile(r"[a-z][a-z0-9_]{0,62}")
"""What a flow, a folder and the path of a telephone line can be called."""


def new(
    name: Annotated[str, typer.Argument(help="What the agent is called: lower case letters, digits and underscores.")],
) -> None:
    """Write an agent into a folder of its name: a flow in YAML, two prompts, a tool, three scripted conversations.

    It passes `check` and `test`, and can be called by typing or by telephone without any key. Nothing is overwritten.

    Exit code 0: it is written. 1: it cannot be, or there is something of that name already.

    Example: voiceagent new my_agent
    """
    if not _NAME.fullmatch(name):
        raise OperatorError(
            f"an agent cannot be called {name!r}: lower case letters, digits, underscores, a letter first, at most 63"
        )
    written = _written(name)
    for file in written:
        typer.echo(f"wrote {file}")
    typer.echo(f"next: voiceagent check {name}; voiceagent test {name}; voiceagent chat {name} --reload")
    typer.echo(f"with a voice: voiceagent serve {name} --insecure, and call it from a browser ({name}/README.md)")


def _written(name: str) -> list[Path]:
    """Write the agent; return its files. Raises OperatorError where something of that name is there already."""
    folder = Path(name)
    try:
        folder.mkdir()
    except FileExistsError as exc:
        raise OperatorError(f"there is a {name} here already: nothing was written") from exc
    except OSError as exc:
        raise OperatorError(f"{name} cannot be written: {exc.strerror}") from exc
    files: list[Path] = []
    for source in sorted(_TEMPLATE.rglob("*")):
        if source.is_file() and source.suffix in _WRITTEN:
            file = folder / source.relative_to(_TEMPLATE)
            file.parent.mkdir(exist_ok=True)
            file.write_text(source.read_text(encoding="utf-8").replace(_TEMPLATE.name, name), encoding="utf-8")
            files.append(file)
    return files
