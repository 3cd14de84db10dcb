"""B5: whoever connects in any dialect and begins no call is cut off in time."""

from __future__ import annotations

import asyncio

import pytest

from tests.telephony.conftest import StandingClock
from tests.telephony.wire_examples import packet
from tests.threats.every_dialect import BY_WEBSOCKET, SPEAKERS, PacketCarrier, audiosocket_line
from tests.threats.served import RawCarrier, until
from voiceagent.console.lines import open_lines
from voiceagent.ports import IncomingCall
from voiceagent.telephony.driver import START_DEADLINE_MS
from voiceagent.telephony.settings import TelephonySettings

NOT_YET = {
    "nothing": None,
    "audio": lambda name: SPEAKERS[name].media("CA0", SPEAKERS[name].silence),
    "a key": lambda name: SPEAKERS[name].digit("CA0", "5"),
}


async def never(incoming: IncomingCall) -> None:
    raise AssertionError(incoming)


@pytest.mark.parametrize("said", NOT_YET.values(), ids=NOT_YET)
@pytest.mark.parametrize("name", BY_WEBSOCKET)
def test_a_media_socket_that_begins_no_call(name: str, said: object) -> None:
    clock = StandingClock()

    async def scenario() -> None:
        settings = TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0)
        async with open_lines(settings, handler=never, healthy=lambda: True, clock=clock) as (media, port):
            carrier = await RawCarrier.asks(port, path=SPEAKERS[name].path(name, "CA0"))
            assert carrier.status == 101
            if callable(said):
                carrier.sends(said(name))
            await until(lambda: media.live_calls == 1)
            for _ in range(50):  # what was said is read
                await asyncio.sleep(0)
            clock.advance(START_DEADLINE_MS - 1)
            assert media.live_calls == 1
            clock.advance(1)
            async with asyncio.timeout(5):
                assert await carrier.close_code() == 1008
            carrier.breaks()

    asyncio.run(scenario())


@pytest.mark.parametrize("said", [b"", packet(0x03, b"5")], ids=["nothing", "a key"])
def test_an_audiosocket_that_says_its_id_and_nothing_more(said: bytes) -> None:
    clock, line = StandingClock(), audiosocket_line()

    async def scenario() -> None:
        settings = TelephonySettings(agents=frozenset({"desk"}), insecure=True, port=0, audiosockets=(line,))
        async with open_lines(settings, handler=never, healthy=lambda: True, clock=clock) as (media, _):
            carrier = await PacketCarrier.connects(line.port)
            carrier.sends(packet(0x01, bytes(16)) + said)
            await until(lambda: media.live_calls == 1)
            for _ in range(50):
                await asyncio.sleep(0)
            clock.advance(START_DEADLINE_MS)
            assert not await carrier.hung_up_on()
            await until(lambda: media.live_calls == 0)
            carrier.breaks()

    asyncio.run(scenario())
