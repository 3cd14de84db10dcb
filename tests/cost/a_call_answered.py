"""A program: serve the load test, be called once, and print what that call has had imported."""

from __future__ import annotations

import asyncio
import sys
import tempfile
from pathlib import Path

from voiceagent.cli.agent_server import ServerSettings, agent_server
from voiceagent.runtime.loader import load_flow
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import HangUpStep, WaitStep

SCRIPT = CallerScript("one", (WaitStep(500), HangUpStep()), parameters={})


async def answer(journals: Path) -> None:
    settings = ServerSettings(
        telephony=TelephonySettings(agents=frozenset({"loadtest"}), insecure=True, port=0),
        journals=journals,
        engines="null",
    )
    async with agent_server(settings, {"loadtest": load_flow("loadtest")}) as server:
        before = set(sys.modules)
        report = await place_call(f"ws://127.0.0.1:{server.port}/media/twilio/loadtest", SCRIPT)
        assert report.ok, report.failure
        print(*sorted(set(sys.modules) - before))  # noqa: T201 - its answer


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(answer(Path(folder)))
