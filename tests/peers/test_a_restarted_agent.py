"""The agent's server is killed and started again in the middle of a call: the caller is still there, and goes on."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.faults_real.processes import write_shop
from tests.peers.exchange import Exchange
from tests.peers.phone import calling
from voiceagent.core.events import CallResumed
from voiceagent.runtime.inspection import inspect_journal
from voiceagent.runtime.journal_file import read_journal

pytestmark = [pytest.mark.peers, pytest.mark.anyio, pytest.mark.timeout(120)]

ROOT = Path(__file__).parents[2]
HOLD_MS = 90_000


@asynccontextmanager
async def agent_process(exchange: Exchange, folder: Path) -> AsyncGenerator[None]:
    """Run the agent as an operator would; it is killed in the end."""
    command = ["-m", "voiceagent.cli", "serve", "desk", "--engines", "null", "--port", str(exchange.agent_port)]
    command += ["--asterisk-url", f"ws://127.0.0.1:{exchange.http_port}/media"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "VOICEAGENT_ASTERISK_PASSWORD": "s3cret"}
    log = folder / "server.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )
    try:
        await until(lambda: "journals in" in log.read_text())
        yield
    finally:
        process.kill()
        await process.wait()


async def until(known: Callable[[], object]) -> None:
    async with asyncio.timeout(40):
        while not await asyncio.to_thread(known):  # noqa: ASYNC110 - a file has no event
            await asyncio.sleep(0.1)


@pytest.mark.parametrize("way_in", ["redial-json-ulaw", "wait-ulaw"])
async def test_a_call_goes_on_where_it_stood_when_the_agent_is_there_again(
    exchange: Exchange, tmp_path: Path, way_in: str
) -> None:
    write_shop(tmp_path)
    (tmp_path / "phases" / "shop").rename(tmp_path / "phases" / "desk")

    def records() -> list[Path]:
        return sorted((tmp_path / "journals").glob("*.jsonl"))

    def recorded(what: str) -> bool:
        return any(what in file.read_text() for file in records())

    async with agent_process(exchange, tmp_path):
        phone_call = calling(exchange, way_in, tmp_path, hold_ms=HOLD_MS)
        phone = await phone_call.__aenter__()
        await until(lambda: recorded('"event":"PlayoutReached"'))
        phone.press("1")
        await until(lambda: recorded("dark and stormy"))
    try:
        async with agent_process(exchange, tmp_path):
            await until(lambda: recorded('"event":"CallResumed"'))
            assert not phone.hung_up_on.is_set()
            phone.press("9")
            await asyncio.wait_for(phone.hung_up_on.wait(), 20)
            await until(lambda: recorded('"event":"CallEnded"'))
    finally:
        await phone_call.__aexit__(None, None, None)
    assert len(records()) == 1, (tmp_path / "server.log").read_text()
    (record,) = records()
    journal = await asyncio.to_thread(read_journal, record)
    phases = dict.fromkeys(seen.phase for seen in inspect_journal(journal).phases)
    assert list(phases) == ["help", "story", "goodbye"]
    assert sum(isinstance(entry.event, CallResumed) for entry in journal.entries) == 1
