"""A microphone as a leg: what is said is told when it is heard, and a device that is gone is a caller who is gone."""

from __future__ import annotations

import asyncio

import pytest

from voiceagent.core import events as ev
from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.devices.microphone import MicrophoneLeg
from voiceagent.ports import AudioFormat
from voiceagent.testing.manual_clock import ManualClock

pytestmark = pytest.mark.anyio
WIDE = AudioFormat("pcm16", 16_000)
A = UtteranceId("a")
BLOCK = 20 * 32
SOUND = b"\x01\x02" * 320
LATENCY_MS = 60


class Call:
    """What the leg reports to, and a sound card that takes blocks when it is told to."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.leg = MicrophoneLeg(LegId("microphone"), WIDE, self.clock)
        self.events: list[ev.Event] = []
        self.audio = b""
        self.leg.attach(self)

    def audio_arrived(self, audio: bytes) -> None:
        self.audio += audio

    def post(self, event: ev.Event) -> None:
        self.events.append(event)

    async def takes_a_block(self) -> None:
        self.leg.handed_over(self.leg.take(BLOCK), LATENCY_MS)
        await asyncio.sleep(0)

    def so_far(self) -> list[ev.Event]:
        events, self.events = self.events, []
        return events


async def test_a_sentence_is_heard_when_the_card_has_played_it_and_not_when_it_took_it() -> None:
    call = Call()
    call.leg.play(A, SOUND)
    call.leg.end_clause(A, 0, last=True)
    began_ms = call.clock.now_ms()
    await call.takes_a_block()
    call.clock.advance(LATENCY_MS - 1)
    assert call.so_far() == []
    call.clock.advance(1)
    assert call.so_far() == [ev.PlayoutStarted(A, began_ms + LATENCY_MS)]
    call.clock.advance(20)
    assert call.so_far() == [ev.PlayoutReached(A, 0, 20, finished=True)]


async def test_what_the_card_has_taken_is_heard_though_it_is_cut_off_before() -> None:
    call = Call()
    call.leg.play(A, SOUND * 5)
    call.leg.end_clause(A, 0, last=True)
    await call.takes_a_block()
    call.clock.advance(10)
    call.leg.clear()
    assert call.so_far() == [ev.PlayoutStopped(A, 20, exact=True)]
    call.clock.advance(1_000)
    assert call.so_far() == []


async def test_a_block_that_is_taken_while_it_is_cut_off_tells_nothing_afterwards() -> None:
    call = Call()
    call.leg.play(A, SOUND)
    block = call.leg.take(BLOCK)
    call.leg.clear()
    call.leg.handed_over(block, LATENCY_MS)
    await asyncio.sleep(0)
    call.clock.advance(1_000)
    assert call.so_far() == [ev.PlayoutStopped(A, 20, exact=True)]


async def test_the_last_words_are_heard_before_it_hangs_up() -> None:
    call = Call()
    call.leg.play(A, SOUND)
    call.leg.end_clause(A, 0, last=True)
    hanging_up = asyncio.create_task(call.leg.hang_up(drain=True))
    await call.takes_a_block()
    for _ in range((LATENCY_MS + 20) // 20):
        assert not hanging_up.done()
        call.clock.advance(20)
        for _ in range(3):
            await asyncio.sleep(0)
    await hanging_up
    assert call.so_far()[-1] == ev.PlayoutReached(A, 0, 20, finished=True)


async def test_nobody_waits_for_words_that_a_lost_loudspeaker_would_have_said() -> None:
    call = Call()
    call.leg.play(A, SOUND)
    call.leg.lost("the loudspeaker is gone (unplugged)")
    await asyncio.sleep(0)
    await call.leg.hang_up(drain=True)
    assert call.so_far()[0] == ev.LegLost(LegId("microphone"), "the loudspeaker is gone (unplugged)")
    assert call.leg.gone == "the loudspeaker is gone (unplugged)"


async def test_what_is_heard_after_hanging_up_is_nobodys() -> None:
    call = Call()
    call.leg.heard(SOUND)
    await asyncio.sleep(0)
    await call.leg.hang_up(drain=False)
    call.leg.heard(SOUND)
    await asyncio.sleep(0)
    assert call.audio == SOUND


async def test_who_is_handed_over_has_heard_what_was_said() -> None:
    call = Call()
    call.leg.play(A, SOUND)
    handing_over = asyncio.create_task(call.leg.transfer("support"))
    await asyncio.sleep(0)
    assert not handing_over.done()
    call.leg.clear()
    call.clock.advance(20)
    assert await handing_over is False
