"""A4: a second start, on the same socket or for a call that lives on another one, begins nothing and disturbs none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.threats.every_dialect import CODECS, ending_of, open_desk
from voiceagent.core.events import CallStarted, DigitsPressed
from voiceagent.runtime.journal_file import read_journal


def recorded(folder: Path) -> list[str]:
    """Return what happened in the only call that there was."""
    (file,) = folder.glob("*.jsonl")
    journal = read_journal(file)
    assert journal.complete
    return [type(entry.event).__name__ for entry in journal.entries]


@pytest.mark.parametrize("name", CODECS)
def test_a_second_start_on_one_socket_is_not_listened_to(tmp_path: Path, name: str) -> None:
    async def scenario() -> object:
        async with open_desk(name, tmp_path) as desk:
            carrier = await desk.called("CA0")
            carrier.sends(desk.speaker.start("CA0"))
            carrier.sends(desk.speaker.start("CAother"))
            carrier.sends(desk.speaker.digit("CA0", "9"))
            return await ending_of(carrier)

    assert asyncio.run(scenario()) == "in good order"
    happened = recorded(tmp_path)
    assert happened.count(CallStarted.__name__) == 1
    assert happened.count(DigitsPressed.__name__) == 1


@pytest.mark.parametrize("name", CODECS)
def test_a_start_that_names_a_live_call_is_closed_and_the_call_goes_on(tmp_path: Path, name: str) -> None:
    async def scenario() -> tuple[object, object]:
        async with open_desk(name, tmp_path) as desk:
            first = await desk.called("CA0")
            await first.message()  # it is being spoken to
            second = await desk.called("CA0")
            refused = await ending_of(second)
            first.sends(desk.speaker.digit("CA0", "9"))
            return refused, await ending_of(first)

    assert asyncio.run(scenario()) == ("refused", "in good order")
    happened = recorded(tmp_path)
    assert happened.count(CallStarted.__name__) == 1
    assert "CallResumed" not in happened
