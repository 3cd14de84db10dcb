"""Every frame that passes between us and a Gemini Live model is one of Google's own SDK, in both directions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from websockets.asyncio.client import connect

from tests.models.gemini_live_server import (
    GENERATED,
    INTERRUPTED,
    KEY,
    THOUGHT,
    WHAT,
    WHO,
    Line,
    Posted,
    audio,
    calls,
    cancels,
    done,
    gemini_live_server,
    go_away,
    heard,
    message,
    phase,
    result,
    said,
)
from voiceagent.models.gemini_live import LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING, Generation
from voiceagent.models.gemini_live.frames import AUDIO_STREAM_END, setup_frame
from voiceagent.models.gemini_live.schemas import gemini_schema
from voiceagent.ports import ModelReplyEnded, ModelToolRequested, RequestsWithdrawn, SessionEnding, SetupInForce

pytestmark = pytest.mark.providers
types = pytest.importorskip("google.genai.types", reason="needs google-genai, which `make test-providers` installs")
genai = pytest.importorskip("google.genai")

GENERATIONS = [LIVE_2, LIVE_3_1, LIVE_3_8, LIVE_3_8_THINKING]
CASSETTES = Path(__file__).resolve().parents[2].parent / "shared" / "cassettes" / "google_ws"


def from_client(frame: Any) -> Any:
    """Return a frame as the SDK reads it; it refuses what it does not know.

    Its setup message lacks one field that its own `connect` writes from a configuration of that type.
    """
    if "realtimeInputConfig" in (setup := frame.get("setup", {})):
        types.RealtimeInputConfig.model_validate(setup["realtimeInputConfig"])
        frame = {"setup": {name: value for name, value in setup.items() if name != "realtimeInputConfig"}}
    return types.LiveClientMessage.model_validate(frame)


def from_server(frame: Any) -> Any:
    return types.LiveServerMessage.model_validate(frame)


async def everything(line: Line) -> None:
    """Say everything that a model can say."""
    await line.confirm()
    await line.until_heard(640)
    await line.send(heard(" Hello"))
    await line.send(calls(("c1", "verify_caller", {"pin": "1"}), ("c2", "say_goodbye", {})))
    await line.send(cancels("c2"))
    await line.until("toolResponse")
    await line.send(THOUGHT, said("Good day."), audio(b"\1\0"), GENERATED, done(9, 8, 7))
    await line.until_heard(1_280)
    await line.send(audio(b"\1\0"), INTERRUPTED, done())
    await line.send(go_away("9.5s"))
    await line.all_that_comes()


async def conversation(generation: Generation) -> tuple[Line, Posted]:
    async with asyncio.timeout(20), gemini_live_server(everything) as server:
        posted = Posted()
        session = await server.models(generation=generation, end_of_speech_ms=500).connect(WHO, posted)
        session.tell([message("agent", "Hello."), message("caller", "Hi.")])
        session.hear(bytes(640))
        await posted.until(ModelToolRequested, count=2)
        await posted.until(RequestsWithdrawn)
        if generation.updates:
            session.update(WHAT)
            await posted.until(SetupInForce)
            session.update(phase(3, "Goodbye."))
        session.tell([result("c1", '{"verified": true}'), message("note", "[A letter came.]")])
        session.ask()
        await posted.until(ModelReplyEnded, count=2)
        session.hear(bytes(640))
        await posted.until(SessionEnding)
        session.ask()
        await server.until(lambda: server.lines[0].kinds[-1] != "audio")
        await session.close()
        return server.lines[0], posted


@pytest.mark.parametrize("generation", GENERATIONS, ids=lambda generation: generation.name)
def test_every_frame_of_a_conversation_is_one_that_the_sdk_knows(generation: Generation) -> None:
    line, _ = asyncio.run(conversation(generation))
    for frame in line.received:
        read = from_client(frame)
        assert list(read.model_dump(exclude_none=True)) == [_snake(kind) for kind in frame]
    for frame in line.sent:
        from_server(frame)


def test_what_we_send_is_understood_as_it_is_meant() -> None:
    setup = from_client(json.loads(setup_frame("x", phase(1, "A.", *WHO.tools, voice="Kore"), LIVE_3_8))).setup
    assert setup.generation_config.response_modalities == [types.Modality.AUDIO]
    assert setup.generation_config.speech_config.voice_config.prebuilt_voice_config.voice_name == "Kore"
    verify, goodbye = setup.tools[0].function_declarations
    assert verify.behavior is types.Behavior.BLOCKING
    assert verify.parameters.properties["pin"].type is types.Type.STRING
    assert verify.parameters.required == ["pin"]
    assert goodbye.parameters is None
    assert from_client(json.loads(AUDIO_STREAM_END)).realtime_input.audio_stream_end is True


def test_the_setup_and_the_key_go_out_as_the_sdk_sends_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """Google's own client, led to the same server, says the same."""
    setup = phase(1, "A.", *WHO.tools, voice="Kore", late_facts="B.")
    functions = json.loads(setup_frame("x", setup, LIVE_3_8))["setup"]["tools"][0]["functionDeclarations"]
    config = types.LiveConnectConfig(
        response_modalities=["AUDIO"],
        speech_config={"voice_config": {"prebuilt_voice_config": {"voice_name": "Kore"}}},
        system_instruction=types.Content(role="user", parts=[types.Part(text="A."), types.Part(text="B.")]),
        tools=[types.Tool(function_declarations=[types.FunctionDeclaration.model_validate(f) for f in functions])],
        realtime_input_config=types.RealtimeInputConfig(
            automatic_activity_detection=types.AutomaticActivityDetection(silence_duration_ms=500),
            activity_handling=types.ActivityHandling.START_OF_ACTIVITY_INTERRUPTS,
        ),
        input_audio_transcription=types.AudioTranscriptionConfig(),
        output_audio_transcription=types.AudioTranscriptionConfig(),
        context_window_compression=types.ContextWindowCompressionConfig(sliding_window=types.SlidingWindow()),
    )

    async def listen(line: Line) -> None:
        await line.confirm()
        await line.all_that_comes()

    async def connect_both() -> list[Line]:
        async with asyncio.timeout(20), gemini_live_server(listen) as server:
            monkeypatch.setattr(
                "google.genai.live.ws_connect",
                lambda uri, additional_headers, **_: connect(server.url, additional_headers=additional_headers),
            )
            client = genai.Client(api_key=KEY)
            async with client.aio.live.connect(model="gemini-3.8-live", config=config):
                pass
            session = await server.models(end_of_speech_ms=500).connect(setup, Posted())
            await session.close()
            await client.aio.aclose()
            return server.lines

    theirs, ours = asyncio.run(connect_both())
    assert ours.key == theirs.key == KEY
    assert ours.setup.keys() == theirs.setup.keys()
    assert from_client(ours.received[0]) == from_client(theirs.received[0])
    assert types.RealtimeInputConfig.model_validate(
        ours.setup["realtimeInputConfig"]
    ) == types.RealtimeInputConfig.model_validate(theirs.setup["realtimeInputConfig"])


