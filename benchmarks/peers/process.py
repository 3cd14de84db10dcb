"""Processes: a server on one core, its callers on another, and what came of it."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from threading import Timer

from benchmarks.load_report import LoadReport
from benchmarks.pinned import on_cores, server_and_generator_cores
from benchmarks.runs import load
from benchmarks.watch import Sample, Watch, cpu_between_s, waited_between_s

__all__ = ["Loaded", "PeerFailed", "loaded", "served"]

_PORT_WITHIN_S = 90
_ENDS_WITHIN_S = 10
_SETTLES_S = 2.0
"""After a load: calls that have hung up are taken down, and memory goes back."""
_LINE_CHARS = 200


class PeerFailed(Exception):
    """A server did not start, or let nobody in, or its callers came to no end; the reason stands in the table."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """One load on one server."""

    report: LoadReport
    samples: Sequence[Sample]
    """Of the server and its children, from before the first caller until after the last."""

    @property
    def cpu_s_per_call_minute(self) -> float:
        """What was spent while all callers were there."""
        return self._spent_s / self.report.call_minutes

    @property
    def core_share(self) -> float:
        """The same as a share of one core."""
        return self._spent_s / self._steady_s

    @property
    def waited_share(self) -> float:
        """The share of that time in which its event loop could have run and was not let."""
        waited_s = waited_between_s(self.samples, self.report.steady_from_ns, self.report.steady_until_ns)
        return waited_s / self._steady_s

    @property
    def _spent_s(self) -> float:
        return cpu_between_s(self.samples, self.report.steady_from_ns, self.report.steady_until_ns)

    @property
    def _steady_s(self) -> float:
        return (self.report.steady_until_ns - self.report.steady_from_ns) / 1e9

    @property
    def kib_before(self) -> int:
        """Memory before the first caller: its own pages, and its share of those in common with others."""
        return self._kib(0, self.report.steady_from_ns)[0]

    @property
    def kib_steady(self) -> float:
        """The same while all callers were there, in the median."""
        return median(self._kib(self.report.steady_from_ns, self.report.steady_until_ns))

    @property
    def kib_after(self) -> int:
        """The same when they had hung up."""
        return self._kib(self.report.steady_until_ns, self.samples[-1].at_ns)[-1]

    def _kib(self, from_ns: int, until_ns: int) -> list[int]:
        return [each.pss_kib for each in self.samples if each.pss_kib is not None and from_ns <= each.at_ns <= until_ns]


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


def loaded(pid: int, url: str, *, calls: int, seconds: float, voice: Path | None) -> Loaded:
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
    return Loaded(report, samples)


def _end(process: subprocess.Popen[str]) -> None:
    try:
        process.communicate(timeout=_ENDS_WITHIN_S)  # closes its standard input, which is its word to end
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _last_line(log: Path) -> str:
    lines = log.read_text(errors="replace").strip().splitlines()
    return lines[-1][:_LINE_CHARS] if lines else "it said nothing"
