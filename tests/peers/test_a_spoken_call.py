"""A person calls the bank from a SIP telephone: through Asterisk, to the real agent, and hears the right balance."""

from __future__ import annotations

import asyncio
import wave
from pathlib import Path

import pytest
from ear import hears

from tests.peers.bank import bank_served
from tests.peers.baresip import call_with_baresip
from tests.peers.exchange import Exchange
from tests.peers.recordings import understood

pytestmark = [pytest.mark.peers, pytest.mark.engines, pytest.mark.anyio, pytest.mark.timeout(150)]

SAYS = [(5_000, "01_greeting_balance"), (4_500, "03_account_number"), (4_500, "04_pin"), (12_000, "20_goodbye")]
WAYS_IN = [["ws-json-ulaw", "ws-plain-slin16", "as8"], ["ws-json-slin16", "ws-plain-ulaw", "as16"]]
"""Every spelling with every codec, and both rates; three at a time, which two cores understand in good time."""
APART_S = 3
"""Between two callers: so that the agent has not three to understand at the same moment."""


def decoded(recording: Path) -> bytes:
    with wave.open(str(recording)) as heard:
        return heard.readframes(heard.getnframes())


@pytest.mark.parametrize("ways_in", WAYS_IN, ids=" ".join)
async def test_callers_hear_the_balance_that_the_bank_has_whichever_way_they_come_in(
    exchange: Exchange, tmp_path: Path, ways_in: list[str]
):
    async with bank_served(exchange, tmp_path) as bank, asyncio.TaskGroup() as callers:
        calls = {}
        for way in ways_in:
            calls[way] = callers.create_task(call_with_baresip(exchange, way, tmp_path / way, says=SAYS))
            await asyncio.sleep(APART_S)
    all_phases = await bank.phases()
    assert len(all_phases) == len(ways_in)
    for phases in all_phases:
        assert phases[:3] == ["greeting", "authentication", "account_inquiry"]
    for way, call in calls.items():
        assert any(
            hears(bank.balances["checking"], words) for words in await understood(decoded(call.result()), tmp_path)
        ), way
