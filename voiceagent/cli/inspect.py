"""`voiceagent inspect`: what a journal tells of a call."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal

__all__ = ["inspect"]


def inspect(
    journal: Annotated[Path, typer.Argument(help="A call's journal, *.jsonl.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print everything for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Print phases, turns, tools, fillers, prefetches and latencies of a recorded call.

    Exit code 0: it is printed. 1: that is no journal that can be read.

    Example, after `make demo`: voiceagent inspect demo-output/<call>/journal.jsonl
    """
    recorded = read_journal(journal)
    summary = inspect_journal(recorded)
    if as_json:
        typer.echo(summary.to_json())
        return
    typer.echo(summary.to_text())
    typer.echo(f"phases: {' → '.join(seen.phase for seen in summary.phases)}")
    for tool in summary.tools:
        took = f"{tool.took_ms} ms" if tool.took_ms is not None else "no result"
        why = f" ({tool.reason})" if tool.reason else ""
        typer.echo(f"{'fetch' if tool.prefetch else 'tool'} {tool.tool}: {tool.outcome}{why}, {took}")
    for served in summary.served:
        typer.echo(f"prefetch {served.how}: {served.saved_ms} ms saved")
    for decided in summary.floor:
        typer.echo(f"{decided.what} after {decided.waited_ms} ms: {decided.reason}")
    for filler in summary.fillers:
        typer.echo(f"filler {filler.text!r} after {filler.onset_ms} ms")
    for tokens in summary.tokens:
        cached = f" ({tokens.cached} of them cached)" if tokens.cached else ""
        counted = f", {tokens.input} tokens in{cached}, {tokens.output} out" if tokens.input or tokens.output else ""
        typer.echo(
            f"model in {tokens.phase}: {tokens.replies} {'reply' if tokens.replies == 1 else 'replies'}{counted}"
        )
    for standby in summary.standbys:
        typer.echo(f"standby for {standby.phase}: {standby.open_ms} ms, {'used' if standby.used else 'not needed'}")
    if summary.renewals:
        typer.echo(f"sessions renewed: {summary.renewals}")
    for version in summary.versions:
        used = "not used any more" if version.used_ms is None else f"used from {version.used_ms} ms on"
        forgotten = f", forgotten: {', '.join(version.forgotten)}" if version.forgotten else ""
        typer.echo(f"agent changed at {version.at_ms} ms, {used}{forgotten}: {'; '.join(version.changes)}")
    latencies = ", ".join(f"{name} {ms} ms" for name, ms in summary.response_ms.items())
    typer.echo(f"first sound after the caller: {latencies or 'no turns'}")
    ended = ", ".join(part for part in (summary.ended, None if recorded.complete else "the journal breaks off") if part)
    typer.echo(f"longest dead air: {summary.longest_dead_air_ms} ms; ended: {ended}")
    for problem in summary.problems:
        typer.echo(f"problem {problem}")
