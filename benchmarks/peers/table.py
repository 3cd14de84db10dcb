"""The table: one row for each server, cheapest beside dearest, and a reason where there are no figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.peer import PEERS
from benchmarks.peers.row import Row

__all__ = ["cells", "show", "write"]

_COLUMNS = (
    "server",
    "CPU s / call-minute",
    "× floor",
    "calls a core",
    "answer p50 / p99, ms",
    "barge-in → clear p50 / p99, ms",
    "barge-ins heard / not",
    "turns",
    "underruns",
    "unanswered",
    "memory before / after, MiB",
    "MiB a call",
    "generator late p99, ms",
    "waited for its core",
    "version",
)


def show(about: str, rows: Sequence[Row], missing: Mapping[str, str]) -> None:
    """Print the rows, and below them who is missing and why."""
    console = Console(highlight=False, width=200)
    table = Table(*_COLUMNS)
    for row in cells(rows):
        table.add_row(*row)
    console.print(about)
    console.print(table)
    for line in _remarks(rows, missing):
        console.print(line)


def write(
    about: str, rows: Sequence[Row], missing: Mapping[str, str], loads: Mapping[str, Any], *, folder: Path
) -> None:
    """Keep them as `peers.md`, and as `peers.json` with all that the callers saw."""
    folder.mkdir(exist_ok=True)
    kept = {"about": about, "rows": [asdict(row) for row in rows], "missing": dict(missing), "loads": loads}
    (folder / "peers.json").write_text(json.dumps(kept, ensure_ascii=False, indent=1))
    lines = [f"{about}\n", _line(_COLUMNS), "|---" * len(_COLUMNS) + "|", *map(_line, cells(rows)), ""]
    remarks = [f"- {remark}" for remark in _remarks(rows, missing)]
    (folder / "peers.md").write_text("\n".join([*lines, *remarks, ""]))


def cells(rows: Sequence[Row]) -> list[tuple[str, ...]]:
    """Return the rows as they are shown: of what each round has told, the median, and the least and the greatest."""
    return [_cells(row) for row in rows]


def _cells(row: Row) -> tuple[str, ...]:
    return (
        row.peer,
        _of_rounds(row.cpu_s_per_call_minute),
        _of_rounds(row.times_floor),
        row.capacity.text if row.capacity else "",
        f"{row.answer_p50_ms:.1f} / {row.answer_p99_ms:.1f}",
        f"{row.clear_p50_ms:.0f} / {row.clear_p99_ms:.0f}" if row.clears else "none",
        f"{row.clears} / {row.missed_barge_ins}",
        str(row.turns),
        str(row.underruns),
        str(row.unanswered),
        f"{row.mib_before:.0f} / {row.mib_after:.0f}",
        f"{row.mib_per_call:.2f}",
        f"{row.generator_late_p99_ms:.1f}",
        f"{row.waited_share:.0%}",
        row.version,
    )


def _of_rounds(values: Sequence[float]) -> str:
    spread = f" ({min(values):.2f}–{max(values):.2f})" if len(values) > 1 else ""
    return f"{median(values):.2f}{spread}"


def _line(row: Sequence[str]) -> str:
    return f"| {' | '.join(row)} |"


def _remarks(rows: Sequence[Row], missing: Mapping[str, str]) -> list[str]:
    figured = {row.peer for row in rows}
    remarks = [f"{peer}: no {'more ' if peer in figured else ''}figures, {why}" for peer, why in missing.items()]
    told = {peer.name: peer.remark for peer in PEERS}
    for row in rows:
        if told.get(row.peer):
            remarks.append(f"{row.peer}: {told[row.peer]}")
        if row.talked_on:
            remarks.append(
                f"{row.peer}: {row.talked_on} times it had not stopped for a caller who cut in; not counted as answers"
            )
        if row.broken:
            remarks.append(f"{row.peer}: {row.broken} messages or connections were broken")
        if row.dropped_frames:
            remarks.append(f"{row.peer}: {row.dropped_frames} frames were not sent, since it did not read")
        remarks += [f"{row.peer}: in one round {spoiled}" for spoiled in row.spoiled]
        if row.capacity and row.capacity.then:
            remarks.append(f"{row.peer}: held {row.capacity.calls} calls; {row.capacity.then}")
    return remarks
