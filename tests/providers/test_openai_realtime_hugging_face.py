"""Our Realtime client against the protocol layer of Hugging Face's `speech-to-speech`, which is not ours."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from base64 import b64decode
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import (
    AudioFormat,
    CallerTranscribed,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SessionLost,
    SetupInForce,
    SpeechModelEvent,
    SpeechSession,
)

pytest.importorskip("speech_to_speech", reason="needs speech-to-speech (make test-providers, Python >= 3.12)")
pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import GET_BALANCE, setup
from tests.providers.watched import Posted, Watched, program, watched
from voiceagent.models.openai_realtime.protocol import CANCELLED, NO_RESULT_YET

pytestmark = pytest.mark.providers

PCM_24K = AudioFormat("pcm16", 24_000)
QUESTION = "What is my balance?"
BALANCE_TOOL = {"type": "function", "name": GET_BALANCE.name, "parameters": GET_BALANCE.parameters}
SECOND = PCM_24K.bytes_per_ms * 1_000
SPEECH = b"\x10\x10" * (SECOND // 4)
SPOKEN_MS = 500
SILENCE = bytes(SECOND)
FIRST = setup(prompt="Phase one.", audio=PCM_24K)
SECOND_PHASE = setup(epoch=2, prompt="Phase two.", tools=(), audio=PCM_24K)


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The port of the server."""
    with program(sys.executable, str(Path(__file__).with_name("hugging_face_server.py"))) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert re.fullmatch(r"\d+\n", said), said + process.stdout.read()
        yield said.strip()


@asynccontextmanager
async def session(server: str) -> AsyncGenerator[tuple[SpeechSession, Posted, Watched]]:
    posted = Posted()
    async with watched(f"ws://127.0.0.1:{server}") as wire:
        models = OpenAIRealtimeModels(openai_endpoint("any", api_key=None, base_url=wire.url))
        live = await connected(models, posted)
        yield live, posted, wire
        await live.close()
        assert wire.irregular == set()
        assert not any(isinstance(event, SessionLost) for event in posted.events)


async def connected(models: OpenAIRealtimeModels, posted: Posted) -> SpeechSession:
    """Connect as soon as the server has let go of sessions that are over."""
    while True:
        with suppress(ModelUnavailable):
            return await models.connect(FIRST, posted)


def said(events: list[SpeechModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ModelReplyText))


def errors(wire: Watched) -> set[str]:
    """Return what the server has refused, but for sessions while it was full."""
    return {frame["error"]["type"] for _, frame in wire.frames if frame["type"] == "error"} - {"session_limit_reached"}


def result(request: str, text: str) -> Message:
    return Message(9, "tool_result", text, Epoch(2), request=request, tool="get_balance")


def test_a_caller_is_heard_a_tool_asked_for_and_the_answer_spoken_after_a_swap_in_place(server: str):
    async def run() -> tuple[list[SpeechModelEvent], Watched]:
        async with session(server) as (live, posted, wire):
            live.hear(SPEECH + SILENCE)
            requested = await posted.until(ModelToolRequested)
            await posted.until(ModelReplyEnded)
            live.update(SECOND_PHASE)
            await posted.until(SetupInForce)
            live.tell([result(requested.request, '{"balance": 12}')])
            live.ask()
            await posted.until(ModelReplyEnded, times=2)
        return posted.events, wire

    events, wire = asyncio.run(run())

    transcribed = [event for event in events if isinstance(event, CallerTranscribed)][-1]
    assert (transcribed.text, transcribed.final) == (QUESTION, True)
    assert transcribed.heard_ms is not None
    began_ms, ended_ms = transcribed.heard_ms
    assert began_ms < SPOKEN_MS <= ended_ms < SPOKEN_MS + 1_000
    [requested] = [event for event in events if isinstance(event, ModelToolRequested)]
    assert (requested.name, requested.arguments) == ("get_balance", '{"account":"7"}')
    # The reply was made under the new prompt, and knows the result.
    assert said(events) == 'Phase two. {"balance": 12}'
    spoken = b"".join(event.audio for event in events if isinstance(event, ModelReplyAudio))
    assert len(spoken) == 30 * 512 * 2 * 24_000 // 16_000
    ended = [event for event in events if isinstance(event, ModelReplyEnded)]
    assert [(event.outcome, event.input_tokens, event.output_tokens) for event in ended] == [("complete", 50, 5)] * 2
    assert len(wire.swaps_ms) == 2
    print("session.update to session.updated:", [f"{swap:.1f} ms" for swap in wire.swaps_ms])  # noqa: T201 - for -s


