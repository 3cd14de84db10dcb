"""A5: audio that names another call's stream is heard by neither call, and is counted."""

from __future__ import annotations

import asyncio

import pytest
from starlette.applications import Starlette

from tests.threats.every_dialect import SPEAKERS
from tests.threats.served import RawCarrier, until
from voiceagent.core.events import DigitsPressed, Event, LegLost
from voiceagent.ports import IncomingCall
from voiceagent.runtime.clock import SystemClock
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.driver import SocketLeg
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.transfers import Transfers

OWN, FOREIGN, SILENCE = b"\x11" * 160, b"\x22" * 160, 0xFF


class Heard:
    """Takes calls, and remembers what each of them heard."""

    def __init__(self, incoming: IncomingCall) -> None:
        assert isinstance(incoming.leg, SocketLeg)
        self.leg = incoming.leg
        self.audio = bytearray()
        self.events: list[Event] = []
        self.over = asyncio.Event()
        self.leg.attach(self)

    def audio_arrived(self, audio: bytes) -> None:
        self.audio += audio

    def post(self, event: Event) -> None:
        self.events.append(event)
        if isinstance(event, LegLost):
            self.over.set()

    @property
    def sounds(self) -> set[int]:
        return set(self.audio) - {SILENCE}


NAMED = [name for name, each in SPEAKERS.items() if isinstance(each.media("CA0", OWN), str)]
"""Dialects in which every message can name its stream; in the others a connection is all there is."""


@pytest.mark.parametrize("name", NAMED)
def test_another_calls_stream_is_heard_by_neither(name: str) -> None:
    speaker = SPEAKERS[name]

    async def calls_in(port: int, call: str) -> RawCarrier:
        carrier = await RawCarrier.asks(port, path=speaker.path(name, call))
        carrier.sends(speaker.start(call))
        return carrier

    async def scenario() -> None:
        clock, calls = SystemClock(), dict[str, Heard]()
        settings = TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0)

        async def take(incoming: IncomingCall) -> None:
            calls[incoming.call] = heard = Heard(incoming)
            await heard.over.wait()

        server = MediaServer(
            settings,
            handler=take,
            clock=clock,
            tokens=CallTokens(MemoryStore(clock)),
            transfers=Transfers({}, clock, MemoryStore(clock)),
            limits=CallLimits(settings, state=MemoryStore(clock), clock=clock),
            detections=Detections(MemoryStore(clock), clock),
        )
        async with server.serving(Starlette()) as port:
            attacker, victim = await calls_in(port, "CAattacker"), await calls_in(port, "CAvictim")
            await until(lambda: len(calls) == 2)
            for message in (speaker.media("CAvictim", FOREIGN), speaker.digit("CAvictim", "1")):
                attacker.sends(message)
            attacker.sends(speaker.media("CAattacker", OWN))
            victim.sends(speaker.media("CAvictim", OWN))
            await until(lambda: all(heard.sounds for heard in calls.values()))
            assert [heard.sounds for heard in calls.values()] == [{OWN[0]}, {OWN[0]}]
            assert not any(isinstance(event, DigitsPressed) for heard in calls.values() for event in heard.events)
            assert calls["CAattacker"].leg.counts["another stream"] == 2
            assert calls["CAvictim"].leg.counts["another stream"] == 0
            for carrier in (attacker, victim):
                carrier.breaks()
            await server.drained()

    asyncio.run(scenario())
