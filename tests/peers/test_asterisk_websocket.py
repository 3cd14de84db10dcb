"""A caller on a real telephone exchange: what is said is heard, what is taken back is not, and the last word is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection, serve

from tests.peers.desk import DeskCall, Relay, open_desk
from tests.peers.exchange import Exchange, free_port
from tests.peers.phone import calling, now_ms, pitch_hz, sweep, tone
from tests.peers.playout import figures_of, listen_to_clears
from voiceagent.core.events import DigitsPressed, LegLost, PlayoutStarted
from voiceagent.speech.samples import pcm16_of
from voiceagent.telephony.asterisk import AsteriskDialect
from voiceagent.telephony.codec import (
    BufferFree,
    BufferFull,
    ClearAudio,
    Command,
    HangUp,
    Mark,
    PlayAudio,
    SetMark,
    Started,
    WireEvent,
)

pytestmark = [pytest.mark.peers, pytest.mark.anyio, pytest.mark.timeout(60)]

Measured = Callable[[str], None]
LOW, HIGH = 600, 1_000
SAID_MS = 1_000
SAID = bytes(range(2, 102)) * 80
"""A second of µ-law: five different milliseconds in a frame, so that none can stand for another."""
EVERY = [f"{control}-{codec}" for control in ("json", "plain") for codec in ("ulaw", "slin16")]


def lost(call: DeskCall) -> LegLost | None:
    return next((event for _, event in call.told if isinstance(event, LegLost)), None)


def pitches_in(call: DeskCall) -> list[int | None]:
    """What the agent has heard, frame by frame."""
    audio = call.leg.audio_in
    samples = np.frombuffer(pcm16_of(bytes(call.audio), audio), "<i2")
    at_8k = samples[:: audio.rate_hz // 8_000].astype("<i2").tobytes()
    return [pitch_hz(at_8k[at : at + 320]) for at in range(0, len(at_8k) - 319, 320)]


@pytest.mark.parametrize("how", EVERY)
async def test_voice_and_digits_reach_the_agent_and_the_agent_reaches_the_ear(
    exchange: Exchange, tmp_path: Path, how: str, measured: Measured
):
    async with open_desk(exchange.agent_port) as desk, calling(exchange, f"ws-{how}", tmp_path) as phone:
        call = await asyncio.wait_for(desk.calls.get(), 10)
        assert call.incoming.caller_number == "+493012345678"
        assert call.incoming.called_number == f"ws-{how}"
        phone.say(tone(LOW, 1_000))
        phone.press("42#")
        call.say("a1", HIGH, 1_000)
        await call.until(lambda: call.reached("a1"))
        await call.until(lambda: len(call.times_of(DigitsPressed)) == 3)
        await call.until(lambda: pitches_in(call).count(LOW) >= 45)
        assert [e.digits for _, e in call.told if isinstance(e, DigitsPressed)] == ["4", "2", "#"]
        assert 49 <= len(phone.heard_of(HIGH)) <= 52


@pytest.mark.parametrize("how", EVERY)
async def test_what_the_agent_takes_back_is_not_heard_and_what_it_says_next_is(
    exchange: Exchange, tmp_path: Path, how: str, measured: Measured
):
    async with open_desk(exchange.agent_port) as desk, calling(exchange, f"ws-{how}", tmp_path) as phone:
        call = await asyncio.wait_for(desk.calls.get(), 10)
        call.say("a1", LOW, 5_000)
        await call.until(lambda: call.times_of(PlayoutStarted))
        await asyncio.sleep(1.5)
        call.leg.clear()
        cleared_ms = now_ms()
        (stopped,) = call.stopped
        call.say("a2", HIGH, 600)
        await call.until(lambda: call.reached("a2"))
        late = phone.heard_of(LOW, since_ms=cleared_ms)
        truth_ms = phone.heard_ms(LOW, by_ms=cleared_ms)
        still_ms = max((packet.at_ms + 20 - cleared_ms for packet in late), default=0)
        measured(f"{how}: heard for {still_ms:.0f} ms after a clear; said {stopped.heard_ms}, truth {truth_ms:.0f} ms")
        assert all(packet.at_ms - cleared_ms <= 60 for packet in late)
        assert abs(stopped.heard_ms - truth_ms) <= 150
        assert 29 <= len(phone.heard_of(HIGH)) <= 32
        assert call.leg.counts.get("mark of no meaning", 0) == 0


@pytest.mark.parametrize("how", EVERY)
async def test_every_sample_is_heard_to_the_last_before_the_agent_hangs_up(
    exchange: Exchange, tmp_path: Path, how: str
):
    async with open_desk(exchange.agent_port) as desk, calling(exchange, f"ws-{how}", tmp_path) as phone:
        call = await asyncio.wait_for(desk.calls.get(), 10)
        as_it_is = call.leg.audio_out.encoding == "mulaw"
        call.play("a1", SAID if as_it_is else sweep(SAID_MS, call.leg.audio_out.rate_hz))
        await call.leg.hang_up(drain=True)
        await asyncio.wait_for(phone.hung_up_on.wait(), 5)
        if as_it_is:
            assert SAID in b"".join(packet.mulaw for packet in phone.heard)
        else:
            assert phone.worst_match(SAID_MS) > 0.95


async def test_a_call_of_which_the_dial_plan_says_nothing_is_not_taken_for_the_one_before(
    exchange: Exchange, tmp_path: Path
):
    """Asterisk keeps what was said of that one, and connects with it once more."""
    async with open_desk(exchange.agent_port) as desk, AsyncExitStack() as lines:
        await lines.enter_async_context(calling(exchange, "ws-json-ulaw", tmp_path))
        first = await asyncio.wait_for(desk.calls.get(), 10)
        assert first.incoming.caller_number == "+493012345678"
        bare = await lines.enter_async_context(calling(exchange, "bare", tmp_path))
        second = await asyncio.wait_for(desk.calls.get(), 10)
        assert second.incoming.call != first.incoming.call
        assert (second.incoming.caller_number, second.incoming.parameters) == (None, {})
        assert second.leg.counts["query of another call"] == 1
        second.say("a1", HIGH, 600)
        await second.until(lambda: second.reached("a1"))
        assert len(bare.heard_of(HIGH)) >= 29


async def test_a_caller_who_hangs_up_is_gone_and_does_not_come_back(exchange: Exchange, tmp_path: Path):
    async with (
        open_desk(exchange.agent_port) as desk,
        calling(exchange, "redial-json-ulaw", tmp_path, hold_ms=500) as phone,
    ):
        call = await asyncio.wait_for(desk.calls.get(), 10)
        call.say("a1", LOW, 10_000)
        await call.until(lambda: lost(call))
        assert lost(call) == LegLost(call.leg.id, "caller hung up", may_return=False)
        await asyncio.wait_for(phone.over.wait(), 5)
        await asyncio.to_thread(exchange.hang_up_all)  # it asks Asterisk whether there is any call
        assert desk.calls.empty()


@pytest.mark.parametrize("how", EVERY)
async def test_a_call_whose_connection_breaks_is_connected_again_by_the_dial_plan(
    exchange: Exchange, tmp_path: Path, how: str
):
    port = free_port()
    relay = Relay(port)
    async with (
        open_desk(port) as desk,
        relay.between(exchange.agent_port),
        calling(exchange, f"redial-{how}", tmp_path) as phone,
    ):
        first = await asyncio.wait_for(desk.calls.get(), 10)
        first.say("a1", LOW, 5_000)
        await first.until(lambda: first.times_of(PlayoutStarted))
        relay.cut()
        second = await asyncio.wait_for(desk.calls.get(), 10)
        ended = lost(first)
        assert ended is not None
        assert ended.may_return
        assert second.incoming.call == first.incoming.call
        phone.say(tone(LOW, 400))
        await second.until(lambda: pitches_in(second).count(LOW) >= 15)
        second.say("a2", HIGH, 600)
        await second.until(lambda: second.reached("a2"))
        assert len(phone.heard_of(HIGH)) >= 29


@pytest.mark.parametrize("how", EVERY)
async def test_asterisk_says_when_it_is_full_and_drops_marks_at_a_flush(exchange: Exchange, tmp_path: Path, how: str):
    """Nineteen seconds at once, which the driver never sends: only so does Asterisk ask for a pause."""
    came: asyncio.Queue[WireEvent] = asyncio.Queue()
    dialect = AsteriskDialect({})

    async def until(wanted: WireEvent) -> list[WireEvent]:
        before: list[WireEvent] = []
        async with asyncio.timeout(5):
            while (event := await came.get()) != wanted:
                before.append(event)
        return before

    async def pour(connection: ServerConnection) -> None:
        async def tell(command: Command) -> None:
            for message in dialect.send(command):
                await connection.send(message)

        async def listen() -> None:
            async for message in connection:
                for event in dialect.receive(message):
                    came.put_nowait(event)

        listening = asyncio.create_task(listen())
        while not isinstance(start := await came.get(), Started):
            pass
        await tell(PlayAudio(b"\x2a" * 19_000 * start.audio_out.bytes_per_ms))
        await tell(SetMark("0.1"))
        await until(BufferFull())
        await tell(ClearAudio())
        await tell(SetMark("1.2"))
        before = await until(Mark("1.2"))
        assert Mark("0.1") not in before
        assert BufferFree() in before
        await tell(HangUp())
        await listening
        done.set_result(None)

    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    async with (
        serve(pour, "127.0.0.1", exchange.agent_port, compression=None),
        calling(exchange, f"ws-{how}", tmp_path) as phone,
    ):
        await asyncio.wait_for(done, 15)
        await asyncio.wait_for(phone.hung_up_on.wait(), 5)


@pytest.mark.parametrize("codec", ["ulaw", "slin16"])
async def test_the_agent_connects_to_an_asterisk_that_waits_for_it(exchange: Exchange, tmp_path: Path, codec: str):
    url = f"ws://127.0.0.1:{exchange.http_port}/media"
    async with (
        open_desk(exchange.agent_port, asterisk_url=url) as desk,
        calling(exchange, f"wait-{codec}", tmp_path) as phone,
    ):
        call = await asyncio.wait_for(desk.calls.get(), 10)
        assert call.incoming.caller_number == "+493012345678"
        assert call.incoming.called_number == f"wait-{codec}"
        call.say("a1", HIGH, 1_000)
        await call.leg.hang_up(drain=True)
        await asyncio.wait_for(phone.hung_up_on.wait(), 5)
        assert 49 <= len(phone.heard_of(HIGH)) <= 52


async def test_the_agent_connects_again_to_an_asterisk_whose_connection_has_broken(exchange: Exchange, tmp_path: Path):
    """The agent is so far away that the caller, who goes on talking, is heard by nobody for a while."""
    port = free_port()
    relay = Relay(exchange.http_port, away_ms=300)
    async with (
        open_desk(exchange.agent_port, asterisk_url=f"ws://127.0.0.1:{port}/media") as desk,
        relay.between(port),
        calling(exchange, "wait-ulaw", tmp_path) as phone,
    ):
        first = await asyncio.wait_for(desk.calls.get(), 10)
        first.say("a1", LOW, 5_000)
        await first.until(lambda: first.times_of(PlayoutStarted))
        relay.cut()
        second = await asyncio.wait_for(desk.calls.get(), 10)
        assert (second.incoming.call, second.incoming.again) == (first.incoming.call, True)
        assert second.incoming.caller_number == first.incoming.caller_number == "+493012345678"
        second.say("a2", HIGH, 600)
        await second.until(lambda: second.reached("a2"))
        assert len(phone.heard_of(HIGH)) >= 29


@pytest.mark.parametrize("how", ["json-ulaw", "plain-slin16"])
async def test_a_phone_rings_until_the_agent_takes_the_call(exchange: Exchange, tmp_path: Path, how: str):
    async with open_desk(exchange.agent_port) as desk, calling(exchange, f"late-{how}", tmp_path) as phone:
        await asyncio.wait_for(desk.calls.get(), 10)
        await asyncio.wait_for(phone.answered.wait(), 5)
        assert phone.ringing.is_set()


async def test_while_the_caller_sends_nothing_silence_arrives_in_time(exchange: Exchange, tmp_path: Path):
    async with open_desk(exchange.agent_port) as desk, calling(exchange, "ws-json-ulaw", tmp_path) as phone:
        call = await asyncio.wait_for(desk.calls.get(), 10)
        await asyncio.sleep(0.5)
        phone.muted = True
        before = len(call.audio)
        await asyncio.sleep(2)
        assert 1_800 <= (len(call.audio) - before) // 8 <= 2_200


@pytest.mark.parametrize("how", EVERY)
async def test_the_agent_knows_what_is_heard_to_a_few_frames(
    exchange: Exchange, tmp_path: Path, how: str, measured: Measured
):
    async with open_desk(exchange.agent_port) as desk, calling(exchange, f"ws-{how}", tmp_path) as phone:
        seen = await listen_to_clears(await asyncio.wait_for(desk.calls.get(), 10), phone, rounds=6)
    for line in figures_of(how, seen):
        measured(line)
    assert np.median(np.abs(seen.off_ms)) <= 40
    assert np.abs(seen.off_ms).max() <= 100
    assert np.median(seen.silent_ms) <= 60
