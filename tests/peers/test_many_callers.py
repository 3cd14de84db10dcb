"""Ten callers at once, some of whom leave in the middle of a sentence or before it has begun: nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest

from tests.peers.bank import records_in
from tests.peers.desk import Relay
from tests.peers.exchange import Exchange, free_port
from tests.peers.phone import Heard, Phone, calling, now_ms
from voiceagent import Flow, HangUpAfter, Phase, Pressed, Say, Transition
from voiceagent.audio import FRAME_MS, mulaw_to_pcm16
from voiceagent.cli.agent_server import ServerSettings, agent_server
from voiceagent.core.events import CallEnded
from voiceagent.telephony.settings import AudioSocketLine, TelephonySettings

pytestmark = [pytest.mark.peers, pytest.mark.anyio, pytest.mark.timeout(60)]

FLOW = Flow(
    name="desk",
    initial="talk",
    phases=(
        Phase(name="talk", on_enter=Say(text="a" * 70), transitions=(Transition(on=Pressed(digits="9"), to="end"),)),
        Phase(name="end", on_enter=Say(text="b" * 10), ends=HangUpAfter()),
    ),
)
SENTENCE_MS, GOODBYE_MS = 70 * 65, 10 * 65
"""How long these are hummed."""
STAY = ["ws-json-ulaw", "ws-plain-ulaw", "ws-json-slin16", "ws-plain-slin16", "as8", "as16"]
LEAVE = ["ws-json-ulaw", "as8"]
GIVE_UP = ["late-json-ulaw", "late-plain-slin16"]
QUIET = 500
"""In every millisecond of the hum there is a sample beyond it."""
MOST_LOST_MS = 2 * FRAME_MS
"""Where the machine is short of breath for longer than speech is ahead, a frame may find nobody to take it."""
MOST_HELD_UP_MS = 1_000
"""How much longer than a sentence it may take to hear it, besides what the machine has held everything up."""
ANSWERS = [b'\x81\x15{"command": "ANSWER"}', b"\x81\x06ANSWER"]
"""The frames that end the ringing: whose answer gets lost rings on."""


async def hears_everything(phone: Phone) -> None:
    async with asyncio.timeout(30):
        enough = (SENTENCE_MS - MOST_LOST_MS) // FRAME_MS
        while len(phone.voiced) < enough or hummed_ms(phone.voiced) < SENTENCE_MS - MOST_LOST_MS:
            await phone.listens()
        await asyncio.sleep(0.2)  # for the rest of it, where nothing is lost
        phone.press("9")
        await phone.hung_up_on.wait()


class Machine:
    """How long this process had to wait for its turn: what has no audio in store cannot be in time meanwhile."""

    def __init__(self) -> None:
        self.late_ms = 0.0

    async def watch(self) -> None:
        while True:
            due_ms = now_ms() + FRAME_MS
            await asyncio.sleep(FRAME_MS / 1000)
            late_ms = now_ms() - due_ms
            self.late_ms += late_ms if late_ms > FRAME_MS else 0


def hummed_ms(voiced: Sequence[Heard]) -> int:
    """Return how long the agent was heard: in whole milliseconds, since what is late begins anywhere in a packet."""
    samples = np.frombuffer(mulaw_to_pcm16(b"".join(packet.mulaw for packet in voiced)), "<i2")
    return int(np.count_nonzero(np.abs(samples.reshape(-1, 8).astype(int)).max(axis=1) > QUIET))


async def nobody_is_left(exchange: Exchange) -> None:
    async with asyncio.timeout(5):
        while "0 active channels" not in await asyncio.to_thread(exchange.says, "core show channels count"):  # noqa: ASYNC110 - asked from outside
            await asyncio.sleep(0.1)


async def test_callers_who_leave_or_give_up_harm_nobody_and_leave_nothing_behind(exchange: Exchange, tmp_path: Path):
    port = free_port()
    settings = ServerSettings(
        telephony=TelephonySettings(
            agents=frozenset({"desk"}),
            asterisk_password="s3cret",
            port=port,
            audiosockets=(AudioSocketLine("desk", port=exchange.audiosocket_port),),
            max_calls_per_caller=20,
            max_caller_calls_per_minute=20,
        ),
        journals=tmp_path / "journals",
        engines="null",
    )
    async with (
        agent_server(settings, {"desk": FLOW}) as server,
        Relay(port, withholds=ANSWERS).between(exchange.agent_port),
        AsyncExitStack() as lines,
    ):
        giving_up = [
            await lines.enter_async_context(calling(exchange, way, tmp_path, hold_ms=1_000, scenario="give_up"))
            for way in GIVE_UP
        ]
        leaving = [await lines.enter_async_context(calling(exchange, way, tmp_path, hold_ms=1_500)) for way in LEAVE]
        staying = [await lines.enter_async_context(calling(exchange, way, tmp_path)) for way in STAY]
        machine = Machine()
        watching = asyncio.create_task(machine.watch())
        await asyncio.gather(*map(hears_everything, staying))
        watching.cancel()
        for phone in (*giving_up, *leaving, *staying):
            await asyncio.wait_for(phone.over.wait(), 5)
        assert await server.drain(at_most_s=5), "a call is left"
        assert server.live_calls == 0
        await nobody_is_left(exchange)
    for way, phone in zip(STAY, staying, strict=True):
        said_ms = SENTENCE_MS + GOODBYE_MS
        assert said_ms - MOST_LOST_MS <= hummed_ms(phone.voiced) <= said_ms + FRAME_MS, way
        sentence = next(n for n in range(len(phone.voiced)) if hummed_ms(phone.voiced[: n + 1]) >= SENTENCE_MS)
        held_up_ms = phone.voiced[sentence].at_ms - phone.voiced[0].at_ms - SENTENCE_MS
        assert held_up_ms <= MOST_HELD_UP_MS + machine.late_ms, way
    for phone in leaving:
        assert 0 < len(phone.voiced) * 20 < SENTENCE_MS
    assert all(phone.given_up.is_set() for phone in giving_up)
    journals = await records_in(tmp_path / "journals", FLOW)
    reasons = [
        entry.event.reason for journal in journals for entry in journal.entries if isinstance(entry.event, CallEnded)
    ]
    gone = len(LEAVE) + len(GIVE_UP)
    assert len(journals) == 10
    assert sorted(reasons) == ["caller hung up"] * gone + ["phase end"] * len(STAY)
