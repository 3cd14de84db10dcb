"""Traffic recorded from OpenAI and Azure, played back by a server: every frame is understood or left aside on purpose.

The recordings lie beside the project, not in it; without them this is skipped.
"""

from __future__ import annotations

import asyncio
from base64 import b64decode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import yaml
from websockets.asyncio.server import ServerConnection, serve

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.openai_realtime import OpenAIRealtimeModels, openai_endpoint
from voiceagent.ports import (
    AudioFormat,
    CallerTranscribed,
    ModelReplyAudio,
    ModelReplyEnded,
    ModelReplyText,
    ModelToolRequested,
    OfferedTool,
    SessionLost,
    SessionSetup,
    SpeechModelEvent,
    SpeechSession,
)

pytest.importorskip("openai", reason="needs the extra 'openai'")

from tests.models.realtime_frames import from_client, from_server

CASSETTES = Path(__file__).parents[2].parent / "shared" / "cassettes"
RECORDED = sorted(path for folder in ("openai_ws", "azure_ws") for path in (CASSETTES / folder).glob("*.yaml"))
PCM_24K = AudioFormat("pcm16", 24_000)

Interaction = Mapping[str, Any]

if not RECORDED:
    pytest.skip(f"no recorded traffic in {CASSETTES}", allow_module_level=True)


class Played:
    """A server that plays one side of a recording, and waits for what the other side had sent."""

    def __init__(self, interactions: Sequence[Interaction]) -> None:
        self.interactions = interactions
        self.over = asyncio.Event()

    async def __call__(self, socket: ServerConnection) -> None:
        for interaction in self.interactions:
            if interaction["direction"] == "received":
                await socket.send(from_server(interaction["data"]))
                continue
            sent = interaction["data"]
            if sent.get("item", {}).get("type") == "function_call_output":
                continue  # recorded before the request was whole; ours comes with the ask that follows
            while from_client(str(await socket.recv()))["type"] != sent["type"]:
                pass
        self.over.set()
        await socket.wait_closed()


class Heard:
    """What a session has posted."""

    def __init__(self) -> None:
        self.events: list[SpeechModelEvent] = []
        self.more = asyncio.Event()

    def __call__(self, event: SpeechModelEvent) -> None:
        self.events.append(event)
        self.more.set()

    async def requested(self, request: str) -> None:
        while not any(isinstance(event, ModelToolRequested) and event.request == request for event in self.events):
            self.more.clear()
            await self.more.wait()


def first_setup(interactions: Sequence[Interaction]) -> SessionSetup:
    session = next(each["data"]["session"] for each in interactions if each["direction"] == "sent")
    tools = tuple(
        OfferedTool(tool["name"], tool.get("description", ""), tool["parameters"]) for tool in session.get("tools", ())
    )
    return SessionSetup(Epoch(1), session.get("instructions", ""), "", tools, None, PCM_24K, PCM_24K)


async def send_as_recorded(session: SpeechSession, heard: Heard, frames: Sequence[Mapping[str, Any]]) -> None:
    for number, frame in enumerate(frames):
        match frame:
            case {"type": "input_audio_buffer.append", "audio": audio}:
                session.hear(b64decode(audio))
            case {"type": "conversation.item.create", "item": {"type": "function_call_output"} as item}:
                await heard.requested(item["call_id"])
                result = Message(number, "tool_result", item["output"], Epoch(1), request=item["call_id"], tool="t")
                session.tell([result])
            case {"type": "conversation.item.create", "item": {"role": role, "content": [content]}}:
                session.tell([Message(number, "caller" if role == "user" else "agent", content["text"], Epoch(1))])
            case {"type": "response.create"}:
                session.ask()
            case _:
                raise AssertionError(f"a recording holds {frame['type']}")


async def replayed(interactions: Sequence[Interaction]) -> tuple[list[SpeechModelEvent], Mapping[str, int]]:
    played, heard = Played(interactions), Heard()
    async with serve(played, "127.0.0.1", 0, compression=None) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
        models = OpenAIRealtimeModels(openai_endpoint("gpt-realtime", api_key=None, base_url=url))
        session = await models.connect(first_setup(interactions), heard)
        sent = [each["data"] for each in interactions if each["direction"] == "sent"]
        await send_as_recorded(session, heard, sent[1:])
        await played.over.wait()
        replies = sum(each["data"]["type"] == "response.done" for each in interactions)
        while sum(isinstance(event, ModelReplyEnded) for event in heard.events) < replies:
            heard.more.clear()
            await heard.more.wait()
        await session.close()
        return heard.events, session.counts


def lasted(item: str, received: Sequence[Mapping[str, Any]]) -> tuple[int, int] | None:
    of_it = [frame for frame in received if frame.get("item_id") == item]
    began = [frame["audio_start_ms"] for frame in of_it if "audio_start_ms" in frame]
    ended = [frame["audio_end_ms"] for frame in of_it if "audio_end_ms" in frame]
    return (began[0], ended[0]) if began and ended else None


@pytest.mark.parametrize("recording", RECORDED, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recorded_frame_is_understood_or_left_aside_on_purpose(recording: Path):
    interactions: Sequence[Interaction] = yaml.safe_load(recording.read_text())["interactions"]
    received = [each["data"] for each in interactions if each["direction"] == "received"]

    events, counts = asyncio.run(asyncio.wait_for(replayed(interactions), 20))

    assert [kind for kind in counts if not kind.startswith("unneeded ")] == []
    assert not any(isinstance(event, SessionLost) for event in events)
    assert said(events) == spoken(received)
    assert audio(events) == b"".join(
        b64decode(frame["delta"]) for frame in received if frame["type"] == "response.output_audio.delta"
    )
    assert [event.text for event in events if isinstance(event, CallerTranscribed) and event.final] == [
        frame["transcript"].strip()
        for frame in received
        if frame["type"].endswith("input_audio_transcription.completed")
    ]
    assert [event.heard_ms for event in events if isinstance(event, CallerTranscribed) and event.final] == [
        lasted(frame["item_id"], received)
        for frame in received
        if frame["type"].endswith("input_audio_transcription.completed")
    ]
    assert [
        (event.request, event.name, event.arguments) for event in events if isinstance(event, ModelToolRequested)
    ] == [
        (frame["call_id"], frame["name"], frame["arguments"])
        for frame in received
        if frame["type"] == "response.function_call_arguments.done"
    ]
    ended = [event for event in events if isinstance(event, ModelReplyEnded)]
    assert {event.outcome for event in ended} == {"complete"}
    usages = [frame["response"]["usage"] for frame in received if frame["type"] == "response.done"]
    assert [(event.input_tokens, event.output_tokens, event.cached_tokens) for event in ended] == [
        (usage["input_tokens"], usage["output_tokens"], usage["input_token_details"]["cached_tokens"])
        for usage in usages
    ]


def said(events: Sequence[SpeechModelEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, ModelReplyText))


def audio(events: Sequence[SpeechModelEvent]) -> bytes:
    return b"".join(event.audio for event in events if isinstance(event, ModelReplyAudio))


def spoken(received: Sequence[Mapping[str, Any]]) -> str:
    kinds = ("response.output_audio_transcript.delta", "response.output_text.delta")
    return "".join(frame["delta"] for frame in received if frame["type"] in kinds)
