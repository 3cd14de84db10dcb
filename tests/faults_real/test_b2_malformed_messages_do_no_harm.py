"""B2: a hundred thousand damaged messages, beside five good calls, and one after them."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from pathlib import Path

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit, frame, mark, media, start
from voiceagent.testing import CallerScript, place_call
from voiceagent.testing.caller_script import ExpectHangUpStep, PressStep, WaitForAgentStep, WaitStep

MESSAGES = 100_000
OF_ONE_CALL = 160  # of which about a hundred are refused: more, and the connection is
GOOD = CallerScript(
    "good", (WaitForAgentStep(quiet_ms=300), WaitStep(2_000), PressStep("9"), ExpectHangUpStep(within_ms=10_000))
)
STRANGE = (
    "[]",
    "7",
    "null",
    "[" * 30_000,
    '{"event":"media","media":{"payload":NaN}}',
    '{"event":"media","media":{"payload":7}}',
    '{"event":"media","event":"stop"}',
    '{"event":"media"}',
    '{"event":"no such"}',
    '{"event":"media","media":{"payload":"\\ud800"}}',
)


def damaged(rng: random.Random, call: str) -> bytes:
    """A message that was one, or never was."""
    message = rng.choice(
        (media(call), mark(call, "1.1"), digit(call, "5"), start("CAother"), '{"event":"connected"}', *STRANGE)
    )
    at = rng.randrange(len(message))
    match rng.randrange(6):
        case 0:
            message = message[:at]
        case 1:
            message = message[:at] + rng.choice('{}[]",:\\\0NaN-1e9é') + message[at + 1 :]
        case 2:
            message = message[:at] + message[min(at + 40, len(message)) :]
        case 3:
            message = message.replace('"', rng.choice(["", "'", '""']), rng.randrange(1, 4))
        case 4:
            return frame(message.encode(), opcode=2)
        case _:
            pass
    return frame(message.encode())


async def trouble(server: ServerProcess, seed: int) -> None:
    """Send one connection's share; that it is closed for it meanwhile is as it should be."""
    rng, call = random.Random(seed), f"CAbad{seed}"  # noqa: S311  the same damage every time
    carrier = await RawCarrier.calls(server.port, call)
    reading = asyncio.create_task(carrier.close_code())
    try:
        for _ in range(OF_ONE_CALL // 40):
            carrier.writer.write(b"".join(damaged(rng, call) for _ in range(40)))
            await carrier.writer.drain()
    except ConnectionError:
        pass
    finally:
        carrier.breaks()
        await reading


def test_no_call_is_harmed_and_nothing_crashes(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    write_shop(tmp_path)

    async def scenario(server: ServerProcess) -> None:
        good = [asyncio.create_task(place_call(server.url, GOOD)) for _ in range(5)]
        for first in range(0, MESSAGES // OF_ONE_CALL, 4):
            await asyncio.gather(*(trouble(server, seed) for seed in range(first, first + 4)))
        reports = await asyncio.gather(*good)
        assert [report.failure for report in reports] == [None] * 5
        assert {(report.closed.by, report.closed.code) for report in reports} == {("agent", 1000)}
        report = await place_call(server.url, GOOD)
        assert report.ok, "the next call works"

    with ServerProcess(tmp_path, "--max-calls", "1000") as server:  # a call keeps its place until its record is written
        asyncio.run(scenario(server))
        server.signals(signal.SIGTERM)
        assert server.ends() == 0
        assert "Traceback" not in server.log
        assert "too many refused messages" in server.log
    record_property("malformed messages, with 0 crashes and 5 good calls unharmed", MESSAGES)
