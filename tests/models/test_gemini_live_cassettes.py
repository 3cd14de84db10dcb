"""Traffic recorded from live Gemini models, played back by a server to our client: nothing in it is unknown to us."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.models.gemini_live_server import BALANCE, Line, Posted, gemini_live_server, message, phase, result
from voiceagent.core.effects import Message
from voiceagent.models.gemini_live.session import GeminiLiveSession
from voiceagent.ports import (
    CallerTranscribed,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    OfferedTool,
    SpeechModelEvent,
)

FOLDER = Path(__file__).resolve().parents[2].parent / "shared" / "cassettes" / "google_ws"
NAMES = [
    "test_asap_enqueue_waits_for_response_boundary",
    "test_audio_in_server_vad_turn",
    "test_message_history_seeding",
    "test_text_in_audio_out_turn",
    "test_tool_call_round",
]
MODEL = "gemini-2.5-flash-native-audio-preview-09-2025"

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="needs ../shared/cassettes/google_ws")


class Recording:
    """The frames of one file, and what its client's part would be with our client."""

    def __init__(self, name: str) -> None:
        recorded = yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
        self.frames: list[tuple[str, dict[str, Any]]] = [
            (entry["direction"], entry["data"]) for entry in recorded["interactions"]
        ]

    @property
    def received(self) -> list[dict[str, Any]]:
        return [data for direction, data in self.frames if direction == "received"]

    async def serve(self, line: Line) -> None:
        """Play the server's part, waiting wherever the recording waited for the client."""
        client_spoke = False
        for direction, data in self.frames:
            if direction == "sent":
                client_spoke = True
                self._expected = next(iter(data))
                continue
            if client_spoke:
                await line.until(_as_we_say_it(self._expected))
                client_spoke = False
            await line.send(data)
        await line.all_that_comes()

    async def play(self, session: GeminiLiveSession, posted: Posted) -> None:
        """Play the client's part with ours."""
        turns = requests = 0
        for direction, data in self.frames:
            (kind,) = data if direction == "sent" else ("",)
            if kind == "realtime_input":
                session.hear(_bytes_of(data[kind]["audio"]["data"]))
            elif kind == "client_content":
                session.tell([_message_of(turn) for turn in data[kind]["turns"]])
                if data[kind]["turnComplete"]:
                    session.ask()
            elif kind == "tool_response":
                requests += 1
                wanted = await posted.until(ModelToolRequested, count=requests)
                (response,) = data[kind]["functionResponses"]
                assert response["id"] == wanted.request
                session.tell([result(wanted.request, response["response"]["output"], tool=response["name"])])
                session.ask()
            elif "toolCall" in data or data.get("serverContent", {}).get("turnComplete"):
                turns += 1
                await posted.until(ModelReplyEnded, count=turns)


def _as_we_say_it(kind: str) -> str:
    return {
        "setup": "setup",
        "client_content": "clientContent",
        "realtime_input": "realtimeInput",
        "tool_response": "toolResponse",
    }[kind]


def _bytes_of(data: str) -> bytes:
    return base64.urlsafe_b64decode(data + "=" * (-len(data) % 4))


def _message_of(turn: dict[str, Any]) -> Message:
    return message("caller" if turn["role"] == "user" else "agent", turn["parts"][0]["text"])


def play(name: str) -> tuple[Recording, list[SpeechModelEvent], dict[str, int]]:
    recording = Recording(name)
    tools = [OfferedTool("record_reading", "Store.", BALANCE.parameters), OfferedTool("queue_followup", "Wait.", {})]

    async def call() -> tuple[list[SpeechModelEvent], dict[str, int]]:
        async with asyncio.timeout(20), gemini_live_server(recording.serve) as server:
            posted = Posted()
            session = await server.models(MODEL).connect(phase(1, "Say hello.", *tools), posted)
            await recording.play(session, posted)
            await session.close()
            return posted.events, dict(session.counts)

    return recording, *asyncio.run(call())


def test_every_recording_is_played() -> None:
    assert sorted(file.stem for file in FOLDER.glob("*.yaml")) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_a_live_model_sent_is_unknown_to_us(name: str) -> None:
    recording, events, counts = play(name)
    assert counts == {}
    begun = [event.reply for event in events if isinstance(event, ModelReplyBegan)]
    ended = [event.reply for event in events if isinstance(event, ModelReplyEnded)]
    assert begun == ended
    contents = [frame.get("serverContent", {}) for frame in recording.received]
    blobs = [
        part["inlineData"]["data"]
        for content in contents
        for part in content.get("modelTurn", {}).get("parts", ())
        if "inlineData" in part
    ]
    recorded = b"".join(base64.b64decode(blob) for blob in blobs)  # each is cut to 33 bytes there
    audio = b"".join(event.audio for event in events if isinstance(event, ModelReplyAudio))
    assert len(recorded) - len(ended) <= len(audio) <= len(recorded)
    assert audio[:32] == recorded[:32]
    words = "".join(content.get("outputTranscription", {}).get("text", "") for content in contents)
    assert "".join(event.text for event in events if isinstance(event, ModelReplyText)) == words
    usage = [frame["usageMetadata"] for frame in recording.received if "usageMetadata" in frame]
    assert sum(event.input_tokens for event in events if isinstance(event, ModelReplyEnded)) == sum(
        counted["promptTokenCount"] for counted in usage
    )


def test_a_spoken_turn_is_transcribed_before_it_is_answered() -> None:
    _, events, _ = play("test_audio_in_server_vad_turn")
    finals = [event for event in events if isinstance(event, CallerTranscribed) and event.final]
    assert finals == [CallerTranscribed("Hello, my name is Marcelo.", final=True)]
    assert events.index(finals[0]) < events.index(ModelReplyBegan("g1"))


def test_a_tool_is_asked_for_and_its_result_is_spoken_of() -> None:
    _, events, _ = play("test_tool_call_round")
    (wanted,) = [event for event in events if isinstance(event, ModelToolRequested)]
    assert (wanted.name, wanted.arguments) == ("record_reading", '{"zqx_measurement": 5, "qbf_note": "steady"}')
    assert [event.outcome for event in events if isinstance(event, ModelReplyEnded)] == ["complete", "complete"]
