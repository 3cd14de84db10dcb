"""Fault 21: the process may open 128 files; those who come then are not served, calls go on, and it recovers."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import HangUpStep, WaitForAgentStep

SHORT = CallerScript("short", (WaitForAgentStep(quiet_ms=300), HangUpStep()))


def test_a_live_call_goes_on_and_new_ones_are_taken_again(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> None:
        live = await RawCarrier.calls(server.port, "CAlive")
        await asyncio.to_thread(server.until_logged, "is recorded in")
        before = server.open_files()
        idle = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(200)]
        for _ in range(200):
            if server.open_files() >= 126:
                break
            await asyncio.sleep(0.02)
        assert server.open_files() >= 126, "it is at its limit"
        live.sends(digit("CAlive", "9"))
        assert await live.close_code() == 1000, "the call has heard its goodbye"
        for _, writer in idle:
            writer.close()
        report = None
        for _ in range(20):
            report = await place_call(server.url, SHORT)
            if report.ok:
                break
            await asyncio.sleep(0.5)
        assert report is not None
        assert report.ok, report.closed
        for _ in range(100):
            if server.open_files() <= before:
                break
            await asyncio.sleep(0.1)
        assert server.open_files() <= before, "nothing was left open"

    with ServerProcess(tmp_path, most_files=128) as server:
        asyncio.run(scenario(server))
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
