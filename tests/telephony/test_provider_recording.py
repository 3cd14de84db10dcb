"""Recording at the provider: begun once, paused for certain, and never at the expense of a call."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.stores.memory import MemoryStore
from voiceagent.telephony.provider_recording import ProviderRecording


class Provider:
    """Does what it is asked, but for what it `refuses`; `asked` has both."""

    def __init__(self, *refuses):
        self.refuses = refuses
        self.asked = []

    async def _asked(self, what, *about):
        await asyncio.sleep(0)  # as long as an answer takes
        self.asked.append((what, *about))
        if what in self.refuses:
            raise CallLost(f"no {what}")

    async def start_recording(self, call):
        await self._asked("start", call)
        return "RE1"

    async def pause_recording(self, call, recording):
        await self._asked("pause", call, recording)

    async def resume_recording(self, call, recording):
        await self._asked("resume", call, recording)

    async def stop_recording(self, call, recording):
        await self._asked("stop", call, recording)


def recorded(provider, *wanted, state=None):
    """Have the call recorded, or not, one after the other; return what was counted."""
    counts = Counter()

    async def scenario():
        recording = ProviderRecording("CA0", provider, state, count=lambda what: counts.update([what]))
        for on in wanted:
            recording.want(on=on)
            await recording.settled()

    asyncio.run(scenario())
    return counts


def test_a_recording_is_begun_paused_and_gone_on_with_under_its_own_name():
    provider = Provider()
    assert not recorded(provider, True, True, False, True)
    assert provider.asked == [("start", "CA0"), ("pause", "CA0", "RE1"), ("resume", "CA0", "RE1")]


def test_a_call_that_begins_where_nothing_may_be_recorded_is_recorded_from_then_on():
    provider = Provider()
    recorded(provider, False)
    assert provider.asked == []
    recorded(provider, False, True)
    assert provider.asked == [("start", "CA0")]


def test_what_is_wanted_while_the_provider_takes_its_time_is_done_afterwards():
    provider = Provider()

    async def scenario():
        recording = ProviderRecording("CA0", provider, None, count=lambda _: None)
        recording.want(on=True)
        await asyncio.sleep(0)
        recording.want(on=False)
        await recording.settled()

    asyncio.run(scenario())
    assert [what for what, *_ in provider.asked] == ["start", "pause"]


def test_what_cannot_be_paused_is_stopped_for_good_and_that_is_an_error(caplog):
    provider = Provider("pause")
    counts = recorded(provider, True, False, True)
    assert [what for what, *_ in provider.asked] == ["start", "pause", "stop"]
    assert counts["request refused"] == 1
    assert [(record.levelname, record.message) for record in caplog.records] == [
        ("ERROR", "the recording of call CA0 is stopped: it could not be paused: no pause")
    ]


def test_what_can_neither_be_paused_nor_stopped_is_said(caplog):
    recorded(Provider("pause", "stop"), True, False)
    assert caplog.records[-1].levelname == "ERROR"
    assert "call CA0 is recorded at its provider though it must not be: no pause; no stop" in caplog.text


@pytest.mark.parametrize("refused", ["start", "resume"])
def test_a_provider_that_refuses_is_counted_and_said_and_not_asked_for_ever(caplog, refused):
    provider = Provider(refused)
    counts = recorded(provider, True, False, True)
    assert counts["request refused"] == 1
    assert [what for what, *_ in provider.asked].count(refused) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING"]


@pytest.mark.parametrize(("may_be", "asked"), [(True, "resume"), (False, "pause")])
def test_a_call_that_goes_on_in_another_connection_is_not_recorded_twice(clock, may_be, asked):
    provider, state = Provider(), MemoryStore(clock)
    recorded(provider, True, state=state)
    recorded(provider, may_be, state=state)
    assert provider.asked == [("start", "CA0"), (asked, "CA0", "RE1")]


def test_a_recording_that_was_given_up_stays_so_in_another_connection(clock):
    provider, state = Provider("pause"), MemoryStore(clock)
    recorded(provider, True, False, state=state)
    recorded(provider, True, state=state)
    assert [what for what, *_ in provider.asked] == ["start", "pause", "stop"]


class Gone(MemoryStore):
    async def noted(self, key):
        raise StateUnavailable("gone")


def test_where_nobody_knows_what_was_begun_nothing_is(clock, caplog):
    provider = Provider()
    assert recorded(provider, True, state=Gone(clock))["request refused"] == 1
    assert provider.asked == []
    assert "call CA0 is not recorded at its provider: nobody knows whether it was begun before: gone" in caplog.text
