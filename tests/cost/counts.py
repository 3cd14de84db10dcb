"""Counts: what calls cost in numbers that are the same on every machine, held against a table that is checked in."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import yaml

__all__ = ["Counts"]

_TABLE = Path(__file__).with_name("counts.yaml")
_RENEW = "RENEW_COUNTS"
_HEAD = """\
# What calls cost, in counts: the tests of this folder fail where something costs more than stands here.
# `make counts` counts anew and writes this file. Commit it with the change that it is due to, and say there what the
# price is paid for. What has become less is not told by itself: renew the table, and it stays so.
"""

Table = dict[str, dict[str, dict[str, int]]]


class Counts:
    """The table of what was counted last, and what is counted now."""

    def __init__(self) -> None:
        self.renews = bool(os.environ.get(_RENEW))
        self._told: Table = yaml.safe_load(_TABLE.read_text(encoding="utf-8")) if _TABLE.exists() else {}
        self._counted: Table = {}

    def hold(self, group: str, what: str, counted: Mapping[str, int], *, spare: float = 0.0) -> None:
        """Fail where more was counted than stands in the table.

        `spare` is a share of it that may come on top: for what another Python or library counts otherwise.
        """
        if self.renews:
            self._counted.setdefault(group, {})[what] = dict(counted)
            return
        told = self._told.get(group, {}).get(what)
        assert told is not None, f"{group}: {what!r} has not been counted yet: {_HOW}"
        grown = [
            f"{name}: {now}, and it was {told.get(name, 0)}"
            for name, now in counted.items()
            if now > told.get(name, 0) * (1 + spare)
        ]
        assert not grown, f"{group}: {what!r} costs more than before ({'; '.join(grown)}): {_HOW}"

    def write(self) -> None:
        """Write down what was counted, where that is asked for."""
        if not self.renews:
            return
        lines = [_HEAD]
        for group in sorted({*self._told, *self._counted}):
            rows = {**self._told.get(group, {}), **self._counted.get(group, {})}
            lines.append(f"{group}:\n")
            for what, counted in sorted(rows.items()):
                entries = ", ".join(f"{name}: {count}" for name, count in counted.items())
                lines.append(f"  {_quoted(what)}: {{{entries}}}\n")
        _TABLE.write_text("".join(lines), encoding="utf-8")


_HOW = "if that is meant, `make counts` writes it down (tests/cost/counts.yaml), and the commit says what it is for"


def _quoted(text: str) -> str:
    return yaml.safe_dump(text, default_style='"', allow_unicode=True, width=1_000).strip()
