"""Call an agent as the page at `/` does, until its greeting is heard: python softphone_call.py URL AGENT."""

from __future__ import annotations

import array
import asyncio
import json
import sys
import urllib.request
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.typing import Origin

RATE_HZ = 16_000
LOUD = 1_000
HEARD_MS = 1_000


def begin(page: str, agent: str) -> dict[str, str]:
    """Ask for a path that one connection may use."""
    asked = json.dumps({"agent": agent}).encode()
    request = urllib.request.Request(f"{page}console/calls", data=asked, headers={"Origin": page.rstrip("/")})  # noqa: S310 - of this machine
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310 - of this machine
        told: dict[str, str] = json.load(answer)
    return told


async def hear(page: str, told: dict[str, str]) -> None:
    """Connect, and listen until a second of speech has come."""
    async with connect(f"ws://{urlsplit(page).netloc}{told['path']}", origin=Origin(page.rstrip("/"))) as socket:
        await socket.send(json.dumps({"type": "start", "call": told["call"], "rate_hz": RATE_HZ}))
        loud_ms = 0
        async with asyncio.timeout(20):
            async for message in socket:
                if isinstance(message, bytes):
                    samples = array.array("h", message)
                    loud_ms += sum(abs(sample) > LOUD for sample in samples) * 1_000 // RATE_HZ
                if loud_ms >= HEARD_MS // 10:  # speech crosses zero most of the time
                    break
        await socket.send(json.dumps({"type": "stop"}))
    sys.stdout.write(f"the agent is heard: {loud_ms} ms above {LOUD}\n")


page, agent = sys.argv[1:]
asyncio.run(hear(page, begin(page, agent)))
