"""`voiceagent purge`: delete what is kept of calls."""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from voiceagent.errors import OperatorError
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.retention import (
    DEFAULT_DAYS,
    Chosen,
    Purged,
    Retention,
    days_from,
    of_call,
    of_caller,
    purge,
    purge_shared,
)
from voiceagent.stores import open_store, require_store

__all__ = ["purge_records"]


def purge_records(
    journals: Annotated[Path, typer.Option(envvar="VOICEAGENT_JOURNALS", help="Folder of the calls' journals.")] = Path(
        "journals"
    ),
    recordings: Annotated[
        Path | None, typer.Option(envvar="VOICEAGENT_RECORDINGS", help="Folder of the calls' recordings.")
    ] = None,
    keep_journals: Annotated[
        str, typer.Option(envvar="VOICEAGENT_KEEP_JOURNALS", metavar="DAYS", help="Days, or `forever`.")
    ] = str(DEFAULT_DAYS),
    keep_recordings: Annotated[
        str, typer.Option(envvar="VOICEAGENT_KEEP_RECORDINGS", metavar="DAYS", help="Days, or `forever`.")
    ] = str(DEFAULT_DAYS),
    state: Annotated[
        str,
        typer.Option(
            envvar="VOICEAGENT_STATE",
            metavar="memory|sqlite:///FILE|redis://…",
            help="What workers share: --call and --caller look there as well.",
        ),
    ] = "memory",
    call: Annotated[str | None, typer.Option(help="Everything of this call, whatever its age.")] = None,
    caller: Annotated[
        str | None, typer.Option(metavar="NUMBER", help="Everything of the calls from this number, whatever its age.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be deleted.")] = False,  # noqa: FBT002 - how Typer declares a flag
    as_json: Annotated[bool, typer.Option("--json", help="Print everything for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Delete journals and recordings: those kept long enough, those of one call, or those of one caller.

    Exit code 0: they are deleted. 1: one of them could not be, or there is no such folder.

    Example: voiceagent purge --journals journals --caller +15550100 --dry-run
    """
    if call is not None and caller is not None:
        raise OperatorError("--call and --caller choose differently: give one of them")
    retention = Retention(
        journals=journals,
        recordings=recordings,
        journals_days=days_from(keep_journals, option="--keep-journals"),
        recordings_days=days_from(keep_recordings, option="--keep-recordings"),
    )
    for folder in (journals, recordings):
        if folder is not None and not folder.is_dir():
            raise OperatorError(f"there is no folder {folder}")
    chosen = of_call(call) if call is not None else of_caller(caller) if caller is not None else None
    purged = purge(retention, chosen, dry_run=dry_run)
    if chosen is not None and require_store(state) != "memory":
        purged += asyncio.run(_purge_shared(state, chosen, dry_run=dry_run))
    failed = [each for each in purged if each.failed is not None]
    if as_json:
        typer.echo(json.dumps({"dry_run": dry_run, "purged": [asdict(each) for each in purged]}, indent=2))
    else:
        for each in purged:
            typer.echo(f"{each.what} {json.dumps(each.call)}{f': {each.failed}' if each.failed else ''}")
        typer.echo(f"{len(purged) - len(failed)} {'would be ' if dry_run else ''}deleted")
    if failed:
        raise typer.Exit(1)


async def _purge_shared(state: str, chosen: Chosen, *, dry_run: bool) -> list[Purged]:
    store = await open_store(state, clock=SystemClock())
    try:
        return await purge_shared(store, chosen, dry_run=dry_run)
    finally:
        await store.close()
