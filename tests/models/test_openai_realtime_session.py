"""OpenAI Realtime sessions over a real socket: a conversation, and how it ends."""

from __future__ import annotations

import asyncio
import json
import logging
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
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

from tests.models.realtime_frames import audio, began, done, error, session_updated, setup
from tests.models.realtime_server import KEY, Far, Posted, nothing_left, provider, session

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
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=here.url), answer_ms=1_000)
            posted = Posted()
            live = await models.connect(setup(), posted)
            await posted.until(ModelReplyBegan)
            if late != "the end of a reply":
                await posted.until(ModelReplyEnded)
            call(live)
            lost = await posted.until(SessionLost)
            await live.close()
            assert lost == SessionLost(f"m did not confirm {late} within 1000 ms", permanent=False)

    asyncio.run(run())


def test_an_answer_in_time_is_all_that_is_asked():
    async def script(far: Far) -> None:
        await far.set_up()
        await far.next("session.update")
        await far.say(session_updated())
        await far.stay()

    async def run() -> None:
        async with provider(script) as here:
            models = OpenAIRealtimeModels(openai_endpoint("m", api_key=KEY, base_url=here.url), answer_ms=1_000)
            posted = Posted()
            live = await models.connect(setup(), posted)
            live.update(setup(epoch=2))
            await posted.until(SetupInForce)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(1.5):
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
