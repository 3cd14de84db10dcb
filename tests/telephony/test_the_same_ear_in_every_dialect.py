"""A caller who is handed over hears the same whichever carrier they come by: it rings, and then there is somebody."""

from __future__ import annotations

import asyncio

import pytest

from tests.telephony.telnyx_line import PEER, called
from tests.telephony.twiml_line import Callee, TwimlLine
from voiceagent.ports import Announcement

TOLD = Announcement("A caller from Bath.", "en-GB")
ASKED = Announcement("A caller from Bath.", "en-GB", "Press one to take the call.")
TAKEN, BACK = ["agent", "ringing", "somebody"], ["agent", "ringing", "agent"]

SCENARIOS = {
    "somebody answers": (None, Callee(), TAKEN),
    "somebody is told": (TOLD, Callee(), TAKEN),
    "somebody hangs up when told": (TOLD, Callee(hangs_up_while_told=True), BACK),
    "somebody is asked and takes the caller": (ASKED, Callee(presses="1"), TAKEN),
    "somebody is asked and refuses": (ASKED, Callee(presses="2"), BACK),
    "a mailbox is asked": (ASKED, Callee(), BACK),
    "somebody hangs up when asked": (ASKED, Callee(hangs_up_while_told=True), BACK),
    "somebody is busy": (TOLD, Callee("is busy"), BACK),
    "somebody does not answer": (TOLD, Callee("does not answer"), BACK),
    "somebody is busy, unannounced": (None, Callee("is busy"), BACK),
    "somebody does not answer, unannounced": (None, Callee("does not answer"), BACK),
}


class Silent:
    def audio_arrived(self, audio):
        pass

    def post(self, event):
        pass


def by_document(clock, carrier, announcement, callee):
    line, legs = TwimlLine(carrier, callee, clock), []

    async def handler(incoming):
        incoming.leg.attach(Silent())
        legs.append(incoming.leg)
        if len(legs) == 1:
            assert await incoming.leg.transfer("support", announcement)
        else:
            line.over = True
            await incoming.leg.hang_up(drain=True)

    asyncio.run(line.carry(handler))
    return line.heard, line.told


def by_commands(clock, announcement, callee):
    told = []

    async def ending(leg):
        assert await leg.transfer("support", announcement)

    async def afterwards(tell):
        await tell("streaming.stopped")
        await tell("call.initiated", **PEER)
        if callee.does == "answers":
            if announcement is None:
                tell.api.ear.picked_up()
            await tell("call.answered", **PEER)
            await hears_it_out(tell)
        hung_up_on = any(path.endswith("v3:new/actions/hangup") for path, _ in tell.api.asked)
        if callee.does != "answers" or callee.hangs_up_while_told or hung_up_on:
            await tell("call.hangup", **PEER)

    async def hears_it_out(tell):
        command, body = tell.api.asked[-1]
        told.extend([body["payload"]] if "payload" in body else [])
        if callee.hangs_up_while_told:
            ended = "call.gather.ended" if command.endswith("gather_using_speak") else "call.speak.ended"
            await tell(ended, **PEER, status="call_hangup")
        elif command.endswith("gather_using_speak"):
            pressed = {"status": "valid", "digits": callee.presses} if callee.presses else {"status": "timeout"}
            await tell("call.gather.ended", **PEER, **pressed)
        elif command.endswith("speak"):
            await tell("call.speak.ended", **PEER, status="completed")

    heard, before = [], set()
    for hears in called(clock, ending, afterwards, connection="c0nn").heard:
        heard.extend(hears - before)
        before = hears
    return heard, told


@pytest.mark.parametrize("carrier", ["twilio", "signalwire", "telnyx"])
@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_caller_hears_it_ring_and_then_somebody_or_their_agent(running_clock, carrier, scenario):
    announcement, callee, expected = SCENARIOS[scenario]
    if carrier == "telnyx":
        heard, told = by_commands(running_clock, announcement, callee)
    else:
        heard, told = by_document(running_clock, carrier, announcement, callee)
    assert heard == expected
    answered = callee.does == "answers" and announcement is not None
    said = " ".join(part for part in (announcement.text, announcement.accept) if part) if announcement else ""
    assert told == ([said] if answered else [])
