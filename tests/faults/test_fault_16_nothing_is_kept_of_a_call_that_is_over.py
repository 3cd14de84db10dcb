"""Fault 16: a call that is over is kept by nothing: not by its flow, if it was broken off, nor by what recorded it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from pathlib import Path

from tests.threats.served import DESK
from voiceagent.core.codec import decode_event, encode_event
from voiceagent.core.conversation import Conversation
from voiceagent.core.events import CallStarted, LegAttached, LegLost, TranscriptFinal
from voiceagent.core.ids import CallId, LegId, UtteranceId
from voiceagent.core.state import Inherited
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal import JournalStore
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.call_tokens import CallGrant, CallTokens


def places_in_flows() -> int:
    gc.collect()
    return sum(type(each).__name__ == "_Position" for each in gc.get_objects())


def break_off_a_call() -> None:
    conversation = Conversation(DESK, Inherited(CallId("CA0")))
    conversation.handle(CallStarted(locale="en", time_zone="UTC", unix_ms=0), 0)
    conversation.handle(LegAttached(LegId("l1"), "twilio"), 0)
    conversation.handle(LegLost(LegId("l1"), "connection lost", may_return=True), 1_000)
    assert conversation.state.suspended
    assert not conversation.state.ended


def test_a_hundred_calls_that_are_broken_off_leave_no_place_in_their_flow() -> None:
    break_off_a_call()  # whatever is made once
    before = places_in_flows()
    for _ in range(100):
        break_off_a_call()
    assert places_in_flows() <= before, "other tests' calls may have gone meanwhile, too"


def test_a_call_is_not_kept_by_its_journal_until_another_one_is_written(tmp_path: Path) -> None:
    async def recorded(store: JournalStore) -> weakref.ref[Callable[[str], None]]:
        def told_if_it_breaks(reason: str) -> None:
            del reason

        journal = await store.open(CallId("CA0"), on_broken=told_if_it_breaks)
        await journal.close()
        return weakref.ref(told_if_it_breaks)

    async def scenario() -> None:
        store = JournalStore(tmp_path)
        kept = await recorded(store)
        async with asyncio.timeout(10):
            while kept() is not None:  # the thread says that a file is closed a moment before it waits again
                gc.collect()
                await asyncio.sleep(0.01)
        await store.close()

    asyncio.run(scenario())


def test_what_was_said_in_a_call_is_kept_by_nobody_who_has_read_its_record() -> None:
    line = encode_event(TranscriptFinal(UtteranceId("u1"), "my name is Alice Lidell"), 1_000)
    (_, once), (_, again) = decode_event(line), decode_event(line)
    assert isinstance(once, TranscriptFinal)
    assert isinstance(again, TranscriptFinal)
    assert once.text == again.text
    assert once.text is not again.text, "a table of the process has the words, for whoever reads them next"


def test_the_number_of_a_caller_is_kept_by_nobody_who_has_let_them_in() -> None:
    async def numbers() -> list[str | None]:
        tokens = CallTokens(MemoryStore(SystemClock()))
        grant = CallGrant("bank", "CA0", caller="+4930123456")
        grants = [await tokens.redeem(await tokens.mint(grant), agent="bank") for _ in range(2)]
        return [each.caller for each in grants if each is not None]

    once, again = asyncio.run(numbers())
    assert once == again == "+4930123456"
    assert once is not again, "a table of the process has it"
