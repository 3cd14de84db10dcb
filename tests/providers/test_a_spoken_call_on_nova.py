"""Whole calls in real time with Amazon Nova, through AWS's real SDK; only who answers is ours."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

pytest.importorskip("aws_sdk_bedrock_runtime", reason="needs tests/providers/requirements.txt and Python >= 3.12")
pytest.importorskip("h2", reason="needs tests/providers/requirements.txt")
pytest.importorskip("trustme", reason="needs tests/providers/requirements.txt")

from tests.models.the_usual_call import Trace, balance_calls, trace_of
from tests.providers.bank_service import bank_service
from tests.providers.fake_nova import FakeNova
from tests.providers.minds import bank_mind, desk_mind, desk_sentences, usual_sentences
from tests.providers.spoken_call import spoken_call
from tests.providers.the_calls import (
    DESK,
    every_sample_was_heard_once,
    no_secret_was_heard,
    no_secret_was_told,
    nothing_was_lost_on_the_way,
    take_the_usual_call,
    talk_through_a_swap,
)
from tests.providers.thinking_nova import ThinkingNova
from voiceagent.models.nova import AwsCredentials, NovaSonicModels
from voiceagent.ports import MULAW_8K, AudioFormat
from voiceagent.runtime.clock import SystemClock
from voiceagent.spec.flow import Flow

pytestmark = [pytest.mark.providers, pytest.mark.usefixtures("certificates_are_not_checked")]

PCM_16K, PCM_8K = AudioFormat("pcm16", 16_000), AudioFormat("pcm16", 8_000)


@asynccontextmanager
async def nova(brain: ThinkingNova) -> AsyncIterator[tuple[FakeNova, NovaSonicModels]]:
    async with FakeNova(brain) as server:
        engine = await asyncio.to_thread(
            NovaSonicModels,
            region="us-east-1",
            clock=SystemClock(),
            credentials=AwsCredentials("AKIAEXAMPLE", "a-secret"),
            endpoint=server.endpoint,
        )
        yield server, engine
        await engine.close()


def test_the_usual_call_goes_as_with_any_other_model(tmp_path: Path) -> None:
    asyncio.run(the_usual_call(balance_calls().flow, trace_of(None), tmp_path))


async def the_usual_call(flow: Flow, expected: Trace, journals: Path) -> None:
    sentences = usual_sentences()
    async with (
        nova(ThinkingNova(bank_mind, sentences)) as (server, engine),
        bank_service() as bank,
        spoken_call(flow, engine, MULAW_8K, sentences=sentences, journals=journals, service_url=bank.url) as call,
    ):
        await take_the_usual_call(call)
    assert call.trace == expected
    assert call.problems == []
    assert len(server.sessions) == 3
    for session in server.sessions:
        no_secret_was_heard(bytes(session.audio), PCM_16K.rate_hz)
        no_secret_was_told(
            json.dumps(body, ensure_ascii=False) for name, body in session.events if name != "audioInput"
        )


@pytest.mark.parametrize("line", [PCM_16K, PCM_8K, MULAW_8K], ids=["16 kHz", "8 kHz", "a telephone"])
def test_three_seconds_of_speech_during_a_swap_arrive_once_and_whole(line: AudioFormat, tmp_path: Path) -> None:
    asyncio.run(a_swap(line, tmp_path))


async def a_swap(line: AudioFormat, journals: Path) -> None:
    sentences = desk_sentences()
    async with (
        nova(ThinkingNova(desk_mind, sentences, ready_after_ms=700)) as (server, engine),
        spoken_call(DESK, engine, line, sentences=sentences, journals=journals) as call,
    ):
        await talk_through_a_swap(call)
    assert call.trace.phases == ["reception", "visits"]
    assert call.problems == []
    assert len(server.sessions) == 2
    if line == MULAW_8K:
        nothing_was_lost_on_the_way(call, bytes(server.sessions[-1].audio), PCM_16K.rate_hz)
    else:
        every_sample_was_heard_once(call, bytes(server.sessions[-1].audio))
