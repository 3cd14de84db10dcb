"""What a carrier finds out about who has answered reaches the call, whichever worker is told."""

from __future__ import annotations

import asyncio

from voiceagent.errors import StateUnavailable
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.detections import Detections
from voiceagent.testing.manual_clock import ManualClock


async def passes(clock: ManualClock, ms: int) -> None:
    for _ in range(ms // 100):
        clock.advance(100)
        for _ in range(5):
            await asyncio.sleep(0)


def test_a_word_reaches_the_call_at_another_worker_once() -> None:
    clock, words, others = ManualClock(), list[str](), list[str]()

    async def scenario() -> None:
        state = MemoryStore(clock)
        told, follows = Detections(state, clock), Detections(state, clock)
        async with follows.following("CA0", words.append), follows.following("CA1", others.append):
            await passes(clock, 1_000)
            await told.told("CA0", "machine_end_beep")
            await passes(clock, 1_000)
            await told.told("CA0", "human")
            await passes(clock, 1_000)

    asyncio.run(scenario())
    assert (words, others) == (["machine_end_beep", "human"], [])


def test_nobody_looks_for_longer_than_a_carrier_listens() -> None:
    clock, words = ManualClock(), list[str]()

    async def scenario() -> None:
        detections = Detections(MemoryStore(clock), clock)
        async with detections.following("CA0", words.append):
            await passes(clock, 61_000)
            await detections.told("CA0", "machine")
            await passes(clock, 2_000)

    asyncio.run(scenario())
    assert words == []


class Broken(MemoryStore):
    """Cannot be asked the first time."""

    async def take(self, key: str) -> str | None:
        self.take = super().take
        raise StateUnavailable("the store is gone")


def test_a_store_that_is_gone_for_a_moment_loses_no_word() -> None:
    clock, words = ManualClock(), list[str]()

    async def scenario() -> None:
        detections = Detections(Broken(clock), clock)
        await detections.told("CA0", "human")
        async with detections.following("CA0", words.append):
            await passes(clock, 1_000)

    asyncio.run(scenario())
    assert words == ["human"]
