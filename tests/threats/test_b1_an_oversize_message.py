"""B1: messages beyond 64 KiB, whole or only declared: the connection is closed with 1009, and nothing is kept."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.faults_real.processes import ServerProcess, write_shop
from tests.threats.served import RawCarrier, digit, frame
from voiceagent.telephony.port import MAX_MESSAGE_BYTES

OVERSIZE = {
    "one byte too long": frame(b"x" * (MAX_MESSAGE_BYTES + 1)),
    "a mebibyte": frame(b"x" * 2**20),
    "a hundred mebibytes declared": frame(b"x" * 1_000, declared=100 * 2**20),
}


def test_it_is_closed_with_1009_and_costs_no_memory(tmp_path: Path) -> None:
    write_shop(tmp_path)

    async def closed_with(server: ServerProcess, call: str, message: bytes) -> int | None:
        carrier = await RawCarrier.calls(server.port, call)
        try:
            carrier.writer.write(message)
            return await carrier.close_code()
        finally:
            carrier.breaks()

    async def scenario(server: ServerProcess) -> int:
        other = await RawCarrier.calls(server.port, "CAother")
        for number in range(20):  # until the allocator has what it wants
            await closed_with(server, f"CAwarm{number}", OVERSIZE["a mebibyte"])
        before_kib = server.rss_kib()
        for number in range(5):
            for of_kind, (name, message) in enumerate(OVERSIZE.items()):
                assert await closed_with(server, f"CA{number}x{of_kind}", message) == 1009, name
        grown_kib = server.rss_kib() - before_kib
        other.sends(digit("CAother", "9"))
        assert await other.close_code() == 1000, "a call beside goes on"
        other.breaks()
        return grown_kib

    with ServerProcess(tmp_path) as server:
        assert asyncio.run(scenario(server)) < 1_024
