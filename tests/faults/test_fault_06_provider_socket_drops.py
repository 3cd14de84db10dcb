"""Fault 6: a provider's socket drops and comes back: nothing is said or heard twice, and it is not tried for ever."""

from __future__ import annotations

import asyncio
import socket
from typing import Any

import pytest
from websockets.asyncio.server import serve

from tests.models.calls import asked, model_at
from tests.models.dialects import DIALECTS, Dialect
from tests.models.provider_server import breaks_off_after, provider_server, streams
from tests.models.realtime_frames import setup
from tests.models.realtime_server import Far, Posted
from tests.runtime.desk_agent import BOTH, Swapping, breaks, call_to, desk, moments, words_of
from voiceagent.backoff import Backoff
from voiceagent.core import events as ev
from voiceagent.errors import VoiceFailed
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import ReplyModel, SentText, SessionLost
from voiceagent.testing import ProviderFaults

# --- real sockets ----------------------------------------------------------------------------------------------------


async def words(model: ReplyModel) -> str:
    """Return what one reply says, or how it fails."""
    said = ""
    try:
        async for piece in model.reply(asked()):
            said += piece.text if isinstance(piece, SentText) else ""
    except VoiceFailed:
        return f"{said}…"
    return said


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_stream_that_breaks_before_its_first_word_is_asked_for_again_and_heard_once(dialect: Dialect) -> None:
    async def main() -> None:
        drops, works = breaks_off_after(dialect.opening), streams(dialect.says("Hello."))
        async with provider_server(drops, works) as server, model_at(dialect, server.url) as model:
            assert await words(model) == "Hello."
            assert len(server.bodies) == 2

    asyncio.run(main())


@pytest.mark.parametrize("dialect", DIALECTS, ids=str)
def test_a_stream_that_breaks_in_the_middle_is_not_begun_again_behind_what_was_said(dialect: Dialect) -> None:
    async def main() -> None:
        drops, works = breaks_off_after(dialect.begins("Your balance ")), streams(dialect.says("Hello."))
        async with provider_server(drops, works) as server, model_at(dialect, server.url) as model:
            assert await words(model) == "Your balance …"
            assert await words(model) == "Hello."
            assert len(server.bodies) == 2

    asyncio.run(main())


def test_a_realtime_provider_that_is_killed_is_told_of_once_and_can_be_had_again_when_it_is_back() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

    async def up() -> Any:
        async def meet(wire: Any) -> None:
            far = Far(wire)
            await far.set_up()
            await far.stay()

        return await serve(meet, "127.0.0.1", port, compression=None)

    async def main() -> None:
        models = OpenAIRealtimeModels(openai_endpoint("m", api_key="k", base_url=f"ws://127.0.0.1:{port}/v1"))
        server = await up()
        posted = Posted()
        session = await models.connect(setup(), posted)
        server.close(close_connections=False)
        for connection in tuple(server.connections):
            connection.transport.abort()
        await posted.until(SessionLost)
        await session.close()
        assert [event for event in posted.events if isinstance(event, SessionLost)] == posted.events
        with pytest.raises(VoiceFailed):
            await models.connect(setup(), Posted())
        await server.wait_closed()
        server = await up()
        again = await models.connect(setup(), Posted())
        await again.close()
        server.close()
        await server.wait_closed()

    async def bounded() -> None:
        async with asyncio.timeout(20):
            await main()

    asyncio.run(bounded())


# --- a call over it --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("swap", BOTH)
def test_a_call_goes_on_with_another_session_and_no_turn_is_taken_twice(swap: Swapping) -> None:
    call, provider = call_to(desk(), swap)
    with call:
        call.start().says("When are you open?", then_wait=False)
        breaks(provider, provider.sessions[0])
        call.until_quiet()
        assert len(provider.sessions) == 2
        assert call.ran("opening_hours") == 1
        assert words_of(call) == ["When are you open?"]
        assert call.really_heard.count("From nine to five.") == 1


def test_what_the_caller_says_while_there_is_no_session_is_heard_once_by_the_next() -> None:
    call, provider = call_to(desk())
    with call:
        call.start()
        breaks(provider, provider.sessions[0])
        call.says("When are you open?")
        heard = [moments(session, 0) for session in provider.sessions]
        assert [part for part in heard if part] == [list(range(len("When are you open?") * 65))]
        assert call.really_heard.count("From nine to five.") == 1


def test_it_is_given_up_after_two_attempts_with_a_pause_between_and_the_cascade_speaks() -> None:
    call, provider = call_to(desk(), faults=ProviderFaults(lost_in_reply=[1], connect_fails=[2, 3]))
    with call:
        call.start().says("Hello?").says("When are you open?")
        assert provider.attempts == 3
        (changed,) = [event for _, event, _ in call.journal if isinstance(event, ev.VoiceChanged)]
        assert not changed.speaks
        lost_ms = call.record.at(ev.VoiceExpiring)[-1]
        assert 50 <= call.record.at(ev.VoiceChanged)[-1] - lost_ms <= 5_000


def test_pauses_grow_to_five_seconds_and_no_two_calls_wait_alike() -> None:
    pauses = [[backoff.before(attempt) for attempt in range(9)] for backoff in (Backoff(), Backoff())]
    assert all(50 <= first <= 100 for first, *_ in pauses)
    assert all(2_500 <= pause <= 5_000 for row in pauses for pause in row[6:])
    assert pauses[0] != pauses[1]
