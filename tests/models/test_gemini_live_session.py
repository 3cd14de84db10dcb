"""Gemini Live sessions over a real socket: connecting, swapping with the caller in full speech, losing, ending."""

from __future__ import annotations

import asyncio
import json
import logging
import struct
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest

from tests.models.gemini_live_server import (
    KEY,
    SETUP_COMPLETE,
    TURN_COMPLETE,
    WHAT,
    WHO,
    Line,
    Posted,
    Script,
    Server,
    audio,
    calls,
    done,
    gemini_live_server,
    go_away,
    heard,
    message,
    result,
    said,
)
from voiceagent.core.ids import Epoch
from voiceagent.errors import OperatorError
from voiceagent.models import exchange
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.gemini_live import LIVE_2, GeminiLiveModels
from voiceagent.models.gemini_live import engine as engine_module
from voiceagent.models.gemini_live import session as session_module
from voiceagent.models.gemini_live.session import GeminiLiveSession
from voiceagent.ports import (
    CallerTranscribed,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SessionEnding,
    SessionLost,
    SetupInForce,
    SpeechModelEngine,
    SpeechSession,
)

OLD_MODEL = "gemini-2.5-flash-native-audio-preview-12-2025"
SECOND = 32_000
"""Bytes of caller audio in a second."""


def run(test: Callable[[], Awaitable[None]]) -> None:
    async def timed() -> None:
        async with asyncio.timeout(20):
            await test()
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert left == set(), "a task was left behind"

    asyncio.run(timed())


def speech(start_ms: int, end_ms: int) -> bytes:
    """Caller audio whose every sample says where it stands."""
    return struct.pack(f"<{16 * (end_ms - start_ms)}H", *(n % 65_536 for n in range(16 * start_ms, 16 * end_ms)))


async def speak(session: SpeechSession, start_ms: int, end_ms: int) -> None:
    """Speak in frames of 20 ms, letting everybody else have their turn in between."""
    for at_ms in range(start_ms, end_ms, 20):
        session.hear(speech(at_ms, at_ms + 20))
        await asyncio.sleep(0)


async def listen(line: Line) -> None:
    await line.confirm()
    await line.all_that_comes()


# --- connecting ------------------------------------------------------------------------------------------------------


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
            failure = await failing(server, connect_ms=100)
            assert "not ready within 100 ms" in str(failure)
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


# --- a conversation --------------------------------------------------------------------------------------------------


def test_a_reply_is_posted_as_it_comes_in_text_or_binary_messages() -> None:
    async def script(line: Line) -> None:
        await line.confirm()
        await line.until("realtimeInput")
        await line.send(heard(" Hello"), json.dumps(said("Good day.")), audio(b"\1\0"), done(10, 2))
        await line.all_that_comes()

    async def talk() -> None:
        async with gemini_live_server(script) as server:
            posted = Posted()
            session = await server.models().connect(WHO, posted)
            session.hear(speech(0, 20))
            await posted.until(ModelReplyEnded)
            assert posted.events == [
                CallerTranscribed("Hello", final=False),
                CallerTranscribed("Hello", final=True),
                ModelReplyBegan("g1"),
                ModelReplyText("g1", "Good day."),
                ModelReplyAudio("g1", b"\1\0"),
                ModelReplyEnded("g1", "complete", "", 10, 2),
            ]
            session.truncate("g1", 100)
            await session.close()
            assert server.lines[0].kinds == ["setup", "audio"]

    run(talk)


def test_nothing_is_posted_while_the_voice_is_in_the_middle_of_a_call_of_its_own() -> None:
    async def script(line: Line) -> None:
        await line.confirm()
        await line.send(audio(b"\1\0"))
        await line.all_that_comes()

    async def talk() -> None:
        async with gemini_live_server(script) as server:
            posted = Posted()
            session = await server.models().connect(WHO, posted)
            await posted.until(ModelReplyAudio)
            session.cancel()
            assert not [event for event in posted.events if isinstance(event, ModelReplyEnded)]
            await posted.until(ModelReplyEnded("g1", "cancelled"))
            await session.close()

    run(talk)


def test_a_pause_of_the_audio_is_told_to_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session_module, "PAUSE_MS", 20)

    async def talk() -> None:
        paused = asyncio.Event()

        async def script(line: Line) -> None:
            await line.confirm()
            while "audioStreamEnd" not in line.kinds:
                await line.next()
            paused.set()
            await line.until_heard(2 * 640)
            await line.all_that_comes()

        async with gemini_live_server(script) as server:
            session = await server.models().connect(WHO, Posted())
            session.hear(speech(0, 20))
            await paused.wait()
            session.hear(speech(20, 40))
            await session.close()

    run(talk)


# --- swaps with the caller in full speech ----------------------------------------------------------------------------


