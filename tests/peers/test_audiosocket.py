"""A caller on a telephone exchange that plays what it gets the moment it gets it: the agent keeps the time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.peers.desk import DeskCall, Relay, open_desk
from tests.peers.exchange import Exchange, free_port
from tests.peers.phone import calling, now_ms, sweep, tone
from tests.peers.playout import figures_of, listen_to_clears
from tests.peers.test_asterisk_websocket import HIGH, LOW, SAID, SAID_MS, lost, pitches_in
from voiceagent.audio import mulaw_to_pcm16
from voiceagent.core.events import DigitsPressed, LegLost, PlayoutStarted
from voiceagent.telephony.settings import AudioSocketLine

pytestmark = [pytest.mark.peers, pytest.mark.anyio, pytest.mark.timeout(60)]

BOTH = {"as8": 8_000, "as16": 16_000}


def line(exchange: Exchange) -> tuple[AudioSocketLine, ...]:
    return (AudioSocketLine("desk", port=exchange.audiosocket_port),)


async def answered(calls: asyncio.Queue[DeskCall]) -> DeskCall:
    return await asyncio.wait_for(calls.get(), 10)


@pytest.mark.parametrize("extension", BOTH)
async def test_voice_and_digits_reach_the_agent_and_the_agent_reaches_the_ear(
    exchange: Exchange, tmp_path: Path, extension: str
):
    async with (
        open_desk(exchange.agent_port, audiosockets=line(exchange)) as desk,
        calling(exchange, extension, tmp_path) as phone,
    ):
        call = await answered(desk.calls)
        assert call.leg.audio_in.rate_hz == BOTH[extension]
        phone.say(tone(LOW, 1_000))
        phone.press("42#")
        call.say("a1", HIGH, 1_000)
        await call.until(lambda: call.reached("a1"))
        await call.until(lambda: len(call.times_of(DigitsPressed)) == 3)
        await call.until(lambda: pitches_in(call).count(LOW) >= 45)
        assert [e.digits for _, e in call.told if isinstance(e, DigitsPressed)] == ["4", "2", "#"]
        assert 49 <= len(phone.heard_of(HIGH)) <= 52


@pytest.mark.parametrize("extension", BOTH)
async def test_what_is_taken_back_is_over_within_four_frames(
    exchange: Exchange, tmp_path: Path, extension: str, measured: Callable[[str], None]
):
    async with (
        open_desk(exchange.agent_port, audiosockets=line(exchange)) as desk,
        calling(exchange, extension, tmp_path) as phone,
    ):
        call = await answered(desk.calls)
        call.say("a1", LOW, 5_000)
        await call.until(lambda: call.times_of(PlayoutStarted))
        await asyncio.sleep(1.5)
        call.leg.clear()
        cleared_ms = now_ms()
        truth_ms = phone.heard_ms(LOW, by_ms=cleared_ms)
        call.say("a2", HIGH, 600)
        await call.until(lambda: call.reached("a2"))
        await asyncio.sleep(0.1)
        still_ms = max((p.at_ms + 20 - cleared_ms for p in phone.heard_of(LOW, since_ms=cleared_ms)), default=0)
        said_ms = call.stopped[0].heard_ms
        measured(f"{extension}: heard for {still_ms:.0f} ms after a clear; said {said_ms}, truth {truth_ms:.0f} ms")
        assert still_ms <= 80
        assert abs(said_ms - truth_ms) <= 150
        assert 29 <= len(phone.heard_of(HIGH)) <= 32


@pytest.mark.parametrize("extension", BOTH)
async def test_the_agent_knows_what_is_heard_to_two_frames(
    exchange: Exchange, tmp_path: Path, extension: str, measured: Callable[[str], None]
):
    async with (
        open_desk(exchange.agent_port, audiosockets=line(exchange)) as desk,
        calling(exchange, extension, tmp_path) as phone,
    ):
        seen = await listen_to_clears(await answered(desk.calls), phone, rounds=6)
    for line_of_numbers in figures_of(extension, seen):
        measured(line_of_numbers)
    assert np.median(np.abs(seen.off_ms)) <= 40
    assert np.median(seen.silent_ms) <= 60


@pytest.mark.parametrize("extension", BOTH)
async def test_every_sample_is_heard_to_the_last_before_the_agent_hangs_up(
    exchange: Exchange, tmp_path: Path, extension: str
):
    async with (
        open_desk(exchange.agent_port, audiosockets=line(exchange)) as desk,
        calling(exchange, extension, tmp_path) as phone,
    ):
        call = await answered(desk.calls)
        as_it_is = BOTH[extension] == 8_000  # samples that a telephone knows: they are the same in its format and back
        call.play("a1", mulaw_to_pcm16(SAID) if as_it_is else sweep(SAID_MS, BOTH[extension]))
        await call.leg.hang_up(drain=True)
        await asyncio.wait_for(phone.hung_up_on.wait(), 5)
        if as_it_is:
            assert SAID in b"".join(packet.mulaw for packet in phone.heard)
        else:
            assert phone.worst_match(SAID_MS) > 0.95


@pytest.mark.parametrize("extension", BOTH)
async def test_a_caller_who_hangs_up_is_gone(exchange: Exchange, tmp_path: Path, extension: str):
    async with (
        open_desk(exchange.agent_port, audiosockets=line(exchange)) as desk,
        calling(exchange, extension, tmp_path, hold_ms=700),
    ):
        call = await answered(desk.calls)
        call.say("a1", LOW, 10_000)
        await call.until(lambda: lost(call))
        assert lost(call) == LegLost(call.leg.id, "caller hung up", may_return=False)


@pytest.mark.parametrize("extension", BOTH)
async def test_packets_go_out_one_by_one_in_time(
    exchange: Exchange, tmp_path: Path, extension: str, measured: Callable[[str], None]
):
    """Ten seconds of speech, seen from the wire and from the caller's ear."""
    port = free_port()
    relay = Relay(port)
    async with (
        open_desk(exchange.agent_port, audiosockets=(AudioSocketLine("desk", port=port),)) as desk,
        relay.between(exchange.audiosocket_port),
        calling(exchange, extension, tmp_path) as phone,
    ):
        call = await answered(desk.calls)
        call.say("a1", LOW, 10_000)
        await call.until(lambda: call.reached("a1"), within_s=15)
        await asyncio.sleep(0.1)
        sent_ms = [
            at_ms for at_ms, data in relay.passed for _ in range(len(data) // (3 + 40 * BOTH[extension] // 1000))
        ]
        for where, times in (("wire", sent_ms), ("ear", [packet.at_ms for packet in phone.heard_of(LOW)])):
            gaps = np.diff(times)[1:]  # the first two frames go out together
            p50, p99 = np.percentile(gaps, [50, 99])
            measured(
                f"{extension}: gap between packets on the {where} p50 {p50:.1f}, p99 {p99:.1f}, max {gaps.max():.1f} ms"
            )
            assert len(times) >= 500
            assert 19 <= p50 <= 21
            assert np.mean(np.diff(times)) == pytest.approx(20, abs=0.5)
