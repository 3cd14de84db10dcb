"""Which stream of a call is its newest: word of another one's end begins nothing anew."""

from __future__ import annotations

import asyncio

from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.streams import Streams

FIRST, SECOND = "wss://voice.example.com/media/telnyx/bank/a", "wss://voice.example.com/media/telnyx/bank/b"


def test_a_first_stream_whose_command_failed_is_not_old(clock):
    async def scenario():
        streams = Streams(MemoryStore(clock))
        before = await streams.begins("v3:c", FIRST, command="stream", again=False)
        await streams.not_begun("v3:c", before)
        assert not await streams.is_old("v3:c", FIRST), "it may have begun all the same, and says that it failed"

    asyncio.run(scenario())


def test_a_stream_is_old_once_another_one_was_begun_and_not_where_nothing_came_of_that(clock):
    async def scenario():
        streams = Streams(MemoryStore(clock))
        await streams.begins("v3:c", FIRST, command="stream", again=False)
        before = await streams.begins("v3:c", SECOND, command="after a", again=True)
        assert (await streams.is_old("v3:c", FIRST), await streams.is_old("v3:c", SECOND)) == (True, False)
        await streams.not_begun("v3:c", before)
        assert not await streams.is_old("v3:c", FIRST)

    asyncio.run(scenario())
