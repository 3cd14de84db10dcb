"""`voiceagent providers`: what each kind of connection can do, in a table."""

from __future__ import annotations

import json
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from voiceagent.ports import LegFeatures
from voiceagent.telephony.audiosocket import AUDIOSOCKET_FEATURES
from voiceagent.telephony.controls import CONTROLS
from voiceagent.telephony.dialects import DIALECTS

__all__ = ["providers"]

_DETECTED = "auto"


_COLUMNS = (
    "dialect",
    "clear",
    "marks",
    "marks on clear",
    "position",
    "digits in",
    "digits out",
    "transfer",
    "announce",
    "hang up",
    "end told by",
    "stop reason",
    "recording",
    "dial out",
    "machine detection",
    "socket let in by",
    "webhook proved by",
)


def providers(
    as_json: Annotated[bool, typer.Option("--json", help="Print the table for machines.")] = False,  # noqa: FBT002 - how Typer declares a flag
) -> None:
    """Print what each dialect does in the connection itself (in_band), by REST, or not at all.

    `redirect`: the carrier asks our answer document what comes next once the connection is closed. `announce`: whoever
    takes a caller is told about them first and may refuse, and a caller whom nobody takes comes back. `position`: by
    what the agent knows how much of its speech was heard. `end told by`: a message says that the caller has hung up, or
    closing the connection is enough. `stop reason`: whether it is said why they have.

    Exit code 0, always.

    Example: voiceagent providers
    """
    rows = [
        (*_cells(row.features), row.socket_proof.replace("_", " "), row.webhook_proof or "no webhook")
        for row in DIALECTS.values()
        if row.name != _DETECTED
    ]
    rows.append((*_cells(AUDIOSOCKET_FEATURES), "id", "no webhook"))
    if as_json:
        typer.echo(json.dumps([dict(zip(_COLUMNS, row, strict=True)) for row in rows], indent=2))
        return
    table = Table(*_COLUMNS)
    for row in rows:
        table.add_row(*row)
    Console(width=None if Console().is_terminal else 240).print(table)


def _cells(features: LegFeatures) -> tuple[str, ...]:
    control = CONTROLS.get(features.dialect)
    dropped = "dropped" if features.marks else "no"
    returned = "sent back" if features.marks_return_on_clear else dropped
    return (
        features.dialect,
        "yes" if features.clear else "no",
        "yes" if features.marks else "no",
        returned,
        features.position,
        features.digits_in,
        features.digits_out,
        features.transfer,
        features.announce,
        features.hang_up,
        "closing" if features.close_is_hang_up else "message",
        "yes" if features.stop_reason else "no",
        features.record,
        "rest" if control is not None else "no",
        "rest" if control is not None and control.detects_machines else "no",
    )
