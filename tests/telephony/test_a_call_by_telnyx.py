"""A call at Telnyx from its first webhook to its last command: nobody is let in who was not announced."""

from __future__ import annotations

import asyncio
import base64
import json

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.telephony.provider_api import ProviderApi
from tests.telephony.wire_examples import telnyx_start
from voiceagent.console.lines import open_lines
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings
from voiceagent.telephony.telnyx_calls import TelnyxCalls

PRIVATE = Ed25519PrivateKey.from_private_bytes(b"\x07" * 32)
PUBLIC_KEY = base64.b64encode(
    PRIVATE.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
).decode()
SETTINGS = TelephonySettings(
    agents=frozenset({"bank"}),
    public_url="https://voice.example.com",
    keys=CarrierKeys(telnyx_public_key=PUBLIC_KEY),
    transfer_targets={"support": "+4911"},
    port=0,
)


class Silent:
    def audio_arrived(self, audio):
        pass

    def post(self, event):
        pass


def announced(clock, event):
    payload = {"call_control_id": "v3:c", "from": "+4930", "to": "+4940"}
    payload |= {"direction": "incoming"} if event == "call.initiated" else {}  # no other webhook says it
    body = json.dumps({"data": {"event_type": event, "payload": payload}}).encode()
    at = str(clock.unix_ms() // 1_000)
    signature = base64.b64encode(PRIVATE.sign(at.encode() + b"|" + body)).decode()
    return {"content": body, "headers": {"telnyx-signature-ed25519": signature, "telnyx-timestamp": at}}


def called(clock, ending):
    """Have Telnyx call us and `ending` end it; return what Telnyx was asked, and the calls that were taken."""
    api, taken = ProviderApi(), []

    async def handler(incoming):
        taken.append((incoming.call, incoming.caller_number, incoming.called_number))
        incoming.leg.attach(Silent())
        await ending(incoming.leg)

    async def scenario():
        async with api.serving(clock) as address, httpx.AsyncClient() as telnyx_side:
            calls = TelnyxCalls(api_key="k3y", api=address)
            lines = open_lines(SETTINGS, handler=handler, healthy=lambda: True, clock=clock, telnyx=calls)
            async with lines as (_, port):
                webhook = f"http://127.0.0.1:{port}/telnyx/bank/answer"
                for event in ("call.initiated", "call.answered"):
                    assert (await telnyx_side.post(webhook, **announced(clock, event))).status_code == 200
                url = api.asked[-1][1]["stream_url"].replace("wss://voice.example.com", f"ws://127.0.0.1:{port}")
                with pytest.raises(InvalidStatus, match="403"):
                    await connect(f"ws://127.0.0.1:{port}/media/telnyx/bank")
                async with connect(url, compression=None) as connection:
                    await connection.send('{"event":"connected","version":"1.0.0"}')
                    await connection.send(telnyx_start())
                    await connection.wait_closed()
                    assert connection.close_code == 1000
                with pytest.raises(InvalidStatus, match="403"):
                    await connect(url)
            await calls.close()

    asyncio.run(scenario())
    return [path.rpartition("/")[2] for path, _ in api.asked], taken


def test_a_call_is_answered_streamed_let_in_once_and_ended_by_request(running_clock):
    async def ending(leg):
        await leg.hang_up(drain=True)

    commands, taken = called(running_clock, ending)
    assert commands == ["answer", "streaming_start", "hangup"]
    assert taken == [("v3:c", "+4930", "+4940")]


def test_a_caller_who_is_handed_over_is_not_hung_up_on(running_clock):
    async def ending(leg):
        await leg.transfer("support")

    commands, _ = called(running_clock, ending)
    assert commands == ["answer", "streaming_start", "transfer"]
