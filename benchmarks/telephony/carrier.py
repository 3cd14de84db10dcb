"""A carrier in a process of its own, in several dialects: it notes when the agent's `clear` reaches it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from time import monotonic_ns
from typing import Protocol

import uvloop
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from tests.telephony.provider_side import AsteriskWire, AsTheirs, BrowserWire, TelnyxWire, TwilioWire
from voiceagent.ports import MULAW_8K, AudioFormat

__all__ = ["WAYS", "main"]


class _Wire(Protocol):
    """How a provider writes and reads, as far as it is needed here."""

    def opening(self) -> Sequence[str]: ...

    def read(self, message: str | bytes) -> AsTheirs: ...


WAYS: Mapping[str, tuple[str, Callable[[], _Wire]]] = {
    "Twilio": ("twilio", TwilioWire),
    "SignalWire, L16 at 16 kHz": ("signalwire", lambda: TwilioWire(AudioFormat("pcm16", 16_000), names_stream=False)),
    "Telnyx": ("telnyx", lambda: TelnyxWire("PCMU", MULAW_8K)),
    "browser at 16 kHz": ("browser", BrowserWire),
    "Asterisk, JSON, µ-law": ("asterisk", AsteriskWire),
    "Asterisk, words, 16 kHz": ("asterisk", lambda: AsteriskWire(AudioFormat("pcm16", 16_000), in_json=False)),
}
"""What it is called → the dialect in the path, and the other end of it."""


async def _carry(way: str, port: int) -> list[int]:
    dialect, new_wire = WAYS[way]
    wire, cleared_at_ns = new_wire(), list[int]()
    async with connect(f"ws://127.0.0.1:{port}/media/{dialect}/desk", compression=None) as connection:
        for message in wire.opening():
            await connection.send(message)
        try:
            while True:
                message = await connection.recv()
                at_ns = monotonic_ns()
                if wire.read(message)[0] == "clear":
                    cleared_at_ns.append(at_ns)
        except ConnectionClosed:
            return cleared_at_ns


def main() -> None:
    """Make one call, `WAY PORT`, and print when each `clear` came, in nanoseconds of the monotonic clock."""
    way, port = sys.argv[1:]
    print(json.dumps(uvloop.run(_carry(way, int(port)))))


if __name__ == "__main__":
    main()
