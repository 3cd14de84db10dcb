"""One run: a server on a core of its own, callers on another, and everything that both have to tell about it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.load_report import LoadReport
from benchmarks.pinned import on_cores, server_and_generator_cores
from benchmarks.watch import Sample, Watch, cpu_between_s, waited_between_s

__all__ = [
    "FLOOR",
    "LOCAL",
    "OURS",
    "SILERO",
    "NotServed",
    "Run",
    "Server",
    "delays_ms",
    "load",
    "run",
    "serving",
    "workers",
]

_PATH = "/media/twilio/loadtest"
_WAIT_S = 120
_LATE_MS = 10
_BUSY = 0.9
_WAITED = 0.1
_NEARLY_FULL = 0.6


class NotServed(Exception):
    """A server could not be started, or takes no calls."""


@dataclass(frozen=True, slots=True)
class Server:
    """A server that can be put under load; the first number in its first line is the port that it serves on."""

    name: str
    command: tuple[str, ...]
    is_product: bool = False
    """`voiceagent serve` itself: not on a core of its own, and ended by a signal."""


def _module(name: str, module: str, *options: str) -> Server:
    return Server(name, (sys.executable, "-m", module, *options))


FLOOR = _module("the floor", "benchmarks.floor")
OURS = _module("ours, energy", "benchmarks.served")
SILERO = _module("ours, Silero", "benchmarks.served", "--vad", "silero")
LOCAL = _module("ours, local engines", "benchmarks.served", "--engines", "local")


@dataclass(frozen=True, slots=True)
class Run:
    """One server under load."""

    report: LoadReport
    samples: Sequence[Sample]
    """Of the server and its children, from before the first caller until after the last."""
    inside: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """What `benchmarks.served` prints at its end."""
    is_pinned: bool = True
    """The server should have had its core for itself."""

    @property
    def cpu_s_per_call_minute(self) -> float:
        """What the server spent while all callers were there, for each minute of a call."""
        return self._cpu_s / self.report.call_minutes

    @property
    def core_share(self) -> float:
        """The same as a share of one core."""
        return self._cpu_s / self._steady_s

    @property
    def waited_share(self) -> float:
        """The share of the time in which the server's event loop could have run and something else had its core."""
        return waited_between_s(self.samples, self.report.steady_from_ns, self.report.steady_until_ns) / self._steady_s

    @property
    def _cpu_s(self) -> float:
        return cpu_between_s(self.samples, self.report.steady_from_ns, self.report.steady_until_ns)

    @property
    def _steady_s(self) -> float:
        return (self.report.steady_until_ns - self.report.steady_from_ns) / 1e9

    @property
    def answers_ms(self) -> list[float]:
        """From every decision that a turn was over to the answer's first audio at its carrier."""
        return delays_ms(self.inside["turn_over_at_ns"], self.report.audio_at_ns)

    @property
    def clears_ms(self) -> list[float]:
        """From every decision to fall silent to `clear` at its carrier."""
        return delays_ms(self.inside["clear_at_ns"], self.report.clear_at_ns)

    @property
    def gc_pauses_ms(self) -> list[float]:
        """How long the collector held everything up, each time."""
        return [ns / 1e6 for ns in self.inside["gc_pauses_ns"]]

    @property
    def steady(self) -> list[Sample]:
        """The samples taken while all callers were there."""
        report = self.report
        return [each for each in self.samples if report.steady_from_ns <= each.at_ns <= report.steady_until_ns]

    @property
    def pss_kib(self) -> list[int]:
        """What the server's memory was while all callers were there, in the order of time."""
        return [sample.pss_kib for sample in self.steady if sample.pss_kib is not None]

    @property
    def kib_before(self) -> int:
        """Its memory before the first caller."""
        return next(each.pss_kib for each in self.samples if each.pss_kib is not None)

    @property
    def kib_after(self) -> int:
        """Its memory when they had hung up."""
        return next(each.pss_kib for each in reversed(self.samples) if each.pss_kib is not None)

    @property
    def spoiled(self) -> str:
        """Why this run says nothing of the server; empty where it does.

        A generator that was too slow, or a core that was not the server's alone, where it should have been. Where it is
        nearly full of the server itself, its event loop waits for its own threads.
        """
        report = self.report
        if report.late_p99_ms > _LATE_MS or report.cpu_share > _BUSY:
            return f"the generator was {report.late_p99_ms:.1f} ms late at p99, with {report.cpu_share:.0%} of its core"
        if self.is_pinned and self.waited_share > _WAITED and self.core_share < _NEARLY_FULL:
            return f"for {self.waited_share:.0%} of the time something else had the server's core"
        return ""

    @property
    def how(self) -> str:
        """What stands beside every figure of this run."""
        report = self.report
        return (
            f"{report.calls} calls for {report.seconds:.0f} s; {report.turns} turns, {report.unanswered} unanswered, "
            f"{report.broken} broken, {report.underruns} underruns; the server took {self.core_share:.0%} of a core, "
            f"waited {self.waited_share:.0%} of the time for it; "
            f"the generator {report.cpu_share:.0%}, {report.late_p50_ms:.1f} ms late (p99 {report.late_p99_ms:.1f})"
        )


