"""Fault 9: the carrier reads nothing for twelve seconds while the agent talks."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path

import pytest

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import HangUpStep, PressStep, WaitForAgentStep, WaitStep

BESIDE = CallerScript("beside", (WaitForAgentStep(quiet_ms=300), PressStep("1"), WaitStep(11_000), HangUpStep()))


async def narrow(server: ServerProcess, call: str) -> RawCarrier:
    """Begin a call over a connection whose receiver has next to no buffer."""
    wire = socket.socket()
    wire.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4_096)
    wire.setblocking(False)
    await asyncio.get_running_loop().sock_connect(wire, ("127.0.0.1", server.port))
    carrier = RawCarrier(*await asyncio.open_connection(sock=wire))
    await carrier.upgrades("/media/twilio/shop")
    carrier.starts(call)
    return carrier


@pytest.mark.measures
def test_what_is_not_read_is_dropped_and_the_call_goes_on(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> int:
        carrier = await narrow(server, "CAslow")
        other = asyncio.create_task(place_call(server.url, BESIDE))
        await asyncio.to_thread(server.until_logged, "is recorded in", times=2)
        carrier.sends(digit("CAslow", "1"))
        await asyncio.sleep(1)
        before_kib = server.rss_kib()
        carrier.writer.transport.pause_reading()
        await asyncio.sleep(12)
        grown_kib = server.rss_kib() - before_kib
        carrier.writer.transport.resume_reading()
        assert (await other).ok, "the call beside has noticed nothing"
        carrier.sends(digit("CAslow", "9"))
        assert await carrier.close_code() == 1000, "it says goodbye and hangs up as ever"
        return grown_kib

    with ServerProcess(tmp_path) as server:
        assert asyncio.run(scenario(server)) < 2_048
        server.until_logged("ms of speech not taken")
        (dropped_ms,) = re.findall(r"'ms of speech not taken': (\d+)", server.log)
        assert 1_000 < int(dropped_ms) < 12_000
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