def test_a_swap_in_place_loses_and_doubles_no_sample_of_three_seconds_of_speech() -> None:
    async def bank(line: Line) -> None:
        await line.confirm()
        await line.until_heard(SECOND)
        await line.send(calls(("c1", "verify_caller", {"pin": "1234"})))
        await line.until("contextUpdate")
        await line.until("toolResponse")
        await line.send(said("You have ten euros."), audio(b"\7\0"), done(90, 8))
        await line.all_that_comes()

    async def talk() -> None:
        async with gemini_live_server(bank) as server:
            posted = Posted()
            session = await server.models().connect(WHO, posted)
            speaking = asyncio.create_task(speak(session, 0, 3_000))
            wanted = await posted.until(ModelToolRequested)
            await posted.until(ModelReplyEnded)
            session.update(WHAT)
            await posted.until(SetupInForce(Epoch(2)))
            session.tell([result(wanted.request, '{"verified": true}')])
            session.ask()
            await posted.until(ModelReplyEnded, count=2)
            await speaking
            line = server.lines[0]
            await server.until(lambda: len(line.heard) >= 3 * SECOND)
            await session.close()

            assert bytes(line.heard) == speech(0, 3_000)
            kinds = [kind for kind in line.kinds if kind != "audio"]
            assert kinds == ["setup", "contextUpdate", "toolResponse"]
            (update,) = [frame["contextUpdate"] for frame in line.received if "contextUpdate" in frame]
            (tools,) = update["tools"]["tools"]
            assert [tool["name"] for tool in tools["functionDeclarations"]] == ["get_balance", "say_goodbye"]
            assert [type(event) for event in posted.events] == [
                ModelReplyBegan,
                ModelToolRequested,
                ModelReplyEnded,
                SetupInForce,
                ModelReplyBegan,
                ModelReplyText,
                ModelReplyAudio,
                ModelReplyEnded,
            ]

    run(talk)


@pytest.mark.parametrize("model", [OLD_MODEL, "gemini-3.1-flash-live-preview"])
def test_a_swap_to_a_new_session_loses_and_doubles_no_sample_of_three_seconds_of_speech(model: str) -> None:
    async def old(line: Line) -> None:
        await line.confirm()
        await line.until_heard(SECOND)
        await line.send(calls(("c1", "verify_caller", {"pin": "1234"})))
        await line.all_that_comes()

    async def new(line: Line) -> None:
        await line.confirm()
        await line.until("clientContent")
        assert line.heard == b""
        await line.until_heard(SECOND)
        await line.send(said("You have ten euros."), audio(b"\7\0"), TURN_COMPLETE)
        await line.all_that_comes()

    async def talk() -> None:
        async with gemini_live_server(old, new) as server:
            models = server.models(model)
            assert models.capabilities.swap == "new_session"
            in_old, in_new = Posted(), Posted()
            left = await models.connect(WHO, in_old)
            standby = await models.connect(WHAT, in_new)
            await speak(left, 0, 1_000)
            wanted = await in_old.until(ModelToolRequested)
            await speak(left, 1_000, 1_400)  # the tool runs; the old session still hears, and a ring buffer with it
            standby.tell(
                [
                    message("caller", "My pin is one two three four."),
                    message("tool_request", '{"pin": "1234"}', request=wanted.request, tool="verify_caller"),
                    result(wanted.request, "true"),
                ]
            )
            standby.hear(speech(500, 1_400))  # from where the caller began to speak
            await left.close()
            await speak(standby, 1_400, 3_500)
            await in_new.until(ModelReplyEnded)
            await server.until(lambda: len(server.lines[1].heard) >= 3 * SECOND)
            await standby.close()

            assert bytes(server.lines[1].heard) == speech(500, 3_500)
            assert server.lines[1].kinds == ["setup", "clientContent", "audio"]
            assert "toolResponse" not in server.lines[0].kinds  # it would speak under the old prompt
            history = next(frame["clientContent"] for frame in server.lines[1].received if "clientContent" in frame)
            assert '[Earlier, verify_caller({"pin": "1234"}) returned: true]' in history["turns"][0]["parts"][0]["text"]
            assert history["turnComplete"] is False

    run(talk)


def test_p9_what_is_said_right_after_connecting_is_sent() -> None:
    async def talk() -> None:
        async with gemini_live_server(listen) as server:
            session = await server.models().connect(WHO, Posted())
            session.tell([message("caller", "Hi.")])
            session.hear(speech(0, 20))
            session.ask()
            await server.until(lambda: server.lines[0].kinds == ["setup", "clientContent", "audio", "clientContent"])
            await session.close()

    run(talk)


def test_p10_a_session_after_a_lost_one_hears() -> None:
    async def drop(line: Line) -> None:
        await line.confirm()

    async def talk() -> None:
        async with gemini_live_server(drop, listen) as server:
            posted = Posted()
            first = await server.models().connect(WHO, posted)
            await posted.until(SessionLost)
            await first.close()
            second = await server.models().connect(WHO, Posted())
            second.hear(speech(0, 20))
            await server.until(lambda: bytes(server.lines[1].heard) == speech(0, 20))
            await second.close()

    run(talk)


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
            async with asyncio.timeout(1):
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


@pytest.fixture(autouse=True)
def nothing_goes_wrong_unseen(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    yield
    assert not [record for record in caplog.get_records("call") if record.levelno >= logging.ERROR]
