"""Gemini Live sessions over a real socket: how they are lost, and how they are closed."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from tests.models.gemini_live_server import (
    WHAT,
    WHO,
    Line,
    Posted,
    Script,
    audio,
    calls,
    gemini_live_server,
    go_away,
    listen,
    message,
    result,
    run,
    speech,
)
from voiceagent.models import exchange
from voiceagent.models.gemini_live import session as session_module
from voiceagent.models.gemini_live.session import GeminiLiveSession
from voiceagent.ports import ModelReplyAudio, SessionEnding, SessionLost

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong_unseen")


# --- losing ----------------------------------------------------------------------------------------------------------


async def lost(
    *scripts: Script, use: Callable[[GeminiLiveSession, Posted], Awaitable[None]] | None = None
) -> SessionLost:
    async with gemini_live_server(*scripts) as server:
        posted = Posted()
        session = await server.models().connect(WHO, posted)
        if use is not None:
            await use(session, posted)
        loss: SessionLost = await posted.until(SessionLost)
        assert posted.events[-1] == loss
        session.hear(speech(0, 20))
        session.tell([message("caller", "Hi.")])
        session.update(WHAT)
        session.ask()
        session.cancel()
        await session.close()
        assert posted.events[-1] == loss, "nothing follows"
    return loss


@pytest.mark.parametrize(
    ("code", "words", "reason", "permanent"),
    [
        (1000, "", "ended the session (1000)", False),
        (1001, "", "went away (1001)", False),
        (1007, "invalid argument", "refused what it was sent (1007)", False),
        (1008, "the caller said 1234", "refused to go on (1008)", False),
        (1008, "Permission denied", "refused to go on (1008): the key or the model's name is not accepted", True),
        (1011, "Internal error", "broke off (1011)", False),
    ],
)
def test_a_session_that_the_server_ends_is_lost_for_a_reason_in_our_words(
    code: int, words: str, reason: str, permanent: bool
) -> None:
    async def end(line: Line) -> None:
        await line.confirm()
        await line.connection.close(code, words)

    async def lose() -> None:
        assert await lost(end) == SessionLost(f"gemini-3.8-live {reason}", permanent)

    run(lose)


def test_a_connection_that_breaks_is_a_session_lost() -> None:
    async def cut(line: Line) -> None:
        await line.confirm()
        line.connection.transport.abort()

    async def lose() -> None:
        assert await lost(cut) == SessionLost("gemini-3.8-live was cut off (1006)", permanent=False)

    run(lose)


def test_the_end_in_the_middle_of_a_tool_call_is_announced_and_then_a_session_lost() -> None:
    async def end(line: Line) -> None:
        await line.confirm()
        await line.send(calls(("c1", "verify_caller", {})), go_away("0.010s"))
        await line.until("toolResponse")
        await line.connection.close(1001)

    async def answer(session: GeminiLiveSession, posted: Posted) -> None:
        assert await posted.until(SessionEnding) == SessionEnding(10)
        session.tell([result("c1", "true")])
        session.ask()

    async def lose() -> None:
        assert await lost(end, use=answer) == SessionLost("gemini-3.8-live went away (1001)", permanent=False)

    run(lose)


def test_a_server_that_reads_nothing_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "MOST_WAITING", 50)

    async def deaf(line: Line) -> None:
        await line.confirm()
        line.connection.transport.pause_reading()
        await line.connection.wait_closed()

    async def pour(session: GeminiLiveSession, posted: Posted) -> None:
        for at_ms in range(0, 2_000, 20):  # without a turn for the writer
            session.hear(speech(at_ms, at_ms + 20))

    async def lose() -> None:
        assert await lost(deaf, use=pour) == SessionLost("gemini-3.8-live takes less than it is sent", permanent=False)

    run(lose)


def test_a_frame_that_does_not_get_into_the_socket_in_time_loses_the_session(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "SEND_DEADLINE_MS", 50)

    async def deaf(line: Line) -> None:
        await line.confirm()
        line.connection.transport.pause_reading()
        await line.connection.wait_closed()

    async def pour(session: GeminiLiveSession, posted: Posted) -> None:
        del posted
        session.hear(bytes(8_000_000))  # more than sockets hold

    async def lose() -> None:
        assert await lost(deaf, use=pour) == SessionLost("gemini-3.8-live has taken nothing for 50 ms", permanent=False)

    run(lose)


def test_frames_that_mean_nothing_do_not_disturb() -> None:
    async def odd(line: Line) -> None:
        await line.confirm()
        await line.send("{", b"\xff", {"novelty": {}}, {"serverContent": {"novelty": 1}}, audio(b"\1\0"))
        await line.all_that_comes()

    async def talk() -> None:
        async with gemini_live_server(odd) as server:
            posted = Posted()
            session = await server.models().connect(WHO, posted)
            await posted.until(ModelReplyAudio)
            assert session.counts == {"malformed message": 2, "unknown novelty": 2}
            await session.close()

    run(talk)


# --- ending ----------------------------------------------------------------------------------------------------------


def test_nothing_is_posted_after_a_session_has_been_closed() -> None:
    async def talkative(line: Line) -> None:
        await line.confirm()
        await line.send(*[audio(b"\1\0")] * 500)
        await line.all_that_comes()

    async def talk() -> None:
        async with gemini_live_server(talkative) as server:
            posted = Posted()
            session = await server.models().connect(WHO, posted)
            await posted.until(ModelReplyAudio)
            session.cancel()
            before = len(posted.events)  # the event of that is due
            await session.close()
            await session.close()
            session.hear(speech(0, 20))
            assert len(posted.events) == before

    run(talk)


@pytest.mark.parametrize("unsent", [0, 8_000_000])
def test_a_server_that_does_not_say_goodbye_is_left_in_bounded_time(
    monkeypatch: pytest.MonkeyPatch, unsent: int
) -> None:
    monkeypatch.setattr(session_module, "CLOSE_DEADLINE_MS", 50)

    async def stubborn(line: Line) -> None:
        await line.confirm()
        line.connection.transport.pause_reading()
        await line.connection.wait_closed()

    async def talk() -> None:
        async with gemini_live_server(stubborn) as server:
            session = await server.models().connect(WHO, Posted())
            session.hear(bytes(unsent))
            await asyncio.sleep(0)
            async with asyncio.timeout(10):
                await session.close()

    run(talk)


def test_a_close_that_is_abandoned_leaves_nothing_behind() -> None:
    async def stubborn(line: Line) -> None:
        await line.confirm()
        line.connection.transport.pause_reading()
        await line.connection.wait_closed()

    async def talk() -> None:
        async with gemini_live_server(stubborn) as server:
            session = await server.models().connect(WHO, Posted())
            closing = asyncio.create_task(session.close())
            await asyncio.sleep(0)
            closing.cancel()
            await asyncio.wait((closing,))
            await session.close()

    run(talk)


def test_an_engine_that_is_closed_closes_its_sessions() -> None:
    async def talk() -> None:
        async with gemini_live_server(listen) as server:
            models = server.models()
            session = await models.connect(WHO, Posted())
            await models.connect(WHO, Posted())
            await session.close()
            await models.close()
            for line in server.lines:
                await line.connection.wait_closed()

    run(talk)
