"""Whole calls in real time with the protocol layer of Hugging Face's `speech-to-speech`, which is not ours."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from base64 import b64decode
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

pytest.importorskip("speech_to_speech", reason="needs speech-to-speech (make test-providers, Python >= 3.12)")
pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.the_usual_call import Trace, balance_calls, trace_of
from tests.providers.bank_service import bank_service
from tests.providers.minds import DESK_WORDS, desk_sentences, usual_sentences
from tests.providers.spoken_call import spoken_call
from tests.providers.the_calls import (
    DESK,
    every_sample_was_heard_once,
    no_secret_was_heard,
    no_secret_was_told,
    take_the_usual_call,
    talk_through_a_swap,
)
from tests.providers.watched import Watched, program, watched
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import AudioFormat
from voiceagent.spec.flow import Flow

pytestmark = pytest.mark.providers

PCM_24K = AudioFormat("pcm16", 24_000)
"""The only format that the server takes for what it is."""


@contextmanager
def server_of(mind: str) -> Iterator[str]:
    with program(sys.executable, str(Path(__file__).with_name("hugging_face_server.py")), mind) as process:
        assert process.stdout is not None
        said = process.stdout.readline()
        assert re.fullmatch(r"\d+\n", said), said + process.stdout.read()
        yield said.strip()


@asynccontextmanager
async def realtime(port: str, *, confirms_after_ms: int = 0) -> AsyncIterator[tuple[OpenAIRealtimeModels, Watched]]:
    async with watched(f"ws://127.0.0.1:{port}", confirms_after_ms=confirms_after_ms) as wire:
        yield OpenAIRealtimeModels(openai_endpoint("any", api_key=None, base_url=wire.url)), wire
        assert wire.irregular == set()


def heard(wire: Watched) -> bytes:
    """All of the caller's audio that the server was sent."""
    frames = [frame for way, frame in wire.frames if way == "sent" and frame["type"] == "input_audio_buffer.append"]
    return b"".join(b64decode(frame["audio"]) for frame in frames)


def test_the_usual_call_goes_as_with_any_other_model(tmp_path: Path) -> None:
    flow, expected = balance_calls().flow, trace_of(None)
    with server_of("bank") as port:
        asyncio.run(the_usual_call(port, flow, expected, tmp_path))


async def the_usual_call(port: str, flow: Flow, expected: Trace, journals: Path) -> None:
    sentences = usual_sentences()
    async with (
        realtime(port) as (engine, wire),
        bank_service() as bank,
        spoken_call(flow, engine, PCM_24K, sentences=sentences, journals=journals, service_url=bank.url) as call,
    ):
        await take_the_usual_call(call)
    assert call.trace == expected
    assert call.problems == []
    no_secret_was_heard(heard(wire), PCM_24K.rate_hz)
    no_secret_was_told(
        json.dumps(frame, ensure_ascii=False)
        for way, frame in wire.frames
        if way == "sent" and frame["type"] != "input_audio_buffer.append"
    )


def test_three_seconds_of_speech_during_a_swap_arrive_once_and_whole(tmp_path: Path) -> None:
    with server_of("desk") as port:
        asyncio.run(a_swap(port, tmp_path))


async def a_swap(port: str, journals: Path) -> None:
    sentences = desk_sentences()
    async with (
        realtime(port, confirms_after_ms=700) as (engine, wire),
        spoken_call(DESK, engine, PCM_24K, sentences=sentences, journals=journals) as call,
    ):
        await talk_through_a_swap(call)
    assert call.trace.phases == ["reception", "visits"]
    assert call.problems == []
    assert wire.kinds("sent").count("session.update") == 2
    every_sample_was_heard_once(call, heard(wire), before=DESK_WORDS)
