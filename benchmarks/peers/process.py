"""Processes: a server on one core, its callers on another, and what came of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Timer

from benchmarks.pinned import on_cores, server_and_generator_cores
from benchmarks.runs import Run, load
from benchmarks.watch import Watch

__all__ = ["PeerFailed", "loaded", "served"]

_PORT_WITHIN_S = 90
_ENDS_WITHIN_S = 10
_SETTLES_S = 2.0
"""After a load: calls that have hung up are taken down, and memory goes back."""
_LINE_CHARS = 200


class PeerFailed(Exception):
    """A server did not start, or let nobody in, or its callers came to no end; the reason stands in the table."""


@contextmanager
def served(
    python: Path, module: str, arguments: Sequence[str] = (), *, log: Path, beside_callers: bool = False
) -> Generator[tuple[int, int]]:
    """Run a server on its core, or on that of the callers; yields its process id and its port."""
    server, generator = server_and_generator_cores()
    command = on_cores(generator if beside_callers else server, [str(python), "-m", module, *arguments])
    with log.open("w") as written:
        process = subprocess.Popen(  # noqa: S603 - our own command
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=written, text=True
        )
    # A server that prints nothing would be waited for without end.
    impatience = Timer(_PORT_WITHIN_S, process.kill)
    impatience.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        impatience.cancel()
        if not line.strip().isdigit():
            raise PeerFailed(f"did not start: {_last_line(log)}")
        yield process.pid, int(line)
    finally:
        impatience.cancel()
        _end(process)


def loaded(pid: int, url: str, *, calls: int, seconds: float, voice: Path | None = None) -> Run:
    """Place calls to a server and watch it meanwhile; raises `PeerFailed`."""
    watch = Watch(pid)
    try:
        report = load(url, calls=calls, seconds=seconds, voice=voice)
    except (subprocess.CalledProcessError, subprocess.TimeoutExpired) as exc:
        raise PeerFailed(f"{calls} callers came to no end: {exc}") from exc
    finally:
        time.sleep(_SETTLES_S)
        samples = watch.stop()
    if not report.frames:
        raise PeerFailed("let nobody in")
    if watch.has_ended:
        raise PeerFailed(f"ended while {calls} callers were there")
    return Run(report, samples)


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=_ENDS_WITHIN_S)  # closes its standard input, which is its word to end
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:_LINE_CHARS] if lines else "it said nothing"
