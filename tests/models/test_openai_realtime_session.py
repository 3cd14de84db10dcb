"""A session of OpenAI Realtime over a real socket: connecting, losing it, closing it, and nothing left behind."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from voiceagent.errors import OperatorError
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, azure_endpoint, openai_endpoint
from voiceagent.ports import (
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    SessionLost,
    SetupInForce,
    SpeechModelEvent,
    SpeechSession,
)

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import (
    audio,
    began,
    done,
    error,
    from_client,
    from_server,
    session_created,
    session_updated,
    setup,
)

KEY = "sk-very-secret"

Script = Callable[["Far"], Awaitable[None]]


@dataclass(slots=True)
class Far:
    """The provider's end of one session."""

    socket: ServerConnection
    heard: list[dict[str, Any]] = field(default_factory=list)

    async def next(self, kind: str) -> dict[str, Any]:
        """Read up to the next frame of this kind."""
        while True:
            frame = from_client(str(await self.socket.recv()))
            self.heard.append(frame)
            if frame["type"] == kind:
                return frame

    async def say(self, *frames: Any) -> None:
        for frame in frames:
            await self.socket.send(from_server(frame))

    async def set_up(self) -> None:
        await self.say(session_created())
        await self.next("session.update")
        await self.say(session_updated())

    async def stay(self) -> None:
        """Read until the client has gone."""
        async for message in self.socket:
            self.heard.append(from_client(str(message)))


@dataclass(slots=True)
class Provider:
    """A server that plays a script for every session."""

    url: str
    requests: list[Request] = field(default_factory=list)
    far: list[Far] = field(default_factory=list)
    met: asyncio.Event = field(default_factory=asyncio.Event)
    gone: asyncio.Event = field(default_factory=asyncio.Event)


@asynccontextmanager
async def provider(script: Script, *, answer: Callable[[], Response | None] | None = None) -> AsyncGenerator[Provider]:
    async def meet(socket: ServerConnection) -> None:
        far = Far(socket)
        here.far.append(far)
        here.met.set()
        try:
            await script(far)
        except ConnectionClosed:
            pass
        finally:
            here.gone.set()

    def admit(_: ServerConnection, request: Request) -> Response | None:
        here.requests.append(request)
        return answer() if answer is not None else None

    here = Provider("")
    async with serve(meet, "127.0.0.1", 0, process_request=admit, compression=None) as server:
        port = server.sockets[0].getsockname()[1]
        here.url = f"ws://127.0.0.1:{port}/v1"
        yield here


class Posted:
    """What a session has posted, to be waited for."""

    def __init__(self) -> None:
        self.events: list[SpeechModelEvent] = []
        self._more = asyncio.Event()

    def __call__(self, event: SpeechModelEvent) -> None:
        self.events.append(event)
        self._more.set()

    async def until(self, kind: type[SpeechModelEvent], *, times: int = 1) -> SpeechModelEvent:
        while len(seen := [event for event in self.events if isinstance(event, kind)]) < times:
            self._more.clear()
            await self._more.wait()
        return seen[-1]


@asynccontextmanager
async def session(script: Script) -> AsyncGenerator[tuple[SpeechSession, Posted, Provider]]:
    posted = Posted()
    async with provider(script) as here:
        models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key=KEY, base_url=here.url))
        live = await models.connect(setup(), posted)
        try:
            yield live, posted, here
        finally:
            await live.close()


async def until_set_up(far: Far) -> None:
    await far.set_up()
    await far.stay()


def nothing_left() -> bool:
    return all(task is asyncio.current_task() for task in asyncio.all_tasks())


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


# --- a conversation --------------------------------------------------------------------------------------------------


def test_what_is_queued_goes_out_in_order_and_what_comes_is_posted_in_order():
    async def script(far: Far) -> None:
        await far.set_up()
        await far.next("session.update")
        await far.say(session_updated())
        await far.next("response.create")
        await far.say(began("resp_1"), audio("resp_1", b"hello"), done("resp_1"))
        await far.stay()

    async def run() -> None:
        async with session(script) as (live, posted, here):
            live.hear(b"one")
            live.update(setup(epoch=2))
            await posted.until(SetupInForce)
            live.hear(b"two")
            live.ask()
            await posted.until(ModelReplyEnded)
            kinds = [frame["type"] for frame in here.far[0].heard[1:]]
        assert kinds == [
            "input_audio_buffer.append",
            "session.update",
            "input_audio_buffer.append",
            "response.create",
        ]
        assert [type(event) for event in posted.events] == [
            SetupInForce,
            ModelReplyBegan,
            ModelReplyAudio,
            ModelReplyEnded,
        ]

    asyncio.run(run())


