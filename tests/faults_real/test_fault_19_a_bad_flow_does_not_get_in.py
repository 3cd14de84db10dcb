"""Fault 19: SIGHUP with thirty flows that are wrong: refused with file and line, and calls go on as they were."""

from __future__ import annotations

import asyncio
import shutil
import signal
from pathlib import Path

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit
from voiceagent.runtime.journal_file import read_journal

BROKEN = Path(__file__).parents[1] / "spec" / "broken_flows"


def broken_agents(most: int) -> list[Path]:
    """Agents with a mistake for which `check` has an error, each with another one."""
    found = [folder for folder in sorted((BROKEN / "phases").iterdir()) if (folder / "__init__.py").is_file()]
    return found[:most]


def test_thirty_bad_flows_are_refused_and_a_live_call_keeps_the_flow_it_began_with(tmp_path: Path) -> None:
    write_shop(tmp_path, greeting="Hello from the first version.")
    shop = tmp_path / "phases" / "shop"

    async def greeted(server: ServerProcess, call: str) -> None:
        carrier = await RawCarrier.calls(server.port, call)
        async for event in carrier.events():
            if event["event"] == "media":
                break
        carrier.breaks()

    async def scenario(server: ServerProcess) -> None:
        live = await RawCarrier.calls(server.port, "CAlive")
        await asyncio.to_thread(server.until_logged, "is recorded in")
        refused = 0
        for agent in broken_agents(40):
            shutil.rmtree(shop)
            shutil.copytree(agent, shop)
            said = server.log.count("the agents stay as they are") + server.log.count("new calls go to the agents")
            server.signals(signal.SIGHUP)
            for _ in range(400):
                if server.log.count("the agents stay as they are") + server.log.count("new calls go to") > said:
                    break
                await asyncio.sleep(0.02)
            refused = server.log.count("the agents stay as they are")
            if refused >= 30:
                break
        assert refused >= 30, server.log
        shutil.rmtree(shop)
        write_shop(tmp_path, greeting="Hello from the second version.")
        taken = server.log.count("new calls go to the agents")
        server.signals(signal.SIGHUP)
        await asyncio.to_thread(server.until_logged, "new calls go to the agents", times=taken + 1)
        await greeted(server, "CAnew")
        live.sends(digit("CAlive", "9"))
        assert await live.close_code() == 1000, "the call from before has come to its own end"

    with ServerProcess(tmp_path) as server:
        asyncio.run(scenario(server))
        why = [line for line in server.log.splitlines() if "the agents stay as they are: " in line]
        assert all("/phases/shop/" in line or "/prompts/" in line for line in why), why
        with_a_line = [line for line in why if "__init__.py:" in line or ".py:" in line]
        assert len(with_a_line) >= 28, why
        assert "Traceback" not in server.log
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
        flows = {file.stem: read_journal(file).header.flow_sha256 for file in server.journals}
        assert flows["CAlive"] != flows["CAnew"]
