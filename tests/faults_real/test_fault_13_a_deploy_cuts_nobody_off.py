"""Fault 13: SIGTERM while calls are going on: they finish, those that take too long are told goodbye, and exit is 0."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import httpx

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit
from voiceagent.core.events import CallEnded
from voiceagent.runtime.journal_file import read_journal
from voiceagent.testing import CallerScript, CallReport, place_call
from voiceagent.testing.caller_script import ExpectHangUpStep, PressStep, WaitForAgentStep, WaitStep


def lasting(ms: int) -> CallerScript:
    """A caller who listens, waits for so long and says goodbye."""
    return CallerScript(
        "caller",
        (WaitForAgentStep(quiet_ms=300), WaitStep(ms), PressStep("9"), ExpectHangUpStep(within_ms=10_000)),
    )


PATIENT = CallerScript("patient", (WaitForAgentStep(quiet_ms=300), ExpectHangUpStep(within_ms=40_000)))


def ends(server: ServerProcess) -> list[str]:
    """How the calls ended, by their journals."""
    reasons: list[str] = []
    for file in server.journals:
        journal = read_journal(file)
        assert journal.complete
        (end,) = (entry.event.reason for entry in journal.entries if isinstance(entry.event, CallEnded))
        reasons.append(end)
    return sorted(reasons)


async def status(server: ServerProcess, path: str) -> int:
    async with httpx.AsyncClient(trust_env=False) as client:
        return (await client.get(f"http://127.0.0.1:{server.port}{path}")).status_code


def test_ten_calls_of_five_to_twenty_seconds_finish_and_new_ones_are_refused(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> list[CallReport]:
        calls = [asyncio.create_task(place_call(server.url, lasting(4_000 + 1_500 * n))) for n in range(10)]
        await asyncio.to_thread(server.until_logged, "is recorded in", times=10)
        server.signals(signal.SIGTERM)
        await asyncio.to_thread(server.until_logged, "no new calls; 10 still going on")
        assert (await RawCarrier.asks(server.port, path="/media/twilio/shop")).status == 503
        assert await status(server, "/twilio/shop/answer?CallSid=CA0") == 503
        assert [await status(server, path) for path in ("/readyz", "/healthz")] == [503, 200]
        return await asyncio.gather(*calls)

    with ServerProcess(tmp_path) as server:
        reports = asyncio.run(scenario(server))
        assert server.ends() == 0
        assert [report.failure for report in reports] == [None] * 10, "0 calls cut"
        assert {(report.closed.by, report.closed.code) for report in reports} == {("agent", 1000)}
        assert ends(server) == ["phase goodbye"] * 10
    record_property("calls that a drain has cut, of ten", sum(report.failure is not None for report in reports))


def test_at_the_drain_limit_callers_are_told_goodbye_and_closed_with_1001(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> CallReport:
        call = asyncio.create_task(place_call(server.url, PATIENT))
        await asyncio.to_thread(server.until_logged, "is recorded in")
        server.signals(signal.SIGTERM)
        return await call

    with ServerProcess(tmp_path, "--drain-s", "2") as server:
        report = asyncio.run(scenario(server))
        assert server.ends() == 0
        assert report.ok, report.failure
        assert (report.closed.by, report.closed.code, report.closed.reason) == ("agent", 1001, "server is going away")
        assert report.closed.at_ms > 6_000, "the goodbye of five seconds was heard to its end"
        assert ends(server) == ["server stops"]
        assert "1 calls are ended: they have had 2 s" in server.log


def test_a_second_signal_cuts_the_rest_off_and_exit_is_0_all_the_same(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def cut_off(server: ServerProcess) -> int | None:
        carrier = await RawCarrier.calls(server.port, "CA0")
        await asyncio.to_thread(server.until_logged, "is recorded in")
        server.signals(signal.SIGTERM)
        await asyncio.to_thread(server.until_logged, "no new calls; 1 still going on")
        server.signals(signal.SIGTERM)
        return await carrier.close_code()

    async def connected_again(server: ServerProcess) -> int | None:
        carrier = await RawCarrier.calls(server.port, "CA0")
        await asyncio.to_thread(server.until_logged, "call CA0 goes on after")
        carrier.sends(digit("CA0", "9"))
        return await carrier.close_code()

    with ServerProcess(tmp_path) as server:
        assert asyncio.run(cut_off(server)) == 1001
        assert server.ends(within_s=15) == 0
        assert "Traceback" not in server.log
    (file,) = server.journals
    assert not read_journal(file).complete, "it is broken off, for the server that comes next"
    with ServerProcess(tmp_path) as server:
        assert asyncio.run(connected_again(server)) == 1000
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
    assert ends(server) == ["phase goodbye"]
