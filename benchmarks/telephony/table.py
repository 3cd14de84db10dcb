"""The table: one row for each thing measured on each way in, with its quantiles, its goal, and how it was measured."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.figures import machine, percentile

__all__ = ["Row", "row_of", "show", "write"]

_ENOUGH = 100
"""Values of which the 99th percentile is one that was measured and not simply the worst."""
_COLUMNS = ("what", "where", "p50", "p99", "max", "n", "p99 at most")


@dataclass(frozen=True, slots=True)
class Row:
    """Milliseconds."""

    what: str
    where: str
    p50: float
    p99: float
    most: float
    n: int
    goal: float | None
    """For the p99; None: reported, not held against anything."""

    @property
    def misses_its_goal(self) -> bool:
        """Whether its p99 is beyond its goal, where there are enough values to speak of a p99."""
        return self.goal is not None and self.n >= _ENOUGH and self.p99 > self.goal

    @property
    def cells(self) -> tuple[str, ...]:
        """As they are shown."""
        numbers = [_number(value) for value in (self.p50, self.p99, self.most)]
        goal = "" if self.goal is None else f"{self.goal:.0f} {'reached' if self.p99 <= self.goal else 'MISSED'}"
        return (self.what, self.where, *numbers, str(self.n), goal)


def row_of(what: str, where: str, values_ms: Sequence[float], *, goal: float | None = None) -> Row:
    """Return the row of these values."""
    quantiles = (percentile(values_ms, 0.5), percentile(values_ms, 0.99), max(values_ms))
    return Row(what, where, *quantiles, len(values_ms), goal)


def show(rows: Sequence[Row], methods: Mapping[str, str]) -> None:
    """Print the rows, and below them how each kind was measured."""
    console = Console(highlight=False)
    table = Table(*_COLUMNS, title="milliseconds", title_justify="left")
    for column in table.columns[2:]:
        column.justify = "right"
    for what, group in groupby(rows, key=lambda row: row.what):
        for number, row in enumerate(group):
            table.add_row("" if number else what, *row.cells[1:])
        table.add_section()
    console.print(machine())
    console.print(table)
    for line in _method(rows, methods):
        console.print(line, style="dim")


def write(rows: Sequence[Row], methods: Mapping[str, str], folder: Path) -> None:
    """Keep the rows as `telephony.json` and `telephony.md`."""
    folder.mkdir(exist_ok=True)
    kept = {"machine": machine(), "methods": dict(methods), "rows_ms": [asdict(row) for row in rows]}
    (folder / "telephony.json").write_text(json.dumps(kept, ensure_ascii=False, indent=2))
    lines = [_line(_COLUMNS), "|---" * 2 + "|--:" * 5 + "|", *(_line(row.cells) for row in rows)]
    method = [f"- {line}" for line in _method(rows, methods)]
    (folder / "telephony.md").write_text("\n".join([machine(), "", "Milliseconds.", "", *lines, "", *method, ""]))


def _method(rows: Sequence[Row], methods: Mapping[str, str]) -> Iterator[str]:
    for what in dict.fromkeys(row.what for row in rows):
        yield f"{what}: {methods[what]}"


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _number(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:.0f}"
