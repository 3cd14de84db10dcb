"""Where the time goes: a flame graph of the server under a hundred calls, and its share by library."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Thread
from time import sleep

from benchmarks.figures import Figure
from benchmarks.full.table import LeftOut, Row
from benchmarks.runs import OURS, load, serving

__all__ = ["flame", "shares_of"]

_CALLS = 100
_SVG = Path("bench-output/server-100-calls.svg")
_RAW = Path("bench-output/server-100-calls.folded")
_HZ = 200
_PLACE = re.compile(r"\(([^()]*):\d+\)$")
_SHOWN = 12
_OTHER_THREADS = "_bootstrap (threading.py"
_LOOP = ("asyncio", "uvloop")
"""In which compiled code and system calls of the loop are seen, and next to nothing else."""


def flame(*, quick: bool) -> Iterator[Row]:
    """Look at the server with py-spy, from outside: first for the picture, then for the shares."""
    spy = _spy()
    if spy is None:
        yield LeftOut("a profile of the server", "there is no py-spy: `make bench-profile` gets it")
        return
    seconds = 5 if quick else 15
    with serving(OURS) as (process, port):
        url = f"ws://127.0.0.1:{port}/media/twilio/loadtest"
        callers = Thread(target=lambda: load(url, calls=_CALLS, seconds=2 * seconds + 10))
        callers.start()
        sleep(5)  # until all callers are there
        why = _record(spy, process.pid, seconds, "flamegraph", _SVG) or _record(spy, process.pid, seconds, "raw", _RAW)
        callers.join()
    if why:
        yield LeftOut("a profile of the server", why)
        return
    shares = shares_of(_RAW.read_text())
    for name, share in sorted(shares.items(), key=lambda each: -each[1])[:_SHOWN]:
        yield Figure(f"the event loop's thread in {name}", 100 * share, "%", None, how=f"by innermost frame; {_SVG}")


def _spy() -> str | None:
    ours = Path(".venv-profile/bin/py-spy")
    return str(ours) if ours.exists() else shutil.which("py-spy")


def _record(spy: str, pid: int, seconds: int, form: str, into: Path) -> str:
    """Record for so long; return why it could not be done."""
    into.parent.mkdir(exist_ok=True)
    command = [spy, "record", "--pid", str(pid), "--duration", str(seconds), "--rate", str(_HZ), "--format", form]
    done = subprocess.run([*command, "--output", str(into)], check=False, capture_output=True, text=True)  # noqa: S603 - our own command
    if done.returncode == 0 and into.exists():
        return ""
    return "py-spy cannot attach to it: " + (done.stderr.strip().splitlines() or ["it says nothing"])[-1]


def shares_of(folded: str) -> Mapping[str, float]:
    """Return the share of every package in the samples of the event loop's thread, by the innermost frame."""
    samples: Counter[str] = Counter()
    for line in folded.splitlines():
        stack, _, count = line.rpartition(" ")
        if not stack.startswith(_OTHER_THREADS):
            samples[_package(stack.rpartition(";")[2])] += int(count)
    total = sum(samples.values()) or 1
    return {name: count / total for name, count in samples.items()}


def _package(frame: str) -> str:
    """Return whose a frame is, such as `run (asyncio/runners.py:118)`; paths are from where modules are looked for."""
    found = _PLACE.search(frame)
    parts = found.group(1).split("/") if found else []
    if parts[:1] == ["voiceagent"]:
        return ".".join(part.removesuffix(".py") for part in parts[:2])
    if not parts or parts[0] in _LOOP:
        return "the event loop and the kernel"
    return parts[0].removesuffix(".py")