def test_r3_no_caller_audio_is_lost_or_doubled_through_a_swap():
    said = b"".join(number.to_bytes(2, "big") for number in range(12_000))  # 3 s of samples that are all different
    pieces = [said[start : start + 160] for start in range(0, len(said), 160)]

    async def script(far: Far) -> None:
        await far.set_up()
        await far.next("session.update")
        await far.say(session_updated())
        await far.next("response.create")
        await far.say(began("resp_1"))
        await far.stay()

    async def run() -> list[dict[str, Any]]:
        async with session(script) as (live, posted, here):
            for place, piece in enumerate(pieces):
                live.hear(piece)
                if place == 60:
                    live.update(setup(epoch=2))
                if place == 90:
                    await posted.until(SetupInForce)
            live.ask()
            await posted.until(ModelReplyBegan)
            return here.far[0].heard

    heard = [frame["audio"] for frame in asyncio.run(run()) if frame["type"] == "input_audio_buffer.append"]
    assert b"".join(b64decode(piece) for piece in heard) == said


def test_p3_an_ask_that_is_refused_for_nothing_known_is_repeated_by_itself():
    async def script(far: Far) -> None:
        await far.set_up()
        ask = await far.next("response.create")
        await far.say(error("conversation_already_has_active_response", about=ask["event_id"]))
        await far.next("response.create")
        await far.say(began("resp_1"), done("resp_1"))
        await far.stay()

    async def run() -> None:
        async with session(script) as (live, posted, _):
            live.ask()
            await posted.until(ModelReplyEnded)

    asyncio.run(run())


# --- the end ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("code", "reason", "lost"),
    [
        (1000, "", SessionLost("gpt-realtime-2 closed the session (1000)", permanent=False)),
        (1001, "the caller said hello", SessionLost("gpt-realtime-2 closed the session (1001)", permanent=False)),
        (1011, "keepalive", SessionLost("gpt-realtime-2 closed the session (1011)", permanent=False)),
        (
            4000,
            "invalid_request_error.beta_api_shape_disabled",
            SessionLost("gpt-realtime-2 closed the session (4000 beta_api_shape_disabled)", permanent=True),
        ),
        (
            4000,
            "invalid_request_error.session_expired",
            SessionLost("gpt-realtime-2 closed the session (4000 session_expired)", permanent=False),
        ),
    ],
)
def test_a_session_that_the_provider_closes_is_lost_in_our_own_words(code: int, reason: str, lost: SessionLost):
    async def script(far: Far) -> None:
        await far.set_up()
        await far.socket.close(code, reason)

    async def run() -> None:
        async with session(script) as (live, posted, _):
            assert await posted.until(SessionLost) == lost
            live.hear(b"nobody there")
            live.ask()
        assert posted.events == [lost]
        assert nothing_left()

    asyncio.run(run())


@pytest.mark.parametrize(
    ("call", "late"),
    [
        (lambda live: live.update(setup(epoch=2)), "the new setup"),
        (lambda live: live.ask(), "the beginning of a reply"),
        (lambda live: live.cancel(), "the end of a reply"),
    ],
)
def test_an_answer_that_does_not_come_loses_the_session(call: Callable[[SpeechSession], None], late: str):
    async def script(far: Far) -> None:
        await far.set_up()
        await far.say(began("resp_1"))
        if late != "the end of a reply":
            await far.say(done("resp_1"))
        await far.stay()

    async def run() -> None:
        async with provider(script) as here:
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=here.url), answer_ms=200)
            posted = Posted()
            live = await models.connect(setup(), posted)
            await posted.until(ModelReplyBegan)
            if late != "the end of a reply":
                await posted.until(ModelReplyEnded)
            call(live)
            lost = await posted.until(SessionLost)
            await live.close()
            assert lost == SessionLost(f"m did not confirm {late} within 200 ms", permanent=False)

    asyncio.run(run())


