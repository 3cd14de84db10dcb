"""`voiceagent doctor`: say what is missing on this machine, and how to mend it."""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.cli.examination import Found, Wanted, examined
from voiceagent.models.choose import ProviderAccess

__all__ = ["doctor"]


def doctor(
    port: Annotated[int, typer.Option(min=1, max=65_535, help="The port that will be served on.")] = 8080,
    journals: Annotated[Path, typer.Option(envvar="VOICEAGENT_JOURNALS", help="Folder of the calls' journals.")] = Path(
        "journals"
    ),
    state: Annotated[
        str,
        typer.Option(envvar="VOICEAGENT_STATE", metavar="memory|sqlite:///FILE|redis://…", help="As `serve` takes it."),
    ] = "memory",
    model: Annotated[
        str | None, typer.Option(envvar="VOICEAGENT_MODEL", metavar="NAME[,NAME…]", help="As `serve` takes it.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Look whether all is there that calls need: Python, extras, engines, keys, audio, the port, shared state.

    No key is printed, and nobody is called. What is optional is told, too.

    Exit code 0: what is not asked for otherwise works. 1: something that it needs is missing.

    Example: voiceagent doctor --port 9000
    """
    found: list[Found] = []
    for one in examined(Wanted(port, journals, state, model, _access(), os.environ)):
        found.append(one)
        if not as_json:
            _print(one)
    wrong = [one for one in found if one.wrong]
    if as_json:
        typer.echo(json.dumps({"ok": not wrong, "found": [asdict(one) for one in found]}, ensure_ascii=False, indent=2))
    else:
        typer.echo(
            f"missing: {', '.join(one.what for one in wrong)}" if wrong else "everything that is needed is there"
        )
    if wrong:
        raise typer.Exit(1)


def _access() -> ProviderAccess:
    known = os.environ.get
    return ProviderAccess(
        openai_api_key=known("OPENAI_API_KEY"),
        openai_base_url=known("OPENAI_BASE_URL"),
        anthropic_api_key=known("ANTHROPIC_API_KEY"),
        anthropic_base_url=known("ANTHROPIC_BASE_URL"),
    )


def _print(found: Found) -> None:
    mark = "ok     " if found.ok else "MISSING" if found.needed else "-      "
    mend = "" if found.ok else f" - {found.mend}"
    typer.echo(f"{mark} {found.what}: {found.says}{mend}")
