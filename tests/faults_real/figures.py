"""A pytest plugin: what tests have counted or measured, told together at the end of the run and kept in a file.

A test says it with pytest's own `record_property`: whole numbers of one name are added up, words stand as they are.
"""

from __future__ import annotations

from pathlib import Path

import pytest

__all__ = ["pytest_terminal_summary"]

_FILE = Path("bench-output") / "faults.md"


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Tell the figures of this run, and put them behind those of the runs before."""
    lines = [f"- {name}: {value}" for name, value in _figures(terminalreporter).items()]
    if not lines or hasattr(config, "workerinput"):  # one of several processes, of which the first one tells all
        return
    terminalreporter.section("figures")
    for line in lines:
        terminalreporter.write_line(line)
    _FILE.parent.mkdir(exist_ok=True)
    with _FILE.open("a") as file:
        file.write("\n".join(lines) + "\n")


def _figures(terminalreporter: pytest.TerminalReporter) -> dict[str, int | str]:
    figures: dict[str, int | str] = {}
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties:
            before = figures.get(name, 0)
            figures[name] = before + value if isinstance(before, int) and isinstance(value, int) else str(value)
    return figures