def run(
    server: Server, *, calls: int, seconds: float, voice: Path | None = None, lasting_s: float | None = None
) -> Run:
    """Start a server, place the calls, stop it. Raises NotServed."""
    with serving(server) as (process, port):
        watch = Watch(process.pid)
        try:
            report = load(
                f"ws://127.0.0.1:{port}{_PATH}", calls=calls, seconds=seconds, voice=voice, lasting_s=lasting_s
            )
        finally:
            samples = watch.stop()
        if server.is_product:
            process.terminate()
        printed, _ = process.communicate(timeout=_WAIT_S)
        if process.returncode and not server.is_product:
            raise NotServed(f"{server.name} has ended with {process.returncode}")
    if not report.frames:
        raise NotServed(f"{server.name} has let nobody in")
    last = printed.strip().splitlines()[-1:] or ["{}"]
    inside: dict[str, Any] = json.loads(last[0]) if last[0].startswith("{") else {}
    return Run(report, samples, inside, is_pinned=not server.is_product)


def load(
    url: str, *, calls: int, seconds: float, voice: Path | None = None, lasting_s: float | None = None
) -> LoadReport:
    """Have a generator of its own process place the calls."""
    _, cores = server_and_generator_cores()
    said = ("--voice", str(voice)) if voice is not None else ()
    said += ("--lasting", str(lasting_s)) if lasting_s is not None else ()
    command = [sys.executable, "-m", "benchmarks.load", url, "--calls", str(calls), "--seconds", str(seconds), *said]
    done = subprocess.run(  # noqa: S603 - our own command
        on_cores(cores, command), check=True, stdout=subprocess.PIPE, text=True, timeout=seconds + calls / 10 + _WAIT_S
    )
    return LoadReport(**json.loads(done.stdout))


@contextmanager
def serving(server: Server) -> Generator[tuple[subprocess.Popen[str], int]]:
    """Run a server until its standard input is closed, or the block is left; gives its process and its port."""
    core, _ = server_and_generator_cores()
    process = subprocess.Popen(  # noqa: S603 - our own command
        on_cores([] if server.is_product else core, list(server.command)),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL if server.is_product else None,  # a line for every call
        text=True,
    )
    try:
        assert process.stdout is not None
        yield process, _port_in(process.stdout.readline())
    finally:
        process.terminate()
        try:
            process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port_in(line: str) -> int:
    found = re.search(r"(?:^|:)(\d{2,5})\b", line)
    if found is None:
        raise NotServed(f"instead of its port the server said {line!r}")
    return int(found.group(1))


@contextmanager
def workers(count: int) -> Generator[Server]:
    """Give the command with which several processes take calls from one port; none of them is pinned."""
    with TemporaryDirectory() as journals:
        options = (
            *("--engines", "null", "--insecure", "--port", "0", "--probe-every-s", "0", "--drain-s", "0"),
            *("--max-calls", "1000", "--journals", journals, "--workers", str(count)),
        )
        command = (sys.executable, "-m", "voiceagent.cli", "serve", "loadtest", *options)
        yield Server(f"{count} workers", command, is_product=True)


def delays_ms(decided: Mapping[str, Sequence[int]], seen: Mapping[str, Sequence[int]]) -> list[float]:
    """Return for everything seen how long ago it had been decided, by call; what nobody had decided is left out."""
    delays: list[float] = []
    for call, instants in seen.items():
        for seen_ns in instants:
            before = [at_ns for at_ns in decided.get(call, ()) if at_ns <= seen_ns]
            if before:
                delays.append((seen_ns - before[-1]) / 1e6)
    return delays