def test_an_answer_in_time_is_all_that_is_asked():
    async def script(far: Far) -> None:
        await far.set_up()
        await far.next("session.update")
        await far.say(session_updated())
        await far.stay()

    async def run() -> None:
        async with provider(script) as here:
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=here.url), answer_ms=200)
            posted = Posted()
            live = await models.connect(setup(), posted)
            live.update(setup(epoch=2))
            await posted.until(SetupInForce)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.4):
                    await posted.until(SessionLost)
            await live.close()

    asyncio.run(run())


def test_a_connection_that_drops_is_lost_without_a_word():
    async def script(far: Far) -> None:
        await far.set_up()
        far.socket.transport.abort()

    async def run() -> None:
        async with session(script) as (_, posted, _):
            lost = await posted.until(SessionLost)
        assert lost == SessionLost("gpt-realtime-2 is gone without a word", permanent=False)

    asyncio.run(run())


def test_an_update_that_is_refused_loses_the_session_and_closes_its_socket():
    async def script(far: Far) -> None:
        await far.set_up()
        update = await far.next("session.update")
        await far.say(error("invalid_value", about=update["event_id"]))
        await far.stay()

    async def run() -> None:
        async with session(script) as (live, posted, here):
            live.update(setup(epoch=2))
            lost = await posted.until(SessionLost)
            await here.gone.wait()
        assert lost == SessionLost("gpt-realtime-2 refused the new setup (invalid_value)", permanent=True)

    asyncio.run(run())


async def deaf(far: Far) -> None:
    await far.set_up()
    far.socket.transport.pause_reading()
    await far.socket.wait_closed()


def test_a_far_side_that_takes_nothing_is_lost_before_memory_is():
    async def run() -> None:
        async with session(deaf) as (live, posted, here):
            for _ in range(1_100):
                live.hear(bytes(960))
            assert posted.events == []
            await posted.until(SessionLost)
            assert posted.events == [SessionLost("gpt-realtime-2 takes less than it is sent", permanent=False)]
            here.far[0].socket.transport.abort()

    asyncio.run(run())


def test_nothing_is_posted_after_close_and_closing_twice_is_closing():
    async def script(far: Far) -> None:
        await far.set_up()
        await far.next("response.create")
        await far.say(began("resp_1"), audio("resp_1", b"hello"))
        await far.stay()

    async def run() -> None:
        async with session(script) as (live, posted, here):
            live.ask()
            await asyncio.gather(live.close(), live.close())
            await here.gone.wait()
            live.ask()
            live.cancel()
            await live.close()
        assert posted.events == []
        assert nothing_left()

    asyncio.run(run())


def test_closing_takes_a_second_at_most_whatever_the_far_side_does():
    async def run() -> float:
        async with provider(deaf) as here:
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=here.url))
            live = await models.connect(setup(), Posted())
            loop = asyncio.get_running_loop()
            began_at = loop.time()
            await live.close()
            took = loop.time() - began_at
            here.far[0].socket.transport.abort()
            return took

    assert asyncio.run(run()) < 1.5


def test_an_event_that_the_call_cannot_take_ends_the_session_and_is_not_silent(caplog: pytest.LogCaptureFixture):
    async def script(far: Far) -> None:
        await far.set_up()
        await far.say(began("resp_1"))
        await far.stay()

    posted: list[SpeechModelEvent] = []

    def broken(event: SpeechModelEvent) -> None:
        posted.append(event)
        if isinstance(event, ModelReplyBegan):
            raise KeyError(event)

    async def run() -> None:
        async with provider(script) as here:
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=here.url))
            live = await models.connect(setup(), broken)
            await here.gone.wait()
            await live.close()

    asyncio.run(run())
    assert posted[-1] == SessionLost("m said what could not be taken", permanent=False)
    assert "an event could not be taken (KeyError)" in caplog.text


def test_no_log_line_holds_the_key_or_what_is_said(caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.DEBUG)

    async def script(far: Far) -> None:
        await far.set_up()
        await far.say(error("some_code"))
        await far.socket.send(json.dumps({"type": "some.new_kind", "text": "my secret words"}))
        await far.say(began("resp_1"), done("resp_1"))
        await far.stay()

    async def run() -> None:
        async with session(script) as (_, posted, _):
            await posted.until(ModelReplyEnded)

    asyncio.run(run())
    ours = "\n".join(record.getMessage() for record in caplog.records if record.name.startswith("voiceagent"))
    assert "some.new_kind" in ours
    assert "some_code" in ours
    assert KEY not in ours
    assert "secret words" not in ours
    assert "Something the caller said" not in ours
    assert "You work for a bank" not in ours
