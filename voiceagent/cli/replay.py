"""`voiceagent replay`: feed a recorded call's events to the flow again and see the same effects come out."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.core.conversation import Conversation
from voiceagent.errors import JournalError
from voiceagent.runtime.agent_versions import KeptVersions
from voiceagent.runtime.journal_file import Journal, read_journal
from voiceagent.runtime.loader import load_flow
from voiceagent.runtime.replay import ReplayResult, changes_of_agent
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
    kept_versions: Annotated[  # noqa: FBT002 - how Typer declares a flag
        bool, typer.Option("--kept-versions", help="Run the code of the versions that are kept beside the journal.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print what came of it for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Replay a call, byte for byte, and print the first difference where the effects are not the same.

    A call in which the agent was changed (`chat --reload`) is replayed by the versions that were kept beside its
    journal, with --kept-versions: their code is run, so say it of your own journals only.

    Exit code 0: they are the same. 1: they are not, or the agent is not the one of the call.

    Example, after `make demo`: voiceagent replay demo-output/<call>/journal.jsonl --agent bank --until 40
    """
    recorded = read_journal(journal)
    kept = KeptVersions(journal.parent)
    if not kept_versions:
        _require_none_kept(recorded, kept, until=until)
    changed = [event for _, event in changes_of_agent(recorded)] if kept_versions else []
    begun_with = changed[0].before if changed and not other_flow else ""
    flow = kept.flow(begun_with) if kept.has(begun_with) else load_flow(agent)
    versions = {event.version: kept.flow(event.version) for event in changed if kept.has(event.version)}
    result = replay_journal(recorded, flow, other_flow=other_flow, until=until, versions=versions)
    if as_json:
        typer.echo(json.dumps(_plain(recorded, result), ensure_ascii=False, indent=2))
    elif result.difference is not None:
        typer.echo(str(result.difference))
    else:
        _tell(recorded, result, other_flow=other_flow, until=until)
    if not result.same:
        raise typer.Exit(1)


def _require_none_kept(recorded: Journal, kept: KeptVersions, *, until: int | None) -> None:
    """What lies beside a journal that somebody has sent is a stranger's code: whoever replays says if it is run."""
    for number, event in changes_of_agent(recorded, until=until):
        if kept.has(event.version):
            raise JournalError(
                f"the agent was changed in this call, by event {number}: `--kept-versions` replays it by the versions "
                "that are kept beside the journal, and runs their code; do so if they are your own"
            )


def _plain(recorded: Journal, result: ReplayResult) -> dict[str, object]:
    state = result.conversation.state
    return {
        "same": result.same,
        "events": result.events,
        "complete": recorded.complete,
        "difference": asdict(result.difference) if result.difference is not None else None,
        "phase": result.conversation.phase,
        "turn": state.turn,
        "facts": list(state.facts.known()),
        "grants": list(state.grants),
    }


def _tell(recorded: Journal, result: ReplayResult, *, other_flow: bool, until: int | None) -> None:
    if until is not None:
        _tell_state(result.conversation)
    same = "the same effects" if other_flow else "the same effects, byte for byte"
    typer.echo(f"{result.events} events: {same}{'' if recorded.complete else '; the journal breaks off'}")


def _tell_state(conversation: Conversation) -> None:
    """Print how a call stands: what was said, where it is, what holds, and when something is due."""
    state = conversation.state
    for message in conversation.transcript.messages():
        about = f" {message.tool}" if message.tool else ""
        typer.echo(f"{message.role:>12}{about}: {message.text}")
    typer.echo(f"phase {conversation.phase} (entry {state.epoch}), turn {state.turn}")
    typer.echo(f"facts {', '.join(state.facts.known()) or 'none'}; grants {', '.join(state.grants) or 'none'}")
    due_ms = conversation.deadline_ms
    typer.echo("nothing is due" if due_ms is None else f"next deadline in {due_ms - state.now_ms} ms")
