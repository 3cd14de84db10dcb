"""B5: two hundred connections that say next to nothing, and a good call meanwhile."""

from __future__ import annotations

import asyncio
import signal
import time
from pathlib import Path

import pytest

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier
from voiceagent.telephony.driver import START_DEADLINE_MS
from voiceagent.telephony.first_bytes import HEAD_DEADLINE_MS
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import ExpectHangUpStep, PressStep, WaitForAgentStep

HEAD = b"GET /media/twilio/shop HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
GOOD = CallerScript("good", (WaitForAgentStep(quiet_ms=300), PressStep("9"), ExpectHangUpStep(within_ms=5_000)))


async def byte_by_byte(server: ServerProcess) -> tuple[bytes, float]:
    """Send one byte a second until the far side has enough; return its answer and how long that took."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    began_s = time.monotonic()
    answer = asyncio.create_task(reader.read())
    try:
        for byte in HEAD:
            writer.write(bytes([byte]))
            done, _ = await asyncio.wait({answer}, timeout=1)
            if done:
                break
        return await answer, time.monotonic() - began_s
    finally:
        writer.close()


async def without_a_start(server: ServerProcess) -> tuple[int | None, float]:
    """Open a media socket and never begin a call; return how it was closed and when."""
    carrier = await RawCarrier.asks(server.port, path="/media/twilio/shop")
    assert carrier.status == 101
    began_s = time.monotonic()
    try:
        return await carrier.close_code(), time.monotonic() - began_s
    finally:
        carrier.breaks()


@pytest.mark.measures
def test_all_of_them_are_cut_off_in_time_and_a_good_call_is_served(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> None:
        slow = [asyncio.create_task(byte_by_byte(server)) for _ in range(100)]
        silent = [asyncio.create_task(without_a_start(server)) for _ in range(100)]
        await asyncio.sleep(1)
        report = await place_call(server.url, GOOD)
        assert report.ok, report.failure
        for answer, took_s in await asyncio.gather(*slow):
            assert answer.startswith(b"HTTP/1.1 408")
            assert took_s <= HEAD_DEADLINE_MS / 1_000 + 1.5
        for code, took_s in await asyncio.gather(*silent):
            assert code == 1008
            assert took_s <= START_DEADLINE_MS / 1_000 + 1.5

    with ServerProcess(tmp_path, "--max-calls", "200") as server:
        asyncio.run(scenario(server))
        assert len(server.journals) == 1, "none of them has cost a record"
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
        assert "Traceback" not in server.log
