"""A3: a webhook of Telnyx' that is recorded and sent again within its five minutes has nothing done twice."""

from __future__ import annotations

import asyncio
from collections import Counter

import httpx

from tests.telephony.provider_api import ProviderApi
from tests.telephony.telnyx_line import SETTINGS, announced
from voiceagent.console.lines import open_lines
from voiceagent.ports import IncomingCall
from voiceagent.runtime.clock import SystemClock
from voiceagent.telephony.telnyx_calls import TelnyxCalls


async def never(incoming: IncomingCall) -> None:
    raise AssertionError(incoming)


def test_what_it_asks_for_again_has_the_name_that_telnyx_passes_over() -> None:
    api, clock = ProviderApi(), SystemClock()

    async def scenario() -> None:
        async with api.serving(clock) as address, httpx.AsyncClient(trust_env=False) as attacker:
            calls = TelnyxCalls(api_key="k3y", api=address)
            lines = open_lines(SETTINGS, handler=never, healthy=lambda: True, clock=clock, controls={"telnyx": calls})
            async with lines as (media, port):
                for event in ("call.initiated", "call.answered", "streaming.stopped"):
                    recorded = announced(clock, event)
                    for _ in range(10):
                        answer = await attacker.post(f"http://127.0.0.1:{port}/telnyx/bank/answer", **recorded)
                        assert answer.status_code == 200
                assert media.live_calls == 0
            await calls.close()

    asyncio.run(scenario())
    commands = Counter((path.rpartition("/")[2], body.get("command_id")) for path, body in api.asked)
    ended = ("hangup", None)  # the call has nobody here: to end it again does no harm
    assert commands == {("answer", "answer"): 1, ("streaming_start", "stream"): 1, ended: 10}
