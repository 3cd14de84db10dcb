"""Several workers are stopped: whoever is signalled, and in whatever order, their calls finish first."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import pytest

from tests.faults_real.processes import ServerProcess, write_shop
from tests.faults_real.test_fault_13_a_deploy_cuts_nobody_off import lasting
from tests.faults_real.test_workers_share_a_port import workers_of
from tests.threats.served import RawCarrier, digit
from voiceagent.testing import CallReport, place_call


@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_at_once_cuts_no_call_off(tmp_path: Path, sent: signal.Signals) -> None:
    """As systemd sends it, by default."""
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> list[CallReport]:
        calls = [asyncio.create_task(place_call(server.url, lasting(3_000))) for _ in range(4)]
        await asyncio.to_thread(server.until_logged, "is recorded in", times=4)
        for pid in (*workers_of(server), server.pid):
            os.kill(pid, sent)
        return await asyncio.gather(*calls)

    with ServerProcess(tmp_path, "--workers", "2") as server:
        reports = asyncio.run(scenario(server))
        assert server.ends() == 0
        assert [(report.closed.by, report.closed.code, report.failure) for report in reports] == [
            ("agent", 1000, None)
        ] * 4


def test_a_worker_whose_supervisor_was_killed_finishes_its_call_though_it_is_signalled_too(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> tuple[int | None, int | None]:
        carriers = [await RawCarrier.calls(server.port, f"CA{number}") for number in range(2)]
        await asyncio.to_thread(server.until_logged, "is recorded in", times=2)
        workers = workers_of(server)
        server.signals(signal.SIGKILL)
        server.ends()
        await asyncio.to_thread(_until_logged, server, "no new calls", 2)
        _signal_all(workers)
        carriers[0].sends(digit("CA0", "9"))
        finished = await carriers[0].close_code()
        _signal_all(workers)
        return finished, await carriers[1].close_code()

    with ServerProcess(tmp_path, "--workers", "2") as server:
        assert asyncio.run(scenario(server)) == (1000, 1001), "the second signal cuts off, as it does without workers"


def _signal_all(pids: list[int]) -> None:
    for pid in pids:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGTERM)


def _until_logged(server: ServerProcess, text: str, times: int) -> None:
    """Wait for what is logged by workers that have outlived the process they belong to."""
    give_up_s = time.monotonic() + 15
    while server.log.count(text) < times:
        assert time.monotonic() < give_up_s, server.log
        time.sleep(0.02)
