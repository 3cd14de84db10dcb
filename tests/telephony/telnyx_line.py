"""Telnyx on this machine: it calls us, is told what to do, and tells us what has come of it."""

from __future__ import annotations

import asyncio
import base64
import json
from dataclasses import dataclass
from itertools import repeat
from typing import Any

import httpx
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from tests.telephony.provider_api import ProviderApi
from tests.telephony.wire_examples import telnyx_start
from voiceagent.console.lines import open_lines
from voiceagent.ports import Announcement
from voiceagent.runtime.clock import SystemClock
from voiceagent.telephony.settings import CarrierKeys, TelephonySettings
from voiceagent.telephony.telnyx_calls import TelnyxCalls

__all__ = ["PEER", "SETTINGS", "Carried", "Telling", "announced", "announcing", "called", "commands_of", "nothing"]

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


def announced(clock, event, **said):
    payload = {"call_control_id": "v3:c", "from": "+4930", "to": "+4940"}
    payload |= {"direction": "incoming"} if event == "call.initiated" else {}  # no other webhook says it
    payload |= said
    body = json.dumps({"data": {"event_type": event, "payload": payload}}).encode()
    at = str(clock.unix_ms() // 1_000)
    signature = base64.b64encode(PRIVATE.sign(at.encode() + b"|" + body)).decode()
    return {"content": body, "headers": {"telnyx-signature-ed25519": signature, "telnyx-timestamp": at}}


async def nothing(_):
    pass


@dataclass
class Telling:
    """Sends more of Telnyx' webhooks, and knows what it was asked."""

    api: ProviderApi
    side: httpx.AsyncClient
    webhook: str
    clock: SystemClock

    @property
    def newest_stream(self):
        """Where the stream that it was told last reaches us."""
        base = "ws" + self.webhook.removeprefix("http").removesuffix("/telnyx/bank/answer")
        (*_, url) = [body["stream_url"] for path, body in self.api.asked if path.endswith("streaming_start")]
        return url.replace("wss://voice.example.com", base)

    async def __call__(self, event, **said):
        answer = await self.side.post(self.webhook, **announced(self.clock, event, **said))
        assert answer.status_code == 200


@dataclass
class Carried:
    """What has come of a call."""

    asked: list[tuple[str, str, dict[str, Any]]]
    """(call, command, body): what Telnyx was asked, but for what a caller was to hear meanwhile."""
    taken: list[tuple[str, str, str]]
    """The calls that were taken: which, who called, and whom."""
    heard: list[set[str]]
    """What the caller heard, from the beginning of their stream."""


def called(
    clock,
    ending,
    afterwards=nothing,
    *,
    connection="",
    may_go_on=True,
    start=None,
    closed_with=1000,
    refuses=(),
    while_it_dials=nothing,
):
    """Have Telnyx call us and `ending` end it; return what has come of it.

    `start` is what its stream begins with, `closed_with` how that ends. `afterwards` is given what sends more of its
    webhooks, and `while_it_dials` the stream. It `refuses` some commands. `may_go_on` is one answer, or one after the
    other.
    """
    api, taken = ProviderApi(), []
    answers = repeat(may_go_on) if isinstance(may_go_on, bool) else iter(may_go_on)
    api.refuses |= set(refuses)

    async def goes_on(agent, call):
        return next(answers)

    async def handler(incoming):
        taken.append((incoming.call, incoming.caller_number, incoming.called_number))
        incoming.leg.attach(Silent())
        await ending(incoming.leg)

    async def scenario():
        async with api.serving(clock) as address, httpx.AsyncClient() as telnyx_side:
            calls = TelnyxCalls(api_key="k3y", api=address, connection=connection)
            lines = open_lines(
                SETTINGS,
                handler=handler,
                healthy=lambda: True,
                clock=clock,
                controls={"telnyx": calls},
                may_go_on=goes_on,
            )
            async with lines as (_, port):
                webhook = f"http://127.0.0.1:{port}/telnyx/bank/answer"
                for event in ("call.initiated", "call.answered"):
                    assert (await telnyx_side.post(webhook, **announced(clock, event))).status_code == 200
                url = api.asked[-1][1]["stream_url"].replace("wss://voice.example.com", f"ws://127.0.0.1:{port}")
                with pytest.raises(InvalidStatus, match="403"):
                    await connect(f"ws://127.0.0.1:{port}/media/telnyx/bank")
                async with connect(url, compression=None) as socket:
                    await socket.send('{"event":"connected","version":"1.0.0"}')
                    await socket.send(start or telnyx_start())
                    api.meanwhile["dial"] = lambda: while_it_dials(socket)
                    await socket.wait_closed()
                    assert socket.close_code == closed_with
                api.ear.stream_ended()
                with pytest.raises(InvalidStatus, match="403"):
                    await connect(url)

                await afterwards(Telling(api, telnyx_side, webhook, clock))
            await calls.close()

    asyncio.run(scenario())
    asked = [
        (path.split("/")[-3 if "actions" in path else -1], path.rpartition("/")[2], body) for path, body in api.asked
    ]
    return Carried([one for one in asked if one[1] not in ("playback_start", "playback_stop")], taken, api.ear.heard)


def commands_of(asked):
    return [command for _, command, _ in asked]


async def announcing(leg):
    await leg.transfer("support", Announcement("A caller from Bath.", "en-GB"))


PEER = {
    "call_control_id": "v3:new",
    "client_state": base64.b64encode(b"consulted for v3:c").decode(),
    "direction": "outgoing",
}
