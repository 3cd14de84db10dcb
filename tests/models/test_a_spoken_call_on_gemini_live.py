"""Whole calls in real time with Gemini Live: our client as it is, and a server that hears, thinks and speaks."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("soxr", reason="needs the extra 'resampling'")

from tests.models.gemini_live_server import Server, gemini_live_server
from tests.models.the_usual_call import Trace, balance_calls, trace_of
from tests.providers.bank_service import bank_service
from tests.providers.minds import DESK_WORDS, bank_mind, desk_mind, desk_sentences, usual_sentences
from tests.providers.spoken_call import SpokenCall, spoken_call
from tests.providers.the_calls import (
    DESK,
    every_sample_was_heard_once,
    no_secret_was_heard,
    no_secret_was_told,
    nothing_was_lost_on_the_way,
    take_the_usual_call,
    talk_through_a_swap,
)
from tests.providers.thinking_gemini import ThinkingGemini
from voiceagent.models.gemini_live.generations import PCM_16K
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.spec.flow import Flow

IN_PLACE, ANOTHER_SESSION = "gemini-3.8-live", "gemini-3.1-flash-live"


@pytest.mark.parametrize("model", [IN_PLACE, ANOTHER_SESSION])
def test_the_usual_call_goes_as_with_any_other_model(model: str, tmp_path: Path) -> None:
    expected, flow = trace_of(None), balance_calls().flow
    asyncio.run(the_usual_call(model, flow, expected, tmp_path))


async def the_usual_call(model: str, flow: Flow, expected: Trace, journals: Path) -> None:
    sentences = usual_sentences()
    async with gemini_live_server(ThinkingGemini(bank_mind, sentences)) as server, bank_service() as bank:
        engine = server.models(model)
        async with spoken_call(
            flow, engine, MULAW_8K, sentences=sentences, journals=journals, service_url=bank.url
        ) as call:
            await take_the_usual_call(call)
        await engine.close()
        assert call.trace == expected
        assert call.problems == []
        assert len(server.lines) == (1 if model == IN_PLACE else 3)
        for line in server.lines:
            no_secret_was_heard(bytes(line.heard), PCM_16K.rate_hz)
            no_secret_was_told(json.dumps(frame, ensure_ascii=False) for frame in line.received if is_words(frame))


def is_words(frame: Mapping[str, Any]) -> bool:
    return "audio" not in frame.get("realtimeInput", {})


@pytest.mark.parametrize("model", [IN_PLACE, ANOTHER_SESSION])
def test_three_seconds_of_speech_during_a_swap_arrive_once_and_whole(model: str, tmp_path: Path) -> None:
    call, server = asyncio.run(a_swap(model, PCM_16K, tmp_path))
    before = DESK_WORDS if model == IN_PLACE else ()
    every_sample_was_heard_once(call, bytes(server.lines[-1].heard), before=before)


def test_nor_is_anything_lost_where_the_line_is_a_telephones(tmp_path: Path) -> None:
    call, server = asyncio.run(a_swap(ANOTHER_SESSION, MULAW_8K, tmp_path))
    nothing_was_lost_on_the_way(call, bytes(server.lines[-1].heard), PCM_16K.rate_hz)


async def a_swap(model: str, line: AudioFormat, journals: Path) -> tuple[SpokenCall, Server]:
    sentences = desk_sentences()
    async with gemini_live_server(ThinkingGemini(desk_mind, sentences, ready_after_ms=700)) as server:
        engine = server.models(model)
        async with spoken_call(DESK, engine, line, sentences=sentences, journals=journals) as call:
            await talk_through_a_swap(call)
        await engine.close()
    assert call.trace.phases == ["reception", "visits"]
    assert call.problems == []
    return call, server
