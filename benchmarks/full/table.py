"""The table of the whole benchmark: parts that were measured at different times, each with what it was measured on."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.figures import Figure, machine, show

__all__ = ["LeftOut", "Row", "keep", "show_rows"]


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that was not measured."""

    what: str
    why: str


Row = Figure | LeftOut


def show_rows(rows: Sequence[Row]) -> None:
    """Print what was measured, and what was not."""
    show([row for row in rows if isinstance(row, Figure)])
    for row in rows:
        if isinstance(row, LeftOut):
            Console(highlight=False).print(f"left out: {row.what}: {row.why}", style="yellow")


def keep(part: str, rows: Sequence[Row], folder: Path, *, quick: bool) -> None:
    """Put the rows of a part in the place of its earlier ones, in `bench-full.json` and `bench-full.md`."""
    folder.mkdir(exist_ok=True)
    file = folder / "bench-full.json"
    kept: dict[str, Any] = json.loads(file.read_text()) if file.exists() else {}
    kept[part] = {
        "machine": machine(),
        "measured": datetime.now(UTC).isoformat(timespec="seconds"),
        "quick": quick,
        "figures": [asdict(row) | {"reached": row.reached} for row in rows if isinstance(row, Figure)],
        "left_out": [asdict(row) for row in rows if isinstance(row, LeftOut)],
    }
    file.write_text(json.dumps(kept, ensure_ascii=False, indent=2))
    (folder / "bench-full.md").write_text("\n".join(_markdown(kept)))


def _markdown(kept: Mapping[str, Mapping[str, Any]]) -> Sequence[str]:
    lines = [f"{next(iter(kept.values()))['machine']}", ""] if kept else []
    for part, measured in kept.items():
        quick = ", in a hurry (`QUICK=1`)" if measured["quick"] else ""
        lines += [f"## {part}", "", f"Measured {measured['measured']}{quick}.", ""]
        lines += ["| what | value | goal | reached | spread | how |", "|---|---|---|---|---|---|"]
        for each in measured["figures"]:
            reached = each.pop("reached")
            figure = Figure(**each)
            each["reached"] = reached
            said = {True: "yes", False: "**no**", None: ""}[reached]
            lines.append(
                f"| {figure.what} | {figure.value_text} | {figure.goal_text} | {said} "
                f"| {figure.spread} | {figure.how} |"
            )
        lines += [f"| {each['what']} | left out | | | | {each['why']} |" for each in measured["left_out"]]
        lines.append("")
    return lines
