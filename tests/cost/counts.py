"""Counts: what calls cost in numbers that are the same on every machine, held against a table that is checked in."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

__all__ = ["TABLE", "Counts", "rows"]

TABLE = Path(__file__).with_name("counts.yaml")
_RENEW = "RENEW_COUNTS"
_RUNS = 3
_HEAD = """\
# What calls cost, in counts: the tests of this folder fail where something costs more than stands here.
# `make counts` counts anew and writes this file. Commit it with the change that it is due to, and say there what the
# price is paid for. What has become less is not told by itself: renew the table, and it stays so.
"""

Table = dict[str, dict[str, dict[str, int]]]


def rows() -> Table:
    """Return what was counted last."""
    return yaml.safe_load(TABLE.read_text(encoding="utf-8")) if TABLE.exists() else {}


class Counts:
    """The table of what was counted last, and what is counted now."""

    def __init__(self) -> None:
        self.renews = bool(os.environ.get(_RENEW))
        self._told = rows()
        self._counted: Table = {}

    def hold(self, group: str, what: str, counted: Mapping[str, int], *, spare: float = 0.0, steps: int = 0) -> None:
        """Fail where more was counted than stands in the table.

        `spare` is a share of it that may come on top: for what another Python or library counts otherwise. So may
        `steps`, for what is counted in coarse ones, or is none at all.
        """
        if self.renews:
            self._counted.setdefault(group, {})[what] = dict(counted)
            return
        assert what in self._told.get(group, {}), f"{group}: {what!r} has not been counted yet: {_HOW}"
        grown = self._grown(group, what, counted, spare=spare, steps=steps)
        assert not grown, f"{group}: {what!r} costs more than before ({'; '.join(grown)}): {_HOW}"

    def hold_least(
        self,
        group: str,
        what: str,
        count: Callable[[], Mapping[str, int] | None],
        *,
        spare: float = 0.0,
        steps: int = 0,
    ) -> None:
        """Count up to three times, and hold the least of it; None: nothing could be counted, and nothing is held."""
        least: dict[str, int] = {}
        for _ in range(_RUNS):
            counted = count()
            if counted is None:
                continue
            least = {name: min(number, counted[name]) for name, number in (least or counted).items() if name in counted}
            if not self.renews and not self._grown(group, what, least, spare=spare, steps=steps):
                break
        if not least:
            pytest.skip("this machine is too busy to count anything")
        self.hold(group, what, least, spare=spare, steps=steps)

    def _grown(self, group: str, what: str, counted: Mapping[str, int], *, spare: float, steps: int) -> list[str]:
        told = self._told.get(group, {}).get(what, {})
        return [
            f"{name}: {now}, and it was {told.get(name, 0)}"
            for name, now in counted.items()
            if now > told.get(name, 0) * (1 + spare) + steps
        ]

    def write(self) -> None:
        """Write down what was counted, and nothing else."""
        lines = [_HEAD]
        for group, counted_rows in sorted(self._counted.items()):
            lines.append(f"{group}:\n")
            for what, counted in sorted(counted_rows.items()):
                entries = ", ".join(f"{name}: {count}" for name, count in counted.items())
                lines.append(f"  {_quoted(what)}: {{{entries}}}\n")
        TABLE.write_text("".join(lines), encoding="utf-8")


_HOW = "if that is meant, `make counts` writes it down (tests/cost/counts.yaml), and the commit says what it is for"


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1_000).strip()
