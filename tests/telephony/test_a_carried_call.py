"""A call through a carrier that buffers, plays in real time, and echoes marks: what the caller really heard."""

from __future__ import annotations

import asyncio

from starlette.applications import Starlette

from voiceagent.core.events import PlayoutReached, PlayoutStopped
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import CallTokens
from voiceagent.telephony.detections import Detections
from voiceagent.telephony.limits import CallLimits
from voiceagent.telephony.server import MediaServer
from voiceagent.telephony.settings import TelephonySettings
from voiceagent.telephony.transfers import Transfers
from voiceagent.testing.carrier import TwilioCarrier

INTERRUPTED = b"\x11" * 8 * 5_000
GOODBYE = bytes(range(0x20, 0x70)) * 33 + b"\x21" * 3  # not a whole number of frames


class SilentCaller:
    def notice(self, event):
        pass

    def decide(self, at_ms):
        return ()


class Heard:
    def __init__(self):
        self.events = []

    def audio_arrived(self, audio):
        pass

    def post(self, event):
        self.events.append(event)


def test_an_interrupted_sentence_stops_and_a_goodbye_is_heard_to_its_last_sample(running_clock):
    session = Heard()

    async def handler(incoming):
        leg = incoming.leg
        leg.attach(session)
        leg.play("a1", INTERRUPTED)
        await running_clock.sleep(100)
        leg.clear()
        leg.play("a2", GOODBYE)
        leg.end_clause("a2", 0, last=True)
        await leg.hang_up(drain=True)

    async def scenario():
        settings = TelephonySettings(agents=frozenset({"bank"}), insecure=True, port=0)
        server = MediaServer(
            settings,
            handler=handler,
            clock=running_clock,
            tokens=CallTokens(MemoryStore(running_clock)),
            transfers=Transfers({}, running_clock, MemoryStore(running_clock)),
            limits=CallLimits(settings, state=MemoryStore(running_clock), clock=running_clock),
            detections=Detections(MemoryStore(running_clock), running_clock),
        )
        async with server.serving(Starlette()) as port:
            carrier = TwilioCarrier(f"ws://127.0.0.1:{port}/media/twilio/bank", caller=SilentCaller())
            carried = await carrier.carry()
            return carried, carrier.heard[1]

    carried, heard = asyncio.run(scenario())
    spoken = heard.replace(b"\xff", b"")
    assert spoken.lstrip(b"\x11") == GOODBYE
    assert 0 < spoken.count(0x11) < len(INTERRUPTED)
    assert (carried.closed.by, carried.closed.code) == ("agent", 1000)
    stopped, reached = (
        next(event for event in session.events if isinstance(event, kind)) for kind in (PlayoutStopped, PlayoutReached)
    )
    assert stopped.utterance == "a1"
    assert reached == PlayoutReached("a2", 0, len(GOODBYE) // 8, finished=True)