def test_p2_the_server_refuses_to_reply_while_a_request_is_open(server: str):
    """The control: without our answers the next test would fail."""
    unanswered = [
        {"type": "session.update", "session": {"type": "realtime", "instructions": "P", "tools": [BALANCE_TOOL]}},
        {
            "type": "conversation.item.create",
            "item": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": QUESTION}]},
        },
        {"type": "response.create"},
    ]

    async def run() -> str:
        while True:  # the server may not have let go of the session before
            with suppress(ConnectionClosed):
                async with connect(f"ws://127.0.0.1:{server}/v1/realtime", proxy=None) as socket:
                    for frame in unanswered:
                        await socket.send(json.dumps(frame))
                    while json.loads(await socket.recv())["type"] != "response.done":
                        pass
                    await socket.send('{"type": "response.create"}')
                    return json.loads(await socket.recv())["error"]["type"]

    assert asyncio.run(run()) == "function_call_output_pending"


def test_p2_no_request_of_ours_is_open_when_a_reply_is_asked_for(server: str):
    async def run() -> Watched:
        async with session(server) as (live, posted, wire):
            live.tell([Message(1, "caller", QUESTION, Epoch(1))])
            live.ask()
            await posted.until(ModelToolRequested)
            await posted.until(ModelReplyEnded)
            live.ask()
            await posted.until(ModelReplyEnded, times=2)
            live.tell([result("call_of_another_session", "late")])
            live.ask()
            await posted.until(ModelReplyEnded, times=3)
            assert f"Phase one. {NO_RESULT_YET}" in said(posted.events)
        return wire

    assert not errors(asyncio.run(run()))


def test_p3_asks_in_a_row_become_replies_in_a_row(server: str):
    async def run() -> Watched:
        async with session(server) as (live, posted, wire):
            for number in range(3):
                live.tell([Message(number, "note", f"Note {number}.", Epoch(1))])
                live.tell([Message(number, "caller", f"Question {number}?", Epoch(1))])
                live.ask()
            await posted.until(ModelReplyEnded, times=2)
            assert "Question 2?" in said(posted.events)
        return wire

    wire = asyncio.run(run())
    assert not errors(wire)
    assert wire.kinds("sent").count("response.create") == 2


def test_a_reply_is_broken_off_and_cut_and_the_next_one_is_whole(server: str):
    async def run() -> list[SpeechModelEvent]:
        async with session(server) as (live, posted, _):
            live.tell([Message(1, "caller", "Tell me a story.", Epoch(1))])
            live.ask()
            audio = await posted.until(ModelReplyAudio)
            live.cancel()
            live.truncate(audio.reply, 20)
            await posted.until(ModelReplyEnded)
            live.tell([Message(2, "caller", "Go on.", Epoch(1))])
            live.ask()
            await posted.until(ModelReplyEnded, times=2)
        return posted.events

    events = asyncio.run(run())

    ended = [event for event in events if isinstance(event, ModelReplyEnded)]
    assert [event.outcome for event in ended] == ["cancelled", "complete"]
    whole = sum(
        len(event.audio) for event in events if isinstance(event, ModelReplyAudio) and event.reply == ended[1].reply
    )
    assert whole == 30 * 512 * 2 * 24_000 // 16_000


