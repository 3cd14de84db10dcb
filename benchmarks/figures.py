"""Figures: what was measured, how, and the goal it is held against; printed as a table, kept as JSON and Markdown."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median

from rich.console import Console
from rich.padding import Padding

__all__ = ["Figure", "machine", "percentile", "show", "write"]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured value."""

    what: str
    value: float
    unit: str
    goal: float | None
    """None: reported, not held against anything."""
    at_least: bool = False
    """The goal is a lower bound."""
    spread: str = ""
    how: str = ""

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None where there is none."""
        if self.goal is None:
            return None
        return self.value >= self.goal if self.at_least else self.value <= self.goal

    @property
    def goal_text(self) -> str:
        """The goal with its direction."""
        return "" if self.goal is None else f"{'≥' if self.at_least else '≤'} {_number(self.goal)} {self.unit}"

    @property
    def value_text(self) -> str:
        """The value with its unit."""
        return f"{_number(self.value)} {self.unit}"


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which `share` of the values lie; 0 where there are none."""
    ordered = sorted(values)
    if not ordered:
        return 0.0
    return median(ordered) if share == 0.5 else ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def machine() -> str:
    """Return what this was measured on."""
    versions = ", ".join(f"{name} {version(name)}" for name in ("websockets", "uvloop", "transitions", "pydantic"))
    return (
        f"{os.cpu_count()} cores of {_processor()}, {platform.system()}, Python {platform.python_version()}, {versions}"
    )


def show(figures: Sequence[Figure]) -> None:
    """Print the figures: two lines each, the value and how it came about."""
    console = Console(highlight=False)
    console.print(machine())
    for figure in figures:
        mark = {True: "[green]reached[/]", False: "[bold red]missed [/]", None: "       "}[figure.reached]
        about = ", ".join(part for part in (figure.spread, figure.goal_text and f"goal {figure.goal_text}") if part)
        console.print(f"{mark} {figure.what}: [bold]{figure.value_text}[/]{f'  ({about})' if about else ''}")
        if figure.how:
            console.print(Padding(figure.how, (0, 0, 0, 8)), style="dim")


def write(figures: Sequence[Figure], folder: Path, name: str) -> None:
    """Keep the figures as `<name>.json` and `<name>.md`."""
    folder.mkdir(exist_ok=True)
    kept = {"machine": machine(), "figures": [asdict(figure) for figure in figures]}
    (folder / f"{name}.json").write_text(json.dumps(kept, ensure_ascii=False, indent=2))
    rows = [f"| {f.what} | {f.value_text} | {f.goal_text} | {f.spread} | {f.how} |" for f in figures]
    head = ["| what | value | goal | spread | how |", "|---|---|---|---|---|"]
    (folder / f"{name}.md").write_text("\n".join([f"{machine()}\n", *head, *rows, ""]))


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
