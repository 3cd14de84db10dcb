"""Our Realtime client against CopilotKit's `aimock`, which is not ours: protocol and tools, since it sends no audio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager

import pytest

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import (
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    SetupInForce,
    SpeechModelEvent,
    SpeechSession,
)

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import setup
from tests.providers.aimock import IRREGULAR, aimock, is_there
from tests.providers.watched import Posted, Watched, watched

pytestmark = pytest.mark.providers

FIXTURES = [
    {
        "match": {"userMessage": "balance", "systemMessage": "Phase one", "hasToolResult": False},
        "response": {"toolCalls": [{"name": "get_balance", "arguments": '{"account":"7"}', "id": "call_balance"}]},
    },
    {
        "match": {"toolCallId": "call_balance", "systemMessage": "Phase two"},
        "response": {"content": "You have twelve dollars."},
    },
    {"match": {"toolCallId": "call_balance"}, "response": {"content": "That was the old phase."}},
    {
        "match": {"userMessage": "everything"},
        "response": {
            "content": "One moment.",
            "toolCalls": [{"name": "get_balance", "arguments": "{}", "id": "call_first"}],
        },
    },
    {
        "match": {"userMessage": "overload"},
        "response": {"error": {"message": "Too much.", "type": "server_error", "code": "overloaded"}, "status": 503},
    },
    {"match": {"userMessage": "hello"}, "response": {"content": "Good morning."}},
]

if not is_there():
    pytest.skip("needs node and @copilotkit/aimock (make test-providers)", allow_module_level=True)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with aimock(tmp_path_factory.mktemp("aimock"), FIXTURES) as listening:
        yield listening


@asynccontextmanager
async def session(server: str) -> AsyncGenerator[tuple[SpeechSession, Posted, Watched]]:
    posted = Posted()
    async with watched(f"ws://{server}") as wire:
        models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key="any", base_url=wire.url))
        live = await models.connect(setup(prompt="Phase one."), posted)
        yield live, posted, wire
        await live.close()
        assert wire.irregular <= IRREGULAR


def caller(text: str) -> Message:
    return Message(1, "caller", text, Epoch(1))


def said(events: list[SpeechModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ModelReplyText))


def test_a_tool_is_asked_for_in_one_phase_and_its_result_told_in_the_next(server: str):
    async def run() -> tuple[list[SpeechModelEvent], Watched]:
        async with session(server) as (live, posted, wire):
            live.tell([caller("My balance, please.")])
            live.ask()
            requested = await posted.until(ModelToolRequested)
            await posted.until(ModelReplyEnded)
            live.update(setup(epoch=2, prompt="Phase two.", tools=()))
            await posted.until(SetupInForce)
            live.tell([Message(2, "tool_result", "12.00", Epoch(2), request=requested.request, tool="get_balance")])
            live.ask()
            await posted.until(ModelReplyEnded, times=2)
        return posted.events, wire

    events, wire = asyncio.run(run())

    [requested] = [event for event in events if isinstance(event, ModelToolRequested)]
    assert (requested.request, requested.name, requested.arguments) == (
        "call_balance",
        "get_balance",
        '{"account":"7"}',
    )
    assert said(events) == "You have twelve dollars."
    assert len(wire.swaps_ms) == 2
    print("session.update to session.updated:", [f"{swap:.1f} ms" for swap in wire.swaps_ms])  # noqa: T201 - for -s


def test_words_and_a_request_in_one_reply(server: str):
    async def run() -> list[SpeechModelEvent]:
        async with session(server) as (live, posted, _):
            live.tell([caller("Tell me everything.")])
            live.ask()
            await posted.until(ModelReplyEnded)
        return posted.events

    events = asyncio.run(run())
    assert said(events) == "One moment."
    assert [event.request for event in events if isinstance(event, ModelToolRequested)] == ["call_first"]


def test_a_reply_that_fails_says_so_in_our_words(server: str):
    async def run() -> ModelReplyEnded:
        async with session(server) as (live, posted, _):
            live.tell([caller("An overload, please.")])
            live.ask()
            return await posted.until(ModelReplyEnded)

    ended = asyncio.run(run())
    assert (ended.outcome, ended.reason) == ("failed", "it failed (overloaded)")


def test_caller_audio_in_between_is_taken(server: str):
    async def run() -> list[SpeechModelEvent]:
        async with session(server) as (live, posted, _):
            for _ in range(50):
                live.hear(bytes(160))
            live.tell([caller("Oh, hello.")])
            live.ask()
            await posted.until(ModelReplyEnded)
        return posted.events

    assert said(asyncio.run(run())) == "Good morning."


def test_another_protocol_than_realtime_is_refused_at_connect(server: str):
    async def run() -> None:
        models = OpenAIRealtimeModels(openai_endpoint("m", api_key="any", base_url=f"http://{server}/nowhere"))
        with pytest.raises(ModelUnavailable) as refused:
            await models.connect(setup(), Posted())
        assert refused.value.permanent

    asyncio.run(run())
