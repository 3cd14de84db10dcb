"""The figures of the telephone line: what is measured on a socket, and how it stands in the table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.telephony.table import row_of, write
from benchmarks.telephony.wire import WIRE_METHODS, wire_rows

pytestmark = pytest.mark.timeout(60)


def test_every_clear_of_every_dialect_reaches_its_carrier_after_it_was_written() -> None:
    rows = list(wire_rows(rounds=3))
    assert {row.n for row in rows} == {3}
    assert {row.what for row in rows} == set(WIRE_METHODS)
    for written, came in zip(rows[::2], rows[1::2], strict=True):
        assert written.where == came.where
        assert written.p50 > 0
        assert came.p50 > 0


def test_a_row_says_whether_its_goal_was_reached(tmp_path: Path) -> None:
    delays_ms = [1.0] * 98 + [3.0, 50.0]
    rows = [row_of("clear", where, delays_ms, goal=goal) for where, goal in (("here", 60), ("there", 40))]
    assert rows[0].cells == ("clear", "here", "1.00", "50", "50", "100", "60 reached")
    assert rows[1].cells[-1] == "40 MISSED"
    assert [row.misses_its_goal for row in rows] == [False, True]
    assert not row_of("clear", "there", delays_ms[-12:], goal=40).misses_its_goal, "the worst of a dozen is no p99"
    write(rows, {"clear": "with a watch"}, tmp_path)
    assert "| clear | there | 1.00 | 50 | 50 | 100 | 40 MISSED |" in (tmp_path / "telephony.md").read_text()
    assert json.loads((tmp_path / "telephony.json").read_text())["methods"] == {"clear": "with a watch"}
