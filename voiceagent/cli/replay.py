"""`voiceagent replay`: feed a recorded call's events to the flow again and see the same effects come out."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voiceagent.core.conversation import Conversation
from voiceagent.runtime.agent_versions import KeptVersions
from voiceagent.runtime.journal_file import read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import changes_of_agent
from voiceagent.runtime.replay import replay as replay_journal

__all__ = ["replay"]


def replay(
    journal: Annotated[Path, typer.Argument(help="A call's journal, *.jsonl.")],
    agent: Annotated[str, typer.Option(help="The agent that took the call: a folder, or a name below phases/.")],
    other_flow: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--other-flow", help="Replay although the flow or its prompts have changed since.")
    ] = False,
    until: Annotated[
        int | None, typer.Option(min=1, help="Stop after this event, counted from 1, and tell how the call stands.")
    ] = None,
) -> None:
    """Replay a call, byte for byte; exit code 1 and the first difference where the effects are not the same.

    A call in which the agent was changed (`chat --reload`) is replayed by the versions that were kept beside its
    journal.

    Example, after `make demo`: voiceagent replay demo-output/<call>/journal.jsonl --agent bank --until 40
    """
    recorded = read_journal(journal)
    changed = [event for _, event in changes_of_agent(recorded)]
    kept = KeptVersions(journal.parent)
    begun_with = changed[0].before if changed and not other_flow else ""
    flow = kept.flow(begun_with) if kept.has(begun_with) else load_flow(agent)
    versions = {event.version: kept.flow(event.version) for event in changed if kept.has(event.version)}
    result = replay_journal(recorded, flow, other_flow=other_flow, until=until, versions=versions)
    if result.difference is not None:
        typer.echo(str(result.difference))
        raise typer.Exit(1)
    if until is not None:
        _tell(result.conversation)
    same = "the same effects" if other_flow else "the same effects, byte for byte"
    typer.echo(f"{result.events} events: {same}{'' if recorded.complete else '; the journal breaks off'}")


def _tell(conversation: Conversation) -> None:
    """Print how a call stands: what was said, where it is, what holds, and when something is due."""
    state = conversation.state
    for message in conversation.transcript.messages():
        about = f" {message.tool}" if message.tool else ""
        typer.echo(f"{message.role:>12}{about}: {message.text}")
    typer.echo(f"phase {conversation.phase} (entry {state.epoch}), turn {state.turn}")
    typer.echo(f"facts {', '.join(state.facts.known()) or 'none'}; grants {', '.join(state.grants) or 'none'}")
    due_ms = conversation.deadline_ms
    typer.echo("nothing is due" if due_ms is None else f"next deadline in {due_ms - state.now_ms} ms")
