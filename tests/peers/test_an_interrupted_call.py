"""A caller interrupts the bank's agent, or the line to it breaks: through Asterisk, and the call goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from ear import hears

from tests.peers.bank import bank_served
from tests.peers.desk import Relay
from tests.peers.exchange import Exchange, free_port
from tests.peers.person import Person
from tests.peers.phone import calling, now_ms
from tests.peers.recordings import understood
from voiceagent.audio import FRAME_MS
from voiceagent.core import events as ev

pytestmark = [pytest.mark.peers, pytest.mark.engines, pytest.mark.anyio, pytest.mark.timeout(150)]

CALL_MS = 90_000
WAYS_IN = ["ws-json-ulaw", "ws-plain-slin16", "as8"]
APART_S = 3
"""Between two callers, so that the agent has not three to understand at the same moment."""
PHASES = ["greeting", "authentication", "account_inquiry", "goodbye"]


async def identifies_themself(person: Person) -> None:
    await person.hears_out()
    await person.says("01_greeting_balance")
    await person.hears_out()
    await person.says("03_account_number")
    await person.hears_out()
    await person.says("04_pin")


async def cuts_in(exchange: Exchange, way: str, folder: Path) -> tuple[Person, float, float]:
    """Make a call in which the balance is interrupted by a question; return when that began and ended."""
    async with calling(exchange, way, folder, hold_ms=CALL_MS) as phone:
        person = Person(phone)
        await identifies_themself(person)
        await person.hears(1_500)
        cut_in_ms = await person.says("21_balance_savings")
        asked_ms = now_ms()
        await person.hears_out(quiet_ms=1_500)
        await person.says("20_goodbye")
        await phone.hung_up_on.wait()
        return person, cut_in_ms, asked_ms


async def test_callers_who_cut_in_are_not_talked_over_and_get_what_they_ask_for(
    exchange: Exchange, tmp_path: Path, measured: Callable[[str], None]
):
    async with bank_served(exchange, tmp_path) as bank, asyncio.TaskGroup() as callers:
        calls = {}
        for way in WAYS_IN:
            calls[way] = callers.create_task(cuts_in(exchange, way, tmp_path))
            await asyncio.sleep(APART_S)
    assert await bank.phases() == [PHASES] * len(WAYS_IN)
    for way, call in calls.items():
        person, cut_in_ms, asked_ms = call.result()
        stops_ms = bank.stops_ms[None if way == "as8" else way]
        decided_ms = min(at_ms for at_ms in stops_ms if cut_in_ms < at_ms < asked_ms)
        heard_ms = [packet.at_ms for packet in person.phone.voice_since(cut_in_ms) if packet.at_ms < asked_ms]
        silent_ms = max(0, max(heard_ms) + FRAME_MS - decided_ms)
        measured(
            f"{way}: the agent decided to stop {decided_ms - cut_in_ms:.0f} ms after the caller's first sound, "
            f"and the ear had silence {silent_ms:.0f} ms after that"
        )
        assert silent_ms <= 200
        heard = await understood(person.recording(since_ms=asked_ms), tmp_path)
        assert any(hears(bank.balances["savings"], words) for words in heard), (way, heard)


async def test_a_call_that_breaks_off_in_mid_sentence_goes_on_where_it_was(exchange: Exchange, tmp_path: Path):
    port = free_port()
    relay = Relay(port)
    async with (
        bank_served(exchange, tmp_path, port=port) as bank,
        relay.between(exchange.agent_port),
        calling(exchange, "redial-json-ulaw", tmp_path, hold_ms=CALL_MS) as phone,
    ):
        person = Person(phone)
        await identifies_themself(person)
        await person.hears(800)
        relay.cut()
        cut_ms = now_ms()
        await person.hears(1_000)  # of what comes next: nothing but a few packets was still on its way
        await person.hears_out(quiet_ms=1_500)
        await person.says("20_goodbye")
        await phone.hung_up_on.wait()
        assert bank.asked("/verify") == 1, "who they are is still known"
    (journal,) = await bank.records()
    events = [entry.event for entry in journal.entries]
    assert sum(isinstance(event, ev.CallResumed) for event in events) == 1
    assert [event.epoch for event in events if isinstance(event, ev.PhaseSwapped)] == [1, 2, 3, 3, 4], "the same phase"
    heard = await understood(person.recording(since_ms=cut_ms), tmp_path)
    assert any("cut off" in words and hears(bank.balances["checking"], words) for words in heard), heard
