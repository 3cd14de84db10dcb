"""Several workers on one port: one that is killed takes its own calls with it, and another one takes its place."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import time
from pathlib import Path

import pytest

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import HangUpStep, WaitForAgentStep

SHORT = CallerScript("short", (WaitForAgentStep(quiet_ms=300), HangUpStep()))


def workers_of(server: ServerProcess) -> list[int]:
    """The processes that a supervisor has started."""
    return [int(pid) for pid in Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()]


def calls_of(pid: int) -> int:
    """How many journals a process has open."""
    links = [file.readlink().name for file in Path(f"/proc/{pid}/fd").iterdir() if file.is_symlink()]
    return sum(name.endswith(".jsonl") for name in links)


def test_a_killed_worker_is_replaced_and_the_others_notice_nothing(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> None:
        carriers = [await RawCarrier.calls(server.port, f"CA{number}") for number in range(12)]
        await asyncio.to_thread(server.until_logged, "is recorded in", times=12)
        first, second = workers_of(server)
        assert calls_of(first) + calls_of(second) == 12
        victim, survivor = (first, second) if calls_of(first) < calls_of(second) else (second, first)
        lives = calls_of(survivor)
        os.kill(victim, signal.SIGKILL)
        await asyncio.to_thread(server.until_logged, "another one is started")
        report = await place_call(server.url, SHORT)
        assert report.ok, "whoever calls meanwhile is answered by the other"
        await asyncio.to_thread(server.until_logged, "listening on", times=3)
        assert len(workers_of(server)) == 2
        assert calls_of(survivor) == lives
        for number, carrier in enumerate(carriers):
            carrier.sends(digit(f"CA{number}", "9"))
        codes = [await carrier.close_code() for carrier in carriers]
        assert codes.count(1000) == lives

    with ServerProcess(tmp_path, "--workers", "2") as server:
        asyncio.run(scenario(server))
        assert server.log.count("serving shop: media") == 1, "it is ready once"
        assert len(set(re.findall(r"listening on 127\.0\.0\.1:(\d+)", server.log))) == 1
        server.signals(signal.SIGHUP)
        server.until_logged("new calls go to the agents as they are now", times=2)
        server.signals(signal.SIGTERM)
        assert server.ends() == 0


def test_ctrl_c_twice_ends_all_of_them(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> int | None:
        carrier = await RawCarrier.calls(server.port, "CA0")
        await asyncio.to_thread(server.until_logged, "is recorded in")
        server.signals(signal.SIGINT)
        await asyncio.to_thread(server.until_logged, "no new calls; 1 still going on")
        server.signals(signal.SIGINT)
        return await carrier.close_code()

    with ServerProcess(tmp_path, "--workers", "2") as server:
        assert asyncio.run(scenario(server)) == 1001
        assert server.ends(within_s=15) == 0


def test_workers_whose_supervisor_is_killed_finish_and_leave(tmp_path: Path) -> None:
    write_shop(tmp_path)
    with ServerProcess(tmp_path, "--workers", "2") as server:
        left = workers_of(server)
        server.signals(signal.SIGKILL)
        assert server.ends() == -signal.SIGKILL
        for pid in left:
            give_up_s = time.monotonic() + 15
            while Path(f"/proc/{pid}").exists() and _state(pid) != "Z":
                assert time.monotonic() < give_up_s, f"worker {pid} is still there"
                time.sleep(0.05)


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return "Z"


def test_workers_that_cannot_start_are_one_error_and_not_a_loop(tmp_path: Path) -> None:
    write_shop(tmp_path)
    with (
        pytest.raises(AssertionError, match="before it took calls"),
        ServerProcess(tmp_path, "--workers", "2", "--time-zone", "Mars/Olympus"),
    ):
        pass
