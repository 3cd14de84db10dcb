"""Gemini Live sessions over a real socket: a conversation, and swaps with the caller in full speech."""

from __future__ import annotations

import asyncio
import json

import pytest

from tests.models.gemini_live_server import (
    OLD_MODEL,
    SECOND,
    TURN_COMPLETE,
    WHAT,
    WHO,
    Line,
    Posted,
    audio,
    calls,
    done,
    gemini_live_server,
    heard,
    listen,
    message,
    result,
    run,
    said,
    speak,
    speech,
)
from voiceagent.core.ids import Epoch
from voiceagent.models.gemini_live import session as session_module
from voiceagent.ports import (
    CallerTranscribed,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SessionLost,
    SetupInForce,
)

pytestmark = pytest.mark.usefixtures("nothing_goes_wrong_unseen")


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
