"""Under load: our server and the floor, one after the other, with the same callers and the same null engines."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.figures import Figure, percentile

__all__ = ["load_figures"]

_CALLS = 25
_SECONDS = 20
_OPTIONS = ("--calls", str(_CALLS), "--seconds", str(_SECONDS))
_WAIT_S = 60


@dataclass(frozen=True, slots=True)
class _Run:
    """One server under load."""

    cpu_s: float
    report: Mapping[str, Any]
    decisions: Mapping[str, Mapping[str, Sequence[int]]]

    @property
    def cpu_s_per_call_minute(self) -> float:
        return self.cpu_s / (_CALLS * _SECONDS / 60)


def load_figures() -> Iterator[Figure]:
    """Measure what a call costs against the least it could cost, and how fast a decision reaches the wire."""
    floor = _run("benchmarks.floor", "/media/twilio/loadtest")
    ours = _run("benchmarks.served", "/media/twilio/loadtest")
    how = (
        f"{_CALLS} calls for {_SECONDS} s, null engines, uvloop; "
        f"{ours.report['turns']} turns, {ours.report['unanswered']} unanswered, {ours.report['broken']} broken, "
        f"{ours.report['underruns']} underruns; "
        f"the generator's own frames were {ours.report['late_p99_ms']:.1f} ms late (p99)"
    )
    least = f"benchmarks/floor.py with the same callers; {floor.report['turns']} turns"
    yield Figure("CPU per call-minute, the floor", floor.cpu_s_per_call_minute, "s", None, how=least)
    yield Figure("CPU per call-minute, ours", ours.cpu_s_per_call_minute, "s", None, how=how)
    ratio = ours.cpu_s_per_call_minute / floor.cpu_s_per_call_minute
    yield Figure("ours / floor", ratio, "×", None, how="of this run; the goal of 1.5 is a later one")
    clears_ms = _delays_ms(ours.decisions["clear_at_ns"], ours.report["clear_at_ns"])
    yield Figure(
        "barge-in: decision → `clear` at the carrier",
        percentile(clears_ms, 0.99),
        "ms",
        20,
        spread=f"p50 {percentile(clears_ms, 0.5):.2f}",
        how=f"p99 of {len(clears_ms)} barge-ins, socket and generator included",
    )
    answers_ms = _delays_ms(ours.decisions["turn_over_at_ns"], ours.report["audio_at_ns"])
    yield Figure(
        "turn over → first audio at the carrier",
        percentile(answers_ms, 0.99),
        "ms",
        None,
        spread=f"p50 {percentile(answers_ms, 0.5):.2f}",
        how=f"p99 of {len(answers_ms)} turns, each with a phase swap; engines take no time",
    )


def _run(server: str, path: str) -> _Run:
    with _serving(server) as (process, port):
        began_s = _cpu_s(process.pid)
        load = subprocess.run(  # noqa: S603 - our own command
            [*_python("benchmarks.load"), f"ws://127.0.0.1:{port}{path}", *_OPTIONS],
            check=True,
            capture_output=True,
            text=True,
            timeout=_SECONDS + _WAIT_S,
        )
        spent_s = _cpu_s(process.pid) - began_s
        printed, _ = process.communicate(timeout=_WAIT_S)
    return _Run(spent_s, json.loads(load.stdout), json.loads(printed or "{}"))


@contextmanager
def _serving(module: str) -> Generator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(  # noqa: S603 - our own command
        _python(module), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


def _python(module: str) -> list[str]:
    return [sys.executable, "-m", module]


def _cpu_s(pid: int) -> float:
    """Return user and system time of a process (proc(5), fields 14 and 15 of stat)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _delays_ms(decided: Mapping[str, Sequence[int]], seen: Mapping[str, Sequence[int]]) -> list[float]:
    """Return for everything seen how long ago it had been decided, call by call."""
    delays: list[float] = []
    for call, instants in seen.items():
        for seen_ns in instants:
            before = [at_ns for at_ns in decided.get(call, ()) if at_ns <= seen_ns]
            if before:
                delays.append((seen_ns - before[-1]) / 1e6)
    return delays
