"""What it takes to begin: import, the flow, and the engines' models."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from statistics import median

from benchmarks.figures import Figure
from benchmarks.full.table import LeftOut, Row

__all__ = ["starting"]

_FLOW = (
    "from time import perf_counter; began = perf_counter()\n"
    "from pathlib import Path\n"
    "import voiceagent\n"
    "from voiceagent.runtime.loader import load_flow\n"
    "load_flow(Path('phases/bank'))\n"
    "print((perf_counter() - began) * 1000)"
)
_ENGINES = (
    "from time import perf_counter; began = perf_counter()\n"
    "from voiceagent.speech import open_engines\n"
    "engines = open_engines('local')\n"
    "print((perf_counter() - began) * 1000)\n"
    "engines.close()"
)


def starting(*, quick: bool) -> Iterator[Row]:
    """Measure in fresh processes, without what an interpreter takes to begin."""
    rounds = 3 if quick else 11
    flow_ms = [_ms(_FLOW) for _ in range(rounds)]
    yield Figure(
        "start: import and load a flow",
        median(flow_ms),
        "ms",
        150,
        spread=f"{min(flow_ms):.0f}–{max(flow_ms):.0f}",
        how=f"median of {rounds} processes: `import voiceagent` and phases/bank, from the interpreter's first line on",
    )
    try:
        engines_ms = [_ms(_ENGINES) for _ in range(min(rounds, 5))]
    except subprocess.CalledProcessError:
        yield LeftOut("start: the local engines", "the extra `local` is not installed")
        return
    yield Figure(
        "start: the local engines",
        median(engines_ms),
        "ms",
        1_000,
        spread=f"{min(engines_ms):.0f}–{max(engines_ms):.0f}",
        how=f"median of {len(engines_ms)} processes: libraries, weights with their checksums, and one run of each",
    )


def _ms(code: str) -> float:
    done = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    return float(done.stdout)
