"""`voiceagent replay`: feed a recorded call's events to the flow again and see the same effects come out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import replay as replay_journal

__all__ = ["replay"]


def replay(
    journal: Annotated[Path, typer.Argument(help="A call's journal, *.jsonl.")],
    agent: Annotated[str, typer.Option(help="The agent that took the call: a folder, or a name below phases/.")],
    other_flow: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--other-flow", help="Replay although the flow or its prompts have changed since.")
    ] = False,
) -> None:
    """Replay a call, byte for byte; exit code 1 and the first difference where the effects are not the same.

    Example, after `make demo`: voiceagent replay demo-output/<call>/journal.jsonl --agent bank
    """
    recorded = read_journal(journal)
    result = replay_journal(recorded, load_flow(agent), other_flow=other_flow)
    if result.difference is not None:
        typer.echo(str(result.difference))
        raise typer.Exit(1)
    same = "the same effects" if other_flow else "the same effects, byte for byte"
    typer.echo(f"{result.events} events: {same}{'' if recorded.complete else '; the journal breaks off'}")
