"""The real server, and what is to be known of its inside: when it decided what, its tasks, its collector's pauses."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import sys
from array import array
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic_ns
from typing import Literal

import uvloop

from voiceagent.cli.agent_server import ServerSettings, agent_server
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["main"]

_MOST_CALLS = 2_000
_EVERY_S = 5


def _instants() -> array[int]:
    return array("q")  # eight bytes each, so that what is measured here does not look like the server's own growth


class _Decisions:
    """When a caller was interrupted for, and when a turn was over, on the system's monotonic clock."""

    def __init__(self) -> None:
        self.clear_at_ns: dict[str, array[int]] = defaultdict(_instants)
        self.turn_over_at_ns: dict[str, array[int]] = defaultdict(_instants)

    def observe(self, call: CallId, now_ms: int, event: ev.Event, outgoing: tuple[Outgoing, ...]) -> None:
        del now_ms, event
        for out in outgoing:
            match out.effect:
                case fx.StopPlayout():
                    self.clear_at_ns[str(call)].append(monotonic_ns())
                case fx.AskModel():
                    self.turn_over_at_ns[str(call)].append(monotonic_ns())
                case _:
                    pass


class _Pauses:
    """How long the garbage collector held everything up."""

    def __init__(self) -> None:
        self.lasted_ns = _instants()
        self._began_ns = 0

    def note(self, phase: Literal["start", "stop"], info: dict[str, int]) -> None:
        del info
        if phase == "start":
            self._began_ns = monotonic_ns()
        else:
            self.lasted_ns.append(monotonic_ns() - self._began_ns)


def _size_of(journals: Path) -> int:
    return sum(file.stat().st_size for file in journals.glob("*.jsonl"))


async def _serve(engines: Literal["local", "null"], state: str, vad: Literal["silero", "energy"] | None) -> None:
    decisions, pauses, tasks = _Decisions(), _Pauses(), _instants()
    with TemporaryDirectory() as journals:
        settings = ServerSettings(
            telephony=TelephonySettings(
                agents=frozenset({"loadtest"}),
                insecure=True,
                port=0,
                max_calls=_MOST_CALLS,
                max_lag_ms=10_000,  # what happens beyond the limit is what is measured
            ),
            journals=Path(journals),
            engines=engines,
            state=state,
            vad=vad,
        )
        flows = {"loadtest": load_flow(Path("phases/loadtest"))}
        async with agent_server(settings, flows, observers=[decisions.observe]) as server:
            gc.callbacks.append(pauses.note)
            print(server.port, flush=True)
            over = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
            while not over.done():
                tasks.append(len(asyncio.all_tasks()))
                await asyncio.wait((over,), timeout=_EVERY_S)
            gc.callbacks.remove(pauses.note)
        journal_bytes = await asyncio.to_thread(_size_of, Path(journals))
    inside = {
        "clear_at_ns": {call: list(at_ns) for call, at_ns in decisions.clear_at_ns.items()},
        "turn_over_at_ns": {call: list(at_ns) for call, at_ns in decisions.turn_over_at_ns.items()},
        "tasks": list(tasks),
        "gc_pauses_ns": list(pauses.lasted_ns),
        "journal_bytes": journal_bytes,
    }
    print(json.dumps(inside))


def main() -> None:
    """Serve until standard input is closed; the first line printed is the port, the last what is known inside."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--engines", choices=("local", "null"), default="null")
    parser.add_argument("--vad", choices=("silero", "energy"), help="as the engines have it without it")
    parser.add_argument("--state", default="memory")
    options = parser.parse_args()
    uvloop.run(_serve(options.engines, options.state, options.vad))


if __name__ == "__main__":
    main()
