"""The real server with null engines, and when it decided what: to be held against when that reached the wire."""

from __future__ import annotations

import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from tempfile import TemporaryDirectory
from time import monotonic_ns

import uvloop

from voiceagent.cli.agent_server import ServerSettings, agent_server
from voiceagent.core import effects as fx
from voiceagent.core import events as ev
from voiceagent.core.effects import Outgoing
from voiceagent.core.ids import CallId
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["main"]

_MOST_CALLS = 1_000


class _Decisions:
    """When a caller was interrupted for, and when a turn was over, on the system's monotonic clock."""

    def __init__(self) -> None:
        self.clear_at_ns: dict[str, list[int]] = defaultdict(list)
        self.turn_over_at_ns: dict[str, list[int]] = defaultdict(list)

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


async def _serve() -> None:
    decisions = _Decisions()
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
            engines="null",
        )
        flows = {"loadtest": load_flow(Path("phases/loadtest"))}
        async with agent_server(settings, flows, observers=[decisions.observe]) as server:
            print(server.port, flush=True)
            await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    print(json.dumps({"clear_at_ns": decisions.clear_at_ns, "turn_over_at_ns": decisions.turn_over_at_ns}))


def main() -> None:
    """Serve until standard input is closed; the port is the first line printed, the decisions are the last."""
    uvloop.run(_serve())


if __name__ == "__main__":
    main()