def test_a_reply_cancelled_before_it_begins_is_never_heard(server: str):
    async def run() -> list[SpeechModelEvent]:
        async with session(server) as (live, posted, _):
            live.tell([Message(1, "caller", "Hello?", Epoch(1))])
            live.ask()
            live.cancel()
            await posted.until(ModelReplyEnded)
        return posted.events

    assert [type(event) for event in asyncio.run(run())] == [ModelReplyBegan, ModelReplyEnded]


def test_p2_a_request_of_a_cancelled_reply_does_not_keep_the_next_from_being_made(server: str):
    async def run() -> Watched:
        async with session(server) as (live, posted, wire):
            live.tell([Message(1, "caller", QUESTION, Epoch(1))])
            live.ask()
            await posted.until(ModelReplyBegan)
            live.cancel()
            await posted.until(ModelReplyEnded)
            live.tell([Message(2, "caller", "Are you there?", Epoch(1))])
            live.ask()
            await posted.until(ModelReplyEnded, times=2)
            assert "Are you there?" in said(posted.events)
        return wire

    wire = asyncio.run(run())
    # Where the request has gone with its reply, the answer to it is refused; nothing else is.
    assert errors(wire) <= {"invalid_conversation_item"}
    assert {
        frame["item"]["output"]
        for way, frame in wire.frames
        if way == "sent" and frame.get("item", {}).get("type") == "function_call_output"
    } <= {CANCELLED, NO_RESULT_YET}


def test_r3_a_swap_with_three_seconds_of_speech_in_flight_loses_and_doubles_no_sample(server: str):
    # Every sample says its own place, so that one lost, doubled or moved is seen.
    spoken = b"".join((number % 60_000 + 1).to_bytes(2, "little") for number in range(3 * 24_000))
    pieces = [spoken[start : start + 960] for start in range(0, len(spoken), 960)]  # 20 ms each

    async def run() -> tuple[bytes, list[SpeechModelEvent], Watched]:
        async with httpx.AsyncClient() as asking, session(server) as (live, posted, wire):
            url = f"http://127.0.0.1:{server}/heard"
            before = len((await asking.get(url)).content)
            for place, piece in enumerate(pieces):
                live.hear(piece)
                if place == 50:
                    live.update(SECOND_PHASE)
                if place == 100:
                    await posted.until(SetupInForce)
            live.hear(SILENCE)
            await posted.until(ModelReplyEnded)
            return (await asking.get(url)).content[before:], posted.events, wire

    heard, events, wire = asyncio.run(run())

    assert heard == spoken + SILENCE
    assert said(events) == f"Phase two. {QUESTION}"
    appended = [frame["audio"] for way, frame in wire.frames if frame["type"] == "input_audio_buffer.append"]
    assert b"".join(b64decode(audio) for audio in appended) == spoken + SILENCE


def test_two_updates_in_flight_are_confirmed_one_by_one(server: str):
    async def run() -> list[SpeechModelEvent]:
        async with session(server) as (live, posted, _):
            live.update(setup(epoch=2, prompt="Two.", audio=PCM_24K))
            live.update(setup(epoch=3, prompt="Three.", tools=(GET_BALANCE,), audio=PCM_24K))
            await posted.until(SetupInForce, times=2)
        return posted.events

    assert asyncio.run(run()) == [SetupInForce(Epoch(2)), SetupInForce(Epoch(3))]


def test_a_server_that_is_full_says_so_and_another_call_may_try_later(server: str):
    async def run() -> ModelUnavailable:
        models = OpenAIRealtimeModels(openai_endpoint("any", api_key=None, base_url=f"http://127.0.0.1:{server}/v1"))
        async with AsyncExitStack() as open_sessions:
            try:
                while True:
                    live = await models.connect(FIRST, Posted())
                    open_sessions.push_async_callback(live.close)
            except ModelUnavailable as full:
                return full

    refused = asyncio.run(run())
    assert str(refused) == "any refused the session (session_limit_reached)"
    assert not refused.permanent
