"""`voiceagent promote`: make a scripted conversation of a call that took place."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.testing.promotion import promoted

__all__ = ["promote"]


def promote(
    journal: Annotated[Path, typer.Argument(help="A call's journal, *.jsonl.")],
    agent: Annotated[str, typer.Option(help="The agent that took the call: a folder, or a name below phases/.")],
) -> None:
    """Print a call as a scripted conversation, with the caller's data replaced: a production call becomes a test.

    Read it before you commit it: what callers say of themselves in their own words stays.

    Exit code 0: it is printed. 1: the journal or the agent cannot be read, or the agent was changed in the call.

    Example, after `make demo`: voiceagent promote demo-output/<call>/journal.jsonl --agent bank > new.call.yaml
    """
    typer.echo(promoted(read_journal(journal), load_flow(agent), agent=agent), nl=False)
