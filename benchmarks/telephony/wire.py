"""From the decision to be silent to the carrier's end of the socket, in every dialect that has a word for it."""

from __future__ import annotations

import asyncio
import json
import random
import sys
from collections.abc import Iterator, Sequence
from time import monotonic_ns

import uvloop

from benchmarks.telephony.carrier import WAYS
from benchmarks.telephony.table import Row, row_of
from voiceagent.console.lines import open_lines
from voiceagent.core.events import Event, PlayoutStarted
from voiceagent.core.ids import UtteranceId
from voiceagent.ports import IncomingCall, Leg
from voiceagent.runtime.clock import SystemClock
from voiceagent.speech.null import NullSynthesizer
from voiceagent.telephony.settings import TelephonySettings

__all__ = ["WIRE_METHODS", "wire_rows"]

_GOAL_MS = 20
_WRITTEN, _CAME = "clear → given to the transport", "clear → at the carrier"
WIRE_METHODS = {
    _WRITTEN: "from `leg.clear()` being called, anywhere in a beat while speech goes out, to its return",
    _CAME: (
        "from the same moment to the carrier having read it, on a loopback socket and in a process of its own; "
        "one dialect after the other, uvloop at both ends"
    ),
}
_SAYS = "a sentence that nobody hears to its end, for it is taken back"


def wire_rows(rounds: int) -> Iterator[Row]:
    """Measure each dialect by itself."""
    for way in WAYS:
        yield from uvloop.run(_measure(way, rounds))


class _Interrupted:
    """An agent that says sentences and takes each of them back."""

    def __init__(self, rounds: int) -> None:
        self._rounds = rounds
        self.decided_at_ns: list[int] = []
        self.written_at_ns: list[int] = []
        self._heard = asyncio.Event()

    def audio_arrived(self, audio: bytes) -> None:
        pass

    def post(self, event: Event) -> None:
        if isinstance(event, PlayoutStarted):
            self._heard.set()

    async def take(self, incoming: IncomingCall) -> None:
        leg = incoming.leg
        leg.attach(self)
        audio = await NullSynthesizer().render(_SAYS, leg.audio_out, voice=None)
        for number in range(self._rounds):
            await self._take_back(leg, UtteranceId(f"a{number}"), audio)

    async def _take_back(self, leg: Leg, utterance: UtteranceId, audio: bytes) -> None:
        leg.play(utterance, audio)
        leg.end_clause(utterance, 0, last=True)
        await self._heard.wait()
        self._heard.clear()
        await asyncio.sleep(random.uniform(0, 0.02))  # noqa: S311 - at any place within the beat
        self.decided_at_ns.append(monotonic_ns())
        leg.clear()
        self.written_at_ns.append(monotonic_ns())


async def _measure(way: str, rounds: int) -> list[Row]:
    agent = _Interrupted(rounds)
    settings = TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0)
    async with open_lines(settings, handler=agent.take, healthy=lambda: True, clock=SystemClock()) as (_, port):
        carrier = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "benchmarks.telephony.carrier", way, str(port)), stdout=asyncio.subprocess.PIPE
        )
        async with asyncio.timeout(30 + rounds):
            printed, _ = await carrier.communicate()
    came_at_ns: list[int] = json.loads(printed)
    assert len(came_at_ns) == rounds, f"{len(came_at_ns)} of {rounds} clears came"
    return [
        row_of(_WRITTEN, way, _delays_ms(agent.decided_at_ns, agent.written_at_ns)),
        row_of(_CAME, way, _delays_ms(agent.decided_at_ns, came_at_ns), goal=_GOAL_MS),
    ]


def _delays_ms(decided: Sequence[int], done: Sequence[int]) -> list[float]:
    return [(after - before) / 1e6 for before, after in zip(decided, done, strict=True)]
