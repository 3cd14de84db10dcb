"""`make bench`: every figure that the project holds itself to, with its goal and how it was measured."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from benchmarks.core import core_figures
from benchmarks.figures import Figure, show, write
from benchmarks.response import response_figures
from benchmarks.startup import startup_figures
from benchmarks.under_load import load_figures

_PARTS: dict[str, Callable[[], Iterator[Figure]]] = {
    "startup": startup_figures,
    "core": core_figures,
    "load": load_figures,
    "response": response_figures,
}


def main() -> int:
    """Measure, print and keep; 0 whatever the figures are: the machine decides some of them."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"which of {', '.join(_PARTS)}; all without it")
    wanted: list[str] = parser.parse_args().parts or list(_PARTS)
    unknown = [part for part in wanted if part not in _PARTS]
    if unknown:
        parser.error(f"there is no part {unknown[0]!r}: {', '.join(_PARTS)}")
    figures: list[Figure] = []
    for part in wanted:
        print(f"measuring: {part}", file=sys.stderr)
        figures += _PARTS[part]()
    show(figures)
    write(figures, Path("bench-output"), "bench")
    print("kept in bench-output/bench.json and bench-output/bench.md")
    return 0


if __name__ == "__main__":
    sys.exit(main())
