"""What it takes to begin: importing the package, in a fresh interpreter."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median
from time import perf_counter

from benchmarks.figures import Figure

__all__ = ["startup_figures"]

_ROUNDS = 15


def startup_figures() -> Iterator[Figure]:
    """Measure the import against an interpreter that imports nothing."""
    bare = [_ms("pass") for _ in range(_ROUNDS)]
    with_package = [_ms("import voiceagent") for _ in range(_ROUNDS)]
    yield Figure(
        "import voiceagent",
        median(with_package) - median(bare),
        "ms",
        150,
        spread=f"fastest {min(with_package) - min(bare):.0f}",
        how=f"medians of {_ROUNDS} processes, less those of an interpreter that imports nothing",
    )


def _ms(code: str) -> float:
    began = perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 - our own command
    return (perf_counter() - began) * 1000
