"""A4: a second start, on the same socket or for a call that lives on another one, begins nothing and disturbs none."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.threats.served import RawCarrier, digit, serving, signature, start
from voiceagent.core.events import CallStarted, DigitsPressed
from voiceagent.runtime.journal_file import read_journal


def recorded(folder: Path) -> list[str]:
    """Return what happened in the only call that there was."""
    (file,) = folder.glob("*.jsonl")
    journal = read_journal(file)
    assert journal.complete
    return [type(entry.event).__name__ for entry in journal.entries]


def test_a_second_start_on_one_socket_is_not_listened_to(tmp_path: Path) -> None:
    async def scenario() -> int | None:
        async with serving(tmp_path) as server:
            carrier = await RawCarrier.asks(server.port, signed=signature())
            carrier.starts("CA0")
            carrier.starts("CA0")
            carrier.sends(start("CAother"))
            carrier.sends(digit("CA0", "9"))
            return await carrier.close_code()

    assert asyncio.run(scenario()) == 1000
    happened = recorded(tmp_path)
    assert happened.count(CallStarted.__name__) == 1
    assert happened.count(DigitsPressed.__name__) == 1


def test_a_start_that_names_a_live_call_is_closed_and_the_call_goes_on(tmp_path: Path) -> None:
    async def scenario() -> tuple[int | None, int | None]:
        async with serving(tmp_path) as server:
            first = await RawCarrier.asks(server.port, signed=signature())
            first.starts("CA0")
            await anext(first.events())  # it is being spoken to
            second = await RawCarrier.asks(server.port, signed=signature())
            second.starts("CA0")
            refused = await second.close_code()
            first.sends(digit("CA0", "9"))
            return refused, await first.close_code()

    assert asyncio.run(scenario()) == (1008, 1000)
    happened = recorded(tmp_path)
    assert happened.count(CallStarted.__name__) == 1
    assert "CallResumed" not in happened
