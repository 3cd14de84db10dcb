"""The agents of `make bench-swap`: a telephone server with one line per row of the table, in front of the provider.

`python -m benchmarks.swap.agents ws://127.0.0.1:PORT` prints its port, and serves until its input is closed. Ours is
the product as it is: session, speech voice, the adapter for OpenAI Realtime. A provider that cannot change a live
session is the same one with another row of capabilities.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import uvloop

from benchmarks.swap.baselines import Baseline, baseline_of
from benchmarks.swap.desk import desk
from benchmarks.swap.moments import MomentVad
from voiceagent.console.lines import open_lines
from voiceagent.models.guided import GuidedModels
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import (
    Engines,
    IncomingCall,
    SessionSetup,
    SpeechCapabilities,
    SpeechModelEngine,
    SpeechModelEvent,
    SpeechSession,
)
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal import JournalStore
from voiceagent.runtime.learned import Learned
from voiceagent.runtime.session import Services, Session
from voiceagent.speech.null import NullRecognizer, NullSynthesizer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.tools.credentials import NoCredentials
from voiceagent.tools.executor import ToolExecutor
from voiceagent.tools.service import ConnectionPool

__all__ = ["OURS", "main"]

OURS = {"in-place": (False, False), "standby": (True, True), "cold": (True, False)}
"""Line → whether the provider needs a new session for a change, and whether one stands by."""
_THEIRS = ("aws-empty", "aws-ten", "pause", "one")
_MOST_CALLS = 500


class _NeedsNewSessions:
    """A provider that cannot change a session once it is live; fulfils `SpeechModelEngine`."""

    def __init__(self, engine: OpenAIRealtimeModels) -> None:
        self._engine = engine

    @property
    def capabilities(self) -> SpeechCapabilities:
        return replace(self._engine.capabilities, swap="new_session")

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> SpeechSession:
        return await self._engine.connect(setup, post)

    async def close(self) -> None:
        await self._engine.close()


def _model(provider: str, call: str, *, new_sessions: bool) -> SpeechModelEngine:
    """Return a model of the call's own: the provider keeps its record by the model's name."""
    engine = OpenAIRealtimeModels(openai_endpoint(call, api_key=None, base_url=provider))
    return _NeedsNewSessions(engine) if new_sessions else engine


@asynccontextmanager
async def _services(journals: Path) -> AsyncGenerator[Services]:
    clock, pool = SystemClock(), ConnectionPool()
    store = JournalStore(journals)
    tools = ToolExecutor(clock=clock, broker=NoCredentials(), pool=pool, service_url="")
    try:
        yield Services(
            engines=Engines(MomentVad(), NullRecognizer(), NullSynthesizer()),
            models=GuidedModels(),
            tools=tools,
            journals=store,
            clock=clock,
            learned=Learned(),
        )
    finally:
        await tools.close()
        await store.close()
        await pool.close()


async def _serve(provider: str) -> None:
    flows = {line: desk(standby=standby) for line, (_, standby) in OURS.items()}
    theirs: dict[str, Baseline] = {line: baseline_of(line) for line in _THEIRS}
    settings = TelephonySettings(agents=frozenset({*flows, *theirs}), insecure=True, port=0, max_calls=_MOST_CALLS)
    with TemporaryDirectory() as journals:
        async with _services(Path(journals)) as services:

            async def take(incoming: IncomingCall) -> None:
                call = incoming.parameters["name"]
                if incoming.agent in theirs:
                    await theirs[incoming.agent].take(incoming.leg, f"{provider}/realtime?model={call}")
                    return
                model = _model(provider, call, new_sessions=OURS[incoming.agent][0])
                await Session(flows[incoming.agent], incoming, replace(services, speech_model=model)).run()

            lines = open_lines(settings, handler=take, healthy=lambda: True, clock=services.clock)
            async with lines as (_, port):
                print(port, flush=True)
                await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


def main() -> None:
    """Serve until standard input is closed."""
    logging.basicConfig(level=logging.WARNING)
    uvloop.run(_serve(sys.argv[1]))


if __name__ == "__main__":
    main()