def test_a_schema_in_the_providers_words_is_one() -> None:
    schema: Any = {
        "type": "object",
        "required": ["a"],
        "properties": {
            "a": {"anyOf": [{"type": "number", "minimum": 0}, {"type": "string", "pattern": "x"}, {"type": "null"}]},
            "b": {"type": "array", "items": {"type": "integer", "format": "int32"}, "maxItems": 3},
            "c": {"enum": ["x", "y"], "type": "string", "default": "x"},
            "d": {"type": "string", "format": "date", "maxLength": 10},
        },
    }
    read = types.Schema.model_validate(gemini_schema(schema))
    assert read.properties["a"].nullable is True
    assert read.properties["c"].enum == ["x", "y"]


def recorded() -> Iterator[Any]:
    for file in sorted(CASSETTES.glob("*.yaml")):
        for number, entry in enumerate(yaml.safe_load(file.read_text())["interactions"]):
            yield pytest.param(entry["direction"], entry["data"], id=f"{file.stem}-{number}")


@pytest.mark.skipif(not CASSETTES.is_dir(), reason="needs ../shared/cassettes/google_ws")
def test_the_measure_is_right_everything_recorded_is_known_to_the_sdk() -> None:
    for parameters in recorded():
        direction, frame = parameters.values
        (from_server if direction == "received" else from_client)(frame)


def _snake(kind: str) -> str:
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in kind)
