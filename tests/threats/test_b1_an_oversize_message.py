"""B1: messages beyond 64 KiB, whole or only declared: the connection is closed with 1009, and nothing is kept."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit, frame
from voiceagent.telephony.port import MAX_MESSAGE_BYTES

OVERSIZE = {
    "one byte too long": frame(b"x" * (MAX_MESSAGE_BYTES + 1)),
    "a mebibyte": frame(b"x" * 2**20),
    "a hundred mebibytes declared": frame(b"x" * 1_000, declared=100 * 2**20),
}


@pytest.mark.figures
def test_it_is_closed_with_1009_and_costs_no_memory(
    tmp_path: Path, record_property: Callable[[str, object], None]
) -> None:
    write_shop(tmp_path)

    async def closed_with(server: ServerProcess, call: str, message: bytes) -> int | None:
        carrier = await RawCarrier.calls(server.port, call)
        try:
            carrier.writer.write(message)
            return await carrier.close_code()
        finally:
            carrier.breaks()

    async def grown_kib(server: ServerProcess, attempt: int) -> int:
        before_kib = server.rss_kib()
        for number in range(5):
            for of_kind, (name, message) in enumerate(OVERSIZE.items()):
                assert await closed_with(server, f"CA{attempt}x{number}x{of_kind}", message) == 1009, name
        return server.rss_kib() - before_kib

    async def scenario(server: ServerProcess) -> int:
        other = await RawCarrier.calls(server.port, "CAother")
        for number in range(20):  # until the allocator has what it wants
            await closed_with(server, f"CAwarm{number}", OVERSIZE["a mebibyte"])
        # What messages leave behind is there every time; what the allocator takes for once is not.
        least_kib = min([await grown_kib(server, attempt) for attempt in range(3)])
        other.sends(digit("CAother", "9"))
        assert await other.close_code() == 1000, "a call beside goes on"
        other.breaks()
        return least_kib

    with ServerProcess(tmp_path) as server:
        least_kib = asyncio.run(scenario(server))
        assert least_kib < 1_024
    record_property("growth of memory by oversize messages", f"{least_kib} KiB")
