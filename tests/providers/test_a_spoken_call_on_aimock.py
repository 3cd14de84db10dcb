"""Whole calls in real time with CopilotKit's `aimock`, which is not ours: protocol and tools, since it is mute.

It is deaf too: who passes its frames on hears for it. What its fixtures answer the scripted providers' mind decides.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.dialects import Question
from tests.models.the_usual_call import Trace, balance_calls, trace_of
from tests.providers.aimock import IRREGULAR, aimock, is_there
from tests.providers.bank_service import bank_service
from tests.providers.minds import (
    DESK_WORDS,
    MARKED,
    Mind,
    arguments_of,
    bank_mind,
    desk_mind,
    desk_sentences,
    usual_sentences,
)
from tests.providers.spoken_call import spoken_call
from tests.providers.telephone import Ears, Sentences
from tests.providers.the_calls import (
    DESK,
    every_sample_was_heard_once,
    no_secret_was_heard,
    no_secret_was_told,
    take_the_usual_call,
    talk_through_a_swap,
)
from tests.providers.watched import Watched, watched
from voiceagent.audio import mulaw_to_pcm16
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.spec.flow import Flow

pytestmark = pytest.mark.providers

if not is_there():
    pytest.skip("needs node and @copilotkit/aimock (make test-providers)", allow_module_level=True)

PCM_24K = AudioFormat("pcm16", 24_000)
AT_THE_BANK = {
    "greeting": ("You answer the telephone", ("begin_authentication", "talk_to_human", "finish")),
    "authentication": ("You are checking who is calling", ("verify_caller", "talk_to_human", "finish")),
    "account_inquiry": ("You help a caller", ("get_accounts", "begin_transfer", "finish")),
}
AT_THE_DESK = {
    "reception": ("You are at the reception", ("to_visits",)),
    "visits": ("You are at the counter for visits", ("opening_hours", "bye")),
}


def fixture(mind: Mind, place: tuple[str, tuple[str, ...]], newest: str, *, after: str = "") -> Mapping[str, Any]:
    """Return what the mind answers in this phase to the caller's words, or `after` a request to its result."""
    prompt, tools = place
    decided = mind(Question(prompt, tools, newest, bool(after), (), newest))
    match = {"systemMessage": prompt}
    match |= {"toolCallId": after, "toolResultContains": newest} if after else {"userMessage": newest}
    if isinstance(decided, str):
        return {"match": match, "response": {"content": decided}}
    request = {"id": decided.id, "name": decided.tool, "arguments": arguments_of(decided)}
    return {"match": match, "response": {"toolCalls": [request]}}


BANK_FIXTURES = [
    # What is matched first counts, and the caller's last words stay the last ones when a result has come.
    fixture(bank_mind, AT_THE_BANK["authentication"], "", after="a1"),
    fixture(bank_mind, AT_THE_BANK["account_inquiry"], "Daniel Harris", after="a2"),
    fixture(bank_mind, AT_THE_BANK["account_inquiry"], "2540.75", after="a4"),
    fixture(bank_mind, AT_THE_BANK["greeting"], "check the balance"),
    fixture(bank_mind, AT_THE_BANK["authentication"], "⟨pin#2: 4 digits⟩"),
    fixture(bank_mind, AT_THE_BANK["authentication"], "⟨account_number#1: 7 digits⟩"),
    fixture(bank_mind, AT_THE_BANK["account_inquiry"], "Goodbye"),
]
DESK_FIXTURES = [
    fixture(desk_mind, AT_THE_DESK["visits"], "nine", after="d2"),
    fixture(desk_mind, AT_THE_DESK["visits"], MARKED),
    fixture(desk_mind, AT_THE_DESK["visits"], "", after="d1"),
    fixture(desk_mind, AT_THE_DESK["reception"], "visit"),
]


@asynccontextmanager
async def realtime(
    server: str, line: AudioFormat, sentences: Sentences, *, confirms_after_ms: int = 0
) -> AsyncIterator[tuple[OpenAIRealtimeModels, Watched, bytearray]]:
    """Yield an engine, its frames, and the caller's audio as it comes to the server."""
    ears, came = Ears(sentences, line.rate_hz), bytearray()

    def hear(audio: bytes) -> list[str]:
        came.extend(audio)
        return ears.hear(mulaw_to_pcm16(audio) if line == MULAW_8K else audio)

    async with watched(f"ws://{server}", confirms_after_ms=confirms_after_ms, ears=hear) as wire:
        yield OpenAIRealtimeModels(openai_endpoint("gpt-realtime-2", api_key="any", base_url=wire.url)), wire, came
        assert wire.irregular <= IRREGULAR


def test_the_usual_call_goes_as_with_any_other_model(tmp_path: Path) -> None:
    flow, expected = balance_calls().flow, trace_of(None)
    with aimock(tmp_path, BANK_FIXTURES) as server:
        asyncio.run(the_usual_call(server, flow, expected, tmp_path))


async def the_usual_call(server: str, flow: Flow, expected: Trace, journals: Path) -> None:
    sentences = usual_sentences()
    async with (
        realtime(server, MULAW_8K, sentences) as (engine, wire, came),
        bank_service() as bank,
        spoken_call(flow, engine, MULAW_8K, sentences=sentences, journals=journals, service_url=bank.url) as call,
    ):
        await take_the_usual_call(call)
    assert call.trace == expected
    assert call.problems == []
    no_secret_was_heard(mulaw_to_pcm16(bytes(came)), MULAW_8K.rate_hz)
    no_secret_was_told(
        json.dumps(frame, ensure_ascii=False)
        for way, frame in wire.frames
        if way == "sent" and frame["type"] != "input_audio_buffer.append"
    )


def test_three_seconds_of_speech_during_a_swap_arrive_once_and_whole(tmp_path: Path) -> None:
    with aimock(tmp_path, DESK_FIXTURES) as server:
        asyncio.run(a_swap(server, tmp_path))


async def a_swap(server: str, journals: Path) -> None:
    sentences = desk_sentences()
    async with (
        realtime(server, PCM_24K, sentences, confirms_after_ms=700) as (engine, wire, came),
        spoken_call(DESK, engine, PCM_24K, sentences=sentences, journals=journals) as call,
    ):
        await talk_through_a_swap(call)
    assert call.trace.phases == ["reception", "visits"]
    assert call.problems == []
    assert wire.kinds("sent").count("session.update") == 2
    every_sample_was_heard_once(call, bytes(came), before=DESK_WORDS)
