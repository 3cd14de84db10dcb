"""`make bench-full`: every goal of the project with the figure reached; less than twenty-five minutes on two cores.

Parts can be measured one at a time; the table keeps what was measured before. `endurance` and `profile` are asked for
by name (`make bench-endurance`, `make bench-profile`).
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.core import core_figures
from benchmarks.figures import Figure, machine
from benchmarks.full.capacity import capacity, silero_capacity
from benchmarks.full.cost import cost
from benchmarks.full.endurance import endurance
from benchmarks.full.flame import flame
from benchmarks.full.growth import growth
from benchmarks.full.local import local
from benchmarks.full.micro import micro
from benchmarks.full.several import several
from benchmarks.full.sizes import sizes
from benchmarks.full.starting import starting
from benchmarks.full.table import LeftOut, Row, keep, show_rows
from benchmarks.pinned import placement, server_and_generator_cores
from benchmarks.runs import NotServed


def _core(*, quick: bool) -> Iterator[Figure]:
    return core_figures(rounds=5 if quick else 30)


_PARTS: dict[str, Callable[..., Iterator[Row]]] = {
    "start": starting,
    "core": _core,
    "growth": growth,
    "micro": micro,
    "cost": cost,
    "capacity": capacity,
    "silero": silero_capacity,
    "local": local,
    "workers": several,
    "sizes": sizes,
    "profile": flame,
    "endurance": endurance,
}
_BY_NAME_ONLY = frozenset({"endurance"})
_KEPT = Path("bench-output")


def _measured(part: str, *, quick: bool) -> Iterator[Row]:
    """Yield the rows of a part up to where it fails, and why it did: the parts after it are measured all the same."""
    try:
        yield from _PARTS[part](quick=quick)
    except (NotServed, subprocess.SubprocessError) as exc:
        yield LeftOut(f"the rest of {part}", str(exc))


def main() -> int:
    """Measure, print and keep; 0 whatever the figures are: the machine decides some of them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {', '.join(_PARTS)}; all but endurance")
    parser.add_argument("--quick", action="store_true", help="four minutes: every part, with too little of everything")
    options = parser.parse_args()
    wanted: list[str] = options.parts or [part for part in _PARTS if part not in _BY_NAME_ONLY]
    unknown = [part for part in wanted if part not in _PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: {', '.join(_PARTS)}")
    print(f"{machine()}; {placement(*server_and_generator_cores())}")
    for part in wanted:
        print(f"measuring: {part}", file=sys.stderr)
        rows = list(_measured(part, quick=options.quick))
        show_rows(rows)
        keep(part, rows, _KEPT, quick=options.quick)
    print("kept in bench-output/bench-full.json and bench-output/bench-full.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
