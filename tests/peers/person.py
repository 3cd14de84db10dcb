"""Whoever holds the telephone: listens until it is their turn, and speaks; nothing is timed beforehand."""

from __future__ import annotations

import asyncio

from tests.peers.phone import Phone, now_ms
from tests.peers.recordings import spoken
from voiceagent.audio import FRAME_MS, MULAW_SILENCE, mulaw_to_pcm16

__all__ = ["Person"]


class Person:
    """A caller who has ears."""

    def __init__(self, phone: Phone) -> None:
        self.phone = phone

    async def hears_out(self, *, quiet_ms: int = 700, within_s: float = 25) -> None:
        """Wait until the agent has said something, from now on, and has then been silent for so long."""
        since_ms = now_ms()
        async with asyncio.timeout(within_s):
            while not (heard := self.phone.voice_since(since_ms)) or now_ms() - heard[-1].at_ms < quiet_ms:
                await self.phone.listens()

    async def hears(self, for_ms: int, *, within_s: float = 25) -> None:
        """Wait until the agent has spoken for so long, from now on."""
        since_ms = now_ms()
        async with asyncio.timeout(within_s):
            while len(self.phone.voice_since(since_ms)) * FRAME_MS < for_ms:
                await self.phone.listens()

    async def says(self, name: str) -> float:
        """Say one of the demo's files to its end; return when that began."""
        words = await asyncio.to_thread(spoken, name)
        began_ms = now_ms()
        self.phone.say(words)
        await self.phone.has_said_all()
        return began_ms

    def recording(self, *, since_ms: float = 0) -> bytes:
        """Return what was heard, as PCM16, with the pauses in it."""
        heard = bytearray()
        until_ms = None
        for packet in self.phone.heard:
            if packet.at_ms < since_ms:
                continue
            if until_ms is not None and packet.at_ms - until_ms > 2 * FRAME_MS:
                heard += bytes([MULAW_SILENCE]) * 8 * round(packet.at_ms - until_ms)
            heard += packet.mulaw
            until_ms = packet.at_ms + FRAME_MS
        return mulaw_to_pcm16(bytes(heard))
