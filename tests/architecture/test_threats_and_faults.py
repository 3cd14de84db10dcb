"""Every row of the tables of threats and faults has tests, in files named after it, and `docs` lists just those."""

from __future__ import annotations

import ast
import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOC = ROOT / "docs" / "threats-and-faults.md"
COUNTS = {"A": 5, "B": 6, "C": 8, "D": 3, "E": 9, "F": 2}
THREATS = [f"{letter}{number}" for letter, count in COUNTS.items() for number in range(1, count + 1)]
FAULTS = [str(number) for number in range(1, 25)]
ROW = re.compile(r"\| ([A-F][1-9]|[0-9]+) \| (.+) \|")


def files_of(row: str) -> list[Path]:
    """Return the files whose name carries a row."""
    prefix = f"test_fault_{int(row):02}_" if row.isdigit() else f"test_{row.lower()}_"
    return sorted((ROOT / "tests").rglob(f"{prefix}*.py"))


def line_of(row: str) -> str:
    """Return the line of the document about a row."""
    return f"| {row} | {'<br>'.join(f'`{file.relative_to(ROOT)}`' for file in files_of(row))} |"


def test_every_row_has_a_test() -> None:
    for row in (*THREATS, *FAULTS):
        functions = [
            node.name
            for file in files_of(row)
            for node in ast.walk(ast.parse(file.read_text()))
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")
        ]
        assert functions, f"row {row} has no test"


def test_the_document_lists_the_files_of_every_row() -> None:
    told = [line for line in DOC.read_text().splitlines() if ROW.fullmatch(line)]
    assert told == [line_of(row) for row in (*THREATS, *FAULTS)], "the right lines stand behind the comparison"
