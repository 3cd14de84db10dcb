"""`make bench-swap`: what a change of phase costs the caller, ours beside two ways in use, and beside none."""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop

from benchmarks.figures import machine
from benchmarks.swap.caller import Caller, call_in_turns
from benchmarks.swap.exact import Exact, exact_rows
from benchmarks.swap.provider import TIMING
from benchmarks.swap.rows import Row, row_of
from benchmarks.swap.table import goals, markdown, method, real_table, virtual_table


@dataclass(frozen=True, slots=True)
class _Line:
    """One row of the table."""

    agent: str
    title: str
    calls: int
    """At the same time."""
    changes: int
    """Of each call."""


_BATCHES = (
    (
        _Line("in-place", "ours, in place", 3, 20),
        _Line("standby", "ours, new session, standby", 3, 20),
        _Line("cold", "ours, new session, cold", 3, 20),
        _Line("pause", "pause and discard (pipecat-flows PR 229)", 3, 20),
    ),
    (
        _Line("aws-empty", "close, then open (AWS sample), no history", 6, 10),
        _Line("aws-ten", "close, then open (AWS sample), 10 messages", 10, 6),
        _Line("one", "one agent, all prompts and tools, no change", 3, 12),
    ),
)
"""Lines whose calls run at the same time: whatever the machine does to one it does to all of them."""
_APART_S = 0.413
"""Callers ring one after the other, so that their changes do not fall together."""
_WAIT_S = 60


def main() -> int:
    """Measure, print and keep; 0 whatever the figures are: the machine decides some of them."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    exact = list(exact_rows())
    rows: list[Row] = []
    for batch in _BATCHES:
        print(f"measuring in real time: {'; '.join(line.title for line in batch)}", file=sys.stderr)
        rows += _measure(batch)
    for line in (machine(), *method(), *real_table(rows), "", *virtual_table(exact), "", *goals(rows, exact)):
        print(line)
    _keep(rows, exact)
    print("kept in bench-output/swap.json and bench-output/swap.md")
    return 0


def _keep(rows: Sequence[Row], exact: Sequence[Exact]) -> None:
    folder = Path("bench-output")
    folder.mkdir(exist_ok=True)
    kept = {
        "machine": machine(),
        "provider_ms": asdict(TIMING),
        "method": list(method()),
        "real_time": [asdict(row) for row in rows],
        "virtual_time": [asdict(row) for row in exact],
    }
    (folder / "swap.json").write_text(json.dumps(kept, ensure_ascii=False, indent=2))
    (folder / "swap.md").write_text("\n".join(markdown(machine(), rows, exact)))


def _measure(lines: Sequence[_Line]) -> list[Row]:
    with _running("benchmarks.swap.provider") as (provider, provider_port):
        with ExitStack() as servers:
            # One server for each: what one way has to do must not hold up the others.
            of_provider = f"ws://127.0.0.1:{provider_port}"
            agents = {
                line.agent: servers.enter_context(_running("benchmarks.swap.agents", of_provider)) for line in lines
            }
            callers = uvloop.run(_call(lines, {agent: port for agent, (_, port) in agents.items()}))
            for process, _ in agents.values():
                process.communicate(timeout=_WAIT_S)
        printed, _ = provider.communicate(timeout=_WAIT_S)
    records: Mapping[str, Any] = json.loads(printed)
    return [row_of(line.title, callers[line.agent], records) for line in lines]


async def _call(lines: Sequence[_Line], ports: Mapping[str, int]) -> dict[str, list[Caller]]:
    callers: dict[str, list[Caller]] = {line.agent: [] for line in lines}
    async with asyncio.TaskGroup() as ringing:
        for number in range(max(line.calls for line in lines)):
            for line in lines:
                if number < line.calls:
                    requests = call_in_turns(line.changes, number)
                    caller = Caller(f"{line.agent}-{number}", requests, phases_change=line.agent != "one")
                    callers[line.agent].append(caller)
                    url = f"ws://127.0.0.1:{ports[line.agent]}/media/twilio/{line.agent}"
                    ringing.create_task(caller.call(url))
                    await asyncio.sleep(_APART_S)
    return callers


@contextmanager
def _running(module: str, *arguments: str) -> Generator[tuple[subprocess.Popen[str], int]]:
    process = subprocess.Popen(  # noqa: S603 - our own command
        [sys.executable, "-m", module, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout is not None
        yield process, int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
