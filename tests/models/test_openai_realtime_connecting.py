"""OpenAI Realtime over a real socket: where a session is connected, what is refused and why, and nothing is left."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus

import pytest
from websockets.datastructures import Headers
from websockets.http11 import Response

from voiceagent.errors import OperatorError
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, azure_endpoint, openai_endpoint

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import error, session_created, setup
from tests.models.realtime_server import KEY, Far, Posted, nothing_left, provider, session, until_set_up

# --- where -----------------------------------------------------------------------------------------------------------


def test_openais_address_and_key():
    endpoint = openai_endpoint("gpt-realtime-2", api_key=KEY)

    assert endpoint.url == "wss://api.openai.com/v1/realtime?model=gpt-realtime-2"
    assert endpoint.headers == {"Authorization": f"Bearer {KEY}"}
    assert KEY not in repr(endpoint)


def test_azures_address_and_key():
    endpoint = azure_endpoint("https://bank.openai.azure.com/", deployment="our voice", api_key=KEY)

    assert endpoint.url == "wss://bank.openai.azure.com/openai/v1/realtime?model=our%20voice"
    assert endpoint.headers == {"api-key": KEY}
    assert OpenAIRealtimeModels(endpoint).capabilities.name == "azure_realtime"


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: openai_endpoint("gpt-realtime-2", api_key=None),
        lambda: openai_endpoint("gpt-realtime-2", api_key=KEY, base_url="api.openai.com"),
        lambda: azure_endpoint("https://bank.openai.azure.com", deployment="voice", api_key=""),
        lambda: azure_endpoint("https://bank.openai.azure.com/?key=1", deployment="voice", api_key=KEY),
    ],
)
def test_a_missing_key_or_a_wrong_address_is_refused_at_the_start(wrong: Callable[[], object]):
    with pytest.raises(OperatorError):
        wrong()


# --- connecting ------------------------------------------------------------------------------------------------------


def test_a_session_is_connected_when_its_setup_is_in_force():
    async def run() -> None:
        async with session(until_set_up) as (_, posted, here):
            assert here.requests[0].path == "/v1/realtime?model=gpt-realtime-2"
            assert here.requests[0].headers["Authorization"] == f"Bearer {KEY}"
            assert here.far[0].heard[0]["session"]["instructions"] == "You work for a bank."
            assert posted.events == []
        assert nothing_left()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("status", "headers", "body", "permanent", "retry_after_ms"),
    [
        (401, {}, b"", True, None),
        (404, {}, b"", True, None),
        (429, {"retry-after": "2"}, b"", False, 2_000),
        (429, {}, b'{"error": {"code": "insufficient_quota"}}', True, None),
        (503, {}, b"", False, 0),
    ],
)
def test_a_refusal_says_whether_and_when_to_try_again(
    status: int, headers: dict[str, str], body: bytes, permanent: bool, retry_after_ms: int | None
):
    def refuse() -> Response:
        whole = Headers({**headers, "content-length": str(len(body)), "connection": "close"})
        return Response(status, HTTPStatus(status).phrase, whole, body)

    async def run() -> None:
        async with provider(until_set_up, answer=refuse) as here:
            models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=here.url))
            with pytest.raises(ModelUnavailable) as failure:
                await models.connect(setup(), Posted())
        assert str(failure.value) == f"gpt-realtime-2 answered HTTP {status}"
        assert (failure.value.permanent, failure.value.retry_after_ms) == (permanent, retry_after_ms)

    asyncio.run(run())


def test_a_key_is_taken_nowhere_else():
    async def run() -> None:
        async with provider(until_set_up) as elsewhere:

            def send_away() -> Response:
                return Response(307, "Temporary Redirect", Headers({"location": elsewhere.url, "content-length": "0"}))

            async with provider(until_set_up, answer=send_away) as here:
                models = OpenAIRealtimeModels(
                    azure_endpoint(here.url.removesuffix("/v1"), deployment="voice", api_key=KEY)
                )
                with pytest.raises(ModelUnavailable):
                    await models.connect(setup(), Posted())
            assert here.requests[0].headers["api-key"] == KEY
            assert elsewhere.requests == []

    asyncio.run(run())


def test_nobody_at_the_address_is_a_failure_that_may_pass():
    async def run() -> None:
        async with provider(until_set_up) as here:
            url = here.url
        models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=url))
        with pytest.raises(ModelUnavailable, match="connection to gpt-realtime-2 failed") as failure:
            await models.connect(setup(), Posted())
        assert failure.value.retry_after_ms == 0

    asyncio.run(run())


def test_a_setup_that_is_refused_says_why_and_leaves_no_connection():
    async def refuse(far: Far) -> None:
        await far.say(session_created())
        update = await far.next("session.update")
        await far.say(error("invalid_value", about=update["event_id"], param="session.audio.output.voice"))
        await far.stay()

    async def run() -> None:
        async with provider(refuse) as here:
            models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=here.url))
            with pytest.raises(ModelUnavailable, match=r"refused the session \(invalid_value\)") as failure:
                await models.connect(setup(), Posted())
            assert failure.value.permanent
            await here.gone.wait()

    asyncio.run(run())


def test_a_key_that_is_refused_after_the_handshake_is_permanent():
    async def refuse(far: Far) -> None:
        await far.socket.close(3000, "invalid_request_error.invalid_api_key")

    async def run() -> None:
        async with provider(refuse) as here:
            models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=here.url))
            with pytest.raises(ModelUnavailable, match=r"closed the session \(3000 invalid_api_key\)") as failure:
                await models.connect(setup(), Posted())
            assert failure.value.permanent

    asyncio.run(run())


def test_a_refusal_is_heard_though_the_socket_is_closed_right_after_it():
    async def refuse(far: Far) -> None:
        await far.say(error(None, kind="session_limit_reached"))
        await far.socket.close(1008, "All session slots are in use")

    async def run() -> None:
        async with provider(refuse) as here:
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=here.url))
            with pytest.raises(ModelUnavailable, match=r"refused the session \(session_limit_reached\)") as failure:
                await models.connect(setup(), Posted())
            assert not failure.value.permanent

    asyncio.run(run())


def test_a_setup_that_is_never_confirmed_is_given_up_in_time():
    async def run() -> None:
        async with provider(Far.stay) as here:
            models = OpenAIRealtimeModels(
                openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=here.url), answer_ms=50
            )
            with pytest.raises(ModelUnavailable, match="did not confirm the setup within 50 ms"):
                await models.connect(setup(), Posted())
            await here.gone.wait()

    asyncio.run(run())


def test_a_server_that_does_not_answer_the_handshake_is_given_up_in_time():
    async def run() -> None:
        gone = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read(-1)
            writer.close()
            gone.set()

        async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
            url = f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=url), connect_ms=50)
            with pytest.raises(ModelUnavailable, match="could not be reached within 50 ms"):
                await models.connect(setup(), Posted())
            await gone.wait()

    asyncio.run(run())


def test_abandoning_a_connect_leaves_no_connection():
    async def run() -> None:
        async with provider(Far.stay) as here:
            models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=here.url))
            connecting = asyncio.create_task(models.connect(setup(), Posted()))
            await here.met.wait()
            connecting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await connecting
            await here.gone.wait()

    asyncio.run(run())
