"""A caller on a real Asterisk that is asked by ARI: keys are pressed towards them, and somebody else takes the call."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from tests.peers.desk import open_desk
from tests.peers.exchange import Exchange
from tests.peers.phone import calling
from tests.peers.test_asterisk_websocket import pitches_in
from voiceagent.errors import CallLost
from voiceagent.telephony.ari_calls import AriCalls
from voiceagent.telephony.call_control import Dialled

pytestmark = [pytest.mark.peers, pytest.mark.anyio, pytest.mark.timeout(60)]

SOMEBODY_ELSE = 1_400
RINGING = (400, 450)
"""425 Hz, in steps of 50."""


@asynccontextmanager
async def asked(exchange: Exchange) -> AsyncGenerator[AriCalls]:
    control = AriCalls(url=f"http://127.0.0.1:{exchange.http_port}/ari", user="agent", password="s3cret")
    try:
        yield control
    finally:
        await control.close()


async def until(what: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not what():  # noqa: ASYNC110 - a telephone has no event for what it hears
            await asyncio.sleep(0.05)


async def test_keys_are_pressed_towards_the_caller_who_is_then_handed_over(exchange: Exchange, tmp_path: Path) -> None:
    async with (
        asked(exchange) as control,
        open_desk(
            exchange.agent_port, controls={"asterisk": control}, transfer_targets={"support": "+15551234567"}
        ) as desk,
        calling(exchange, "ws-json-ulaw", tmp_path) as phone,
    ):
        call = await asyncio.wait_for(desk.calls.get(), 10)
        call.say("a1", 600, 300)
        await call.until(lambda: call.reached("a1"))
        call.leg.send_digits("42#")
        assert await call.leg.transfer("support") is False
        await until(lambda: len(phone.heard_of(SOMEBODY_ELSE)) >= 25)
        assert len(phone.heard_of(600)) >= 14, "the last words were heard before"
        assert phone.told == ["4", "2", "#"]
        assert not phone.hung_up_on.is_set()
        await control.hang_up(call.incoming.call)
        await asyncio.wait_for(phone.hung_up_on.wait(), 5)
        await control.hang_up(call.incoming.call)
        with pytest.raises(CallLost, match="Channel not found"):
            await control.send_digits(call.incoming.call, "1")


async def test_a_caller_who_is_handed_over_hears_it_ring_until_somebody_answers(
    exchange: Exchange, tmp_path: Path
) -> None:
    async with (
        asked(exchange) as control,
        open_desk(
            exchange.agent_port, controls={"asterisk": control}, transfer_targets={"support": "+4930123"}
        ) as desk,
        calling(exchange, "ws-json-ulaw", tmp_path) as phone,
    ):
        call = await asyncio.wait_for(desk.calls.get(), 10)
        call.say("a1", 600, 300)
        await call.until(lambda: call.reached("a1"))
        await call.leg.transfer("support")
        await until(lambda: len(phone.heard_of(SOMEBODY_ELSE)) >= 25)
        told_ms, answered_ms = phone.heard_of(600)[-1].at_ms, phone.heard_of(SOMEBODY_ELSE)[0].at_ms
        ringing = [packet.at_ms for packet in phone.voice_since(told_ms) if packet.pitch in RINGING]
        assert ringing[0] - told_ms < 1_500, "soon after the last word"
        assert 45 <= len(ringing) <= 55, "for a second, and four of silence after it"
        assert ringing[-1] < answered_ms


async def test_keys_arrive_in_their_order_and_all_of_them_before_the_agent_hangs_up(
    exchange: Exchange, tmp_path: Path
) -> None:
    async with (
        asked(exchange) as control,
        open_desk(exchange.agent_port, controls={"asterisk": control}) as desk,
        calling(exchange, "ws-json-ulaw", tmp_path) as phone,
    ):
        call = await asyncio.wait_for(desk.calls.get(), 10)
        call.leg.send_digits("123")
        call.leg.send_digits("456#")
        await call.leg.hang_up(drain=True)
        await asyncio.wait_for(phone.hung_up_on.wait(), 5)
        assert "".join(phone.told) == "123456#"


async def test_a_caller_who_hangs_up_while_they_are_handed_over_has_gone(exchange: Exchange, tmp_path: Path) -> None:
    async with (
        asked(exchange) as control,
        open_desk(
            exchange.agent_port, controls={"asterisk": control}, transfer_targets={"support": "+15551234567"}
        ) as desk,
        calling(exchange, "ws-json-ulaw", tmp_path),
    ):
        call = await asyncio.wait_for(desk.calls.get(), 10)
        transfer = control.transfer

        async def hangs_up_first(channel: str, number: str) -> None:
            await control.hang_up(channel)
            with suppress(CallLost):
                await transfer(channel, number)

        control.transfer = hangs_up_first
        with pytest.raises(CallLost, match="the caller has gone"):
            await call.leg.transfer("support")


async def test_a_call_that_is_placed_reaches_the_agent(exchange: Exchange, tmp_path: Path) -> None:
    async with asked(exchange) as control, open_desk(exchange.agent_port) as desk:
        placed = await control.dial(Dialled("+15551234567", "+15557654321", "", detect_machine=False, agent="desk"))
        call = await asyncio.wait_for(desk.calls.get(), 10)
        assert call.incoming.call == placed
        assert (call.incoming.caller_number, call.incoming.called_number) == ("+15551234567", "+15557654321")
        assert call.incoming.outbound
        await call.until(lambda: pitches_in(call).count(SOMEBODY_ELSE) >= 25)
        await control.hang_up(placed)
