"""Gemini Live over a real socket: what is connected, what is refused and why, and that nothing is left behind."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from tests.models.gemini_live_server import (
    KEY,
    SETUP_COMPLETE,
    WHO,
    Line,
    Posted,
    Server,
    gemini_live_server,
    listen,
    run,
    speech,
)
from voiceagent.errors import OperatorError
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.gemini_live import LIVE_2, GeminiLiveModels
from voiceagent.models.gemini_live import engine as engine_module
from voiceagent.models.gemini_live.session import GeminiLiveSession
from voiceagent.ports import SpeechModelEngine, SpeechSession

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong_unseen")


def test_a_session_is_handed_out_once_its_setup_has_been_confirmed() -> None:
    async def connect() -> None:
        ready = asyncio.Event()

        async def slow(line: Line) -> None:
            await line.until("setup")
            await ready.wait()
            await line.send(SETUP_COMPLETE)
            await line.all_that_comes()

        async with gemini_live_server(slow) as server:
            models: SpeechModelEngine = server.models()
            connecting = asyncio.create_task(models.connect(WHO, Posted()))
            await server.until(lambda: bool(server.lines and server.lines[0].received))
            assert not connecting.done()
            ready.set()
            session: SpeechSession = await connecting
            assert isinstance(session, GeminiLiveSession)
            assert server.lines[0].setup["systemInstruction"]["parts"] == [{"text": "Ask who is calling."}]
            await session.close()

    run(connect)


def test_the_key_is_in_a_header_and_neither_in_the_url_nor_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    async def connect() -> None:
        async with gemini_live_server(listen) as server:
            session = await server.models().connect(WHO, Posted())
            session.hear(speech(0, 20))
            await session.close()
            assert server.lines[0].key == KEY
            assert KEY not in server.lines[0].path

    with caplog.at_level(logging.DEBUG):
        run(connect)
    assert not [record for record in caplog.records if KEY in record.getMessage() and "server" not in record.name]


def test_a_model_without_a_key_is_refused_at_the_start() -> None:
    with pytest.raises(OperatorError, match="needs a key"):
        GeminiLiveModels("gemini-3.8-live", api_key="")


def test_an_option_decides_against_a_models_name() -> None:
    assert GeminiLiveModels("gemini-3.8-live", api_key=KEY).capabilities.swap == "in_place"
    assert GeminiLiveModels("gemini-3.8-live", api_key=KEY, generation=LIVE_2).capabilities.swap == "new_session"


def test_p11_pongs_may_take_their_time() -> None:
    assert engine_module._PONG_DEADLINE_S >= 2 * 30


async def failing(server: Server, **options: Any) -> ModelUnavailable:
    with pytest.raises(ModelUnavailable) as caught:
        await server.models(**options).connect(WHO, Posted())
    assert KEY not in str(caught.value)
    return caught.value


@pytest.mark.parametrize(
    ("status", "headers", "permanent", "retry_after_ms"),
    [
        (400, {}, True, None),
        (401, {}, True, None),
        (403, {}, True, None),
        (404, {}, True, None),
        (429, {"Retry-After": "7"}, False, 7_000),
        (429, {"Retry-After": "tomorrow"}, False, None),
        (500, {}, False, 0),
        (503, {"Retry-After": "2"}, False, 2_000),
    ],
)
def test_a_handshake_that_is_refused_says_whether_to_try_again(
    status: int, headers: dict[str, str], permanent: bool, retry_after_ms: int | None
) -> None:
    async def connect() -> None:
        async with gemini_live_server(listen, status=(status, headers)) as server:
            failure = await failing(server)
            assert str(failure) == f"gemini-3.8-live answered HTTP {status}"
            assert (failure.permanent, failure.retry_after_ms) == (permanent, retry_after_ms)

    run(connect)


@pytest.mark.parametrize(
    ("code", "words", "told", "permanent"),
    [
        (1007, f"API key not valid: {KEY}", "refused what it was sent (1007): the key or the model's name", True),
        (1007, "Request contains an invalid argument.", "refused what it was sent (1007)", True),
        (1008, "models/x is not found for API version v1beta", "refused to go on (1008): the key or the model", True),
        (1011, "You exceeded your current quota", "broke off (1011): too much was asked of it", False),
        (1011, "Your prepayment credits are depleted: billing", "broke off (1011): no money is left", True),
        (1011, "Internal error encountered.", "broke off (1011)", False),
        (1013, "", "is overloaded (1013)", False),
        (4000, "", "closed the connection (4000)", False),
    ],
)
def test_a_setup_that_is_refused_says_why_in_our_words(code: int, words: str, told: str, permanent: bool) -> None:
    async def refuse(line: Line) -> None:
        await line.until("setup")
        await line.connection.close(code, words)

    async def connect() -> None:
        async with gemini_live_server(refuse) as server:
            failure = await failing(server)
            assert str(failure).startswith(f"gemini-3.8-live {told}")
            assert failure.permanent is permanent

    run(connect)


def test_a_server_that_confirms_nothing_is_given_up() -> None:
    async def connect() -> None:
        closed = asyncio.Event()

        async def mute(line: Line) -> None:
            await line.all_that_comes()
            closed.set()

        async with gemini_live_server(mute) as server:
            failure = await failing(server, connect_ms=1_000)
            assert "not ready within 1000 ms" in str(failure)
            await closed.wait()

    run(connect)


def test_nobody_at_the_other_end_is_worth_another_try_at_once() -> None:
    async def connect() -> None:
        async with gemini_live_server(listen) as server:
            url = server.url
        with pytest.raises(ModelUnavailable, match=r"connection .* failed") as caught:
            await GeminiLiveModels("gemini-3.8-live", api_key=KEY, url=url).connect(WHO, Posted())
        assert caught.value.retry_after_ms == 0

    run(connect)


def test_a_connection_that_is_abandoned_is_closed() -> None:
    async def connect() -> None:
        closed = asyncio.Event()

        async def mute(line: Line) -> None:
            await line.all_that_comes()
            closed.set()

        async with gemini_live_server(mute) as server:
            connecting = asyncio.create_task(server.models().connect(WHO, Posted()))
            await server.until(lambda: bool(server.lines and server.lines[0].received))
            connecting.cancel()
            await asyncio.wait((connecting,))
            assert connecting.cancelled()
            await closed.wait()

    run(connect)
