"""Frames of OpenAI Realtime as the provider would send them, each checked against the provider's own types."""

from __future__ import annotations

import json
from typing import Any

import pytest

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.ports import MULAW_8K, AudioFormat, SpeechModelEvent

pytest.importorskip("openai", reason="needs the extra 'openai'")


import itertools
from base64 import b64encode
from collections.abc import Mapping, Sequence

from openai.types.realtime.realtime_client_event import RealtimeClientEvent
from openai.types.realtime.realtime_server_event import RealtimeServerEvent
from pydantic import BaseModel, TypeAdapter

from voiceagent.models.openai_realtime.protocol import RealtimeProtocol
from voiceagent.models.openai_realtime.setup import ServerTurns, Turns
from voiceagent.ports import OfferedTool, SessionSetup

_FROM_CLIENT: TypeAdapter[Any] = TypeAdapter(RealtimeClientEvent)
_FROM_SERVER: TypeAdapter[Any] = TypeAdapter(RealtimeServerEvent)
_NUMBERS = itertools.count(1)

Frame = Mapping[str, Any]

GET_BALANCE = OfferedTool(
    name="get_balance",
    description="Look up a balance.",
    parameters={"type": "object", "properties": {"account": {"type": "string"}}, "required": ["account"]},
)


def setup(
    *,
    epoch: int = 1,
    prompt: str = "You work for a bank.",
    late_facts: str = "",
    tools: tuple[OfferedTool, ...] = (GET_BALANCE,),
    voice: str | None = "marin",
    audio: AudioFormat = MULAW_8K,
) -> SessionSetup:
    return SessionSetup(
        epoch=Epoch(epoch),
        prompt=prompt,
        late_facts=late_facts,
        tools=tools,
        voice=voice,
        audio_in=audio,
        audio_out=audio,
    )


# --- checks ----------------------------------------------------------------------------------------------------------


def from_client(frame: str) -> dict[str, Any]:
    """Return a frame that a client has sent, with no field that the provider does not know."""
    parsed: dict[str, Any] = json.loads(frame)
    unknown = list(_unknown_fields(_FROM_CLIENT.validate_python(parsed)))
    assert not unknown, f"{parsed['type']} has {unknown}"
    return parsed


def from_server(frame: Frame) -> str:
    """Return a frame of the provider's as it stands on the wire."""
    _FROM_SERVER.validate_python(frame)
    return json.dumps(frame)


def _unknown_fields(value: object) -> Sequence[str]:
    if isinstance(value, BaseModel):
        inner = [name for field in type(value).model_fields for name in _unknown_fields(getattr(value, field))]
        return [*(value.model_extra or ()), *inner]
    if isinstance(value, list):
        return [name for entry in value for name in _unknown_fields(entry)]
    return []


# --- what a provider sends -------------------------------------------------------------------------------------------


def event(kind: str, **fields: Any) -> dict[str, Any]:
    return {"type": kind, "event_id": f"event_{next(_NUMBERS)}", **fields}


def session_created() -> Frame:
    return event("session.created", session={"type": "realtime", "object": "realtime.session", "id": "sess_1"})


def session_updated() -> Frame:
    return event("session.updated", session={"type": "realtime", "object": "realtime.session", "id": "sess_1"})


def error(code: str | None, *, about: str | None = None, kind: str = "invalid_request_error", **more: Any) -> Frame:
    said = {"type": kind, "code": code, "message": "Something the caller said, or a key.", "event_id": about, **more}
    return event("error", error=said)


def item_added(item: Frame) -> Frame:
    return event("conversation.item.added", previous_item_id=None, item={"status": "completed", **item})


def began(reply: str) -> Frame:
    return event("response.created", response={"id": reply, "object": "realtime.response", "status": "in_progress"})


def audio(reply: str, audio: bytes, *, item: str = "item_1", index: int = 0) -> Frame:
    return event(
        "response.output_audio.delta",
        response_id=reply,
        item_id=item,
        output_index=0,
        content_index=index,
        delta=b64encode(audio).decode(),
    )


def words(reply: str, text: str, *, item: str = "item_1") -> Frame:
    return event(
        "response.output_audio_transcript.delta",
        response_id=reply,
        item_id=item,
        output_index=0,
        content_index=0,
        delta=text,
    )


def function_call(
    request: str, *, name: str = "get_balance", arguments: str = "{}", status: str = "completed"
) -> Frame:
    return {
        "id": f"item_{request}",
        "type": "function_call",
        "call_id": request,
        "name": name,
        "arguments": arguments,
        "status": status,
    }


def item_began(reply: str, item: Frame) -> Frame:
    begun = {**item, "status": "in_progress", "arguments": ""}
    return event("response.output_item.added", response_id=reply, output_index=0, item=begun)


def item_done(reply: str, item: Frame) -> Frame:
    return event("response.output_item.done", response_id=reply, output_index=0, item=item)


def done(
    reply: str,
    status: str = "completed",
    *,
    output: Sequence[Frame] = (),
    details: Frame | None = None,
    tokens: tuple[int, int] = (120, 40),
    cached: int = 0,
) -> Frame:
    usage = {
        "input_tokens": tokens[0],
        "input_token_details": {"text_tokens": tokens[0], "cached_tokens": cached},
        "output_tokens": tokens[1],
        "total_tokens": sum(tokens),
    }
    response = {"id": reply, "object": "realtime.response", "status": status, "status_details": details}
    return event("response.done", response={**response, "output": list(output), "usage": usage})


def heard(item: str, text: str) -> Frame:
    return event("conversation.item.input_audio_transcription.delta", item_id=item, content_index=0, delta=text)


def began_to_speak(item: str, at_ms: int) -> Frame:
    return event("input_audio_buffer.speech_started", item_id=item, audio_start_ms=at_ms)


def stopped_speaking(item: str, at_ms: int) -> Frame:
    return event("input_audio_buffer.speech_stopped", item_id=item, audio_end_ms=at_ms)


def heard_all(item: str, text: str) -> Frame:
    return event(
        "conversation.item.input_audio_transcription.completed",
        item_id=item,
        content_index=0,
        transcript=text,
        usage={"type": "duration", "seconds": 1},
    )


def not_heard(item: str) -> Frame:
    return event(
        "conversation.item.input_audio_transcription.failed",
        item_id=item,
        content_index=0,
        error={"type": "server_error", "code": "DeploymentNotFound", "message": "It failed."},
    )


# --- a session without a socket --------------------------------------------------------------------------------------


class Wire:
    """Both ends of a session: what the provider sends comes to events, what the client sends is kept and checked."""

    def __init__(
        self,
        first: SessionSetup | None = None,
        *,
        turns: Turns | None = None,
        transcription: str | None = "gpt-realtime-whisper",
        language: str | None = None,
    ) -> None:
        self.protocol = RealtimeProtocol(
            "a model", turns=turns or ServerTurns(), transcription=transcription, language=language
        )
        self.sent: list[dict[str, Any]] = []
        self.send(self.protocol.open(first or setup()))

    def send(self, frames: Sequence[str]) -> list[dict[str, Any]]:
        """Take what the client sends, and return it."""
        sent = [from_client(frame) for frame in frames]
        self.sent += sent
        return sent

    def receive(self, *frames: Frame) -> list[SpeechModelEvent]:
        """Have the provider send frames, and return what they come to."""
        events: list[SpeechModelEvent] = []
        for frame in frames:
            received = self.protocol.receive(from_server(frame))
            self.send(received.frames)
            events += received.events
        return events

    def confirm_told(self) -> list[SpeechModelEvent]:
        """Have the provider confirm every item so far, once more those it has confirmed before."""
        return self.receive(*(item_added(frame["item"]) for frame in self.sent_kind("conversation.item.create")))

    def sent_kind(self, kind: str) -> list[dict[str, Any]]:
        return [frame for frame in self.sent if frame["type"] == kind]

    @property
    def asks(self) -> int:
        return len(self.sent_kind("response.create"))

    @property
    def answers(self) -> dict[str, str]:
        """Requests that have been answered → how."""
        items = [frame["item"] for frame in self.sent_kind("conversation.item.create")]
        return {item["call_id"]: item["output"] for item in items if item["type"] == "function_call_output"}


def open_wire(first: SessionSetup | None = None, **options: Any) -> Wire:
    """Return a session whose first setup is in force."""
    wire = Wire(first, **options)
    assert wire.receive(session_created(), session_updated()) == []
    assert wire.protocol.ready
    return wire


PCM_24K = AudioFormat("pcm16", 24_000)
ALAW_8K = AudioFormat("alaw", 8_000)
NOTE = Message(7, "note", "The caller is verified.", Epoch(2))
SECOND_OF_MULAW = bytes(8_000)
ACTIVE = "conversation_already_has_active_response"


def result(request: str, text: str = '{"balance": 12}', *, failed: bool = False, epoch: int = 1) -> Message:
    return Message(5, "tool_result", text, Epoch(epoch), request=request, tool="get_balance", failed=failed)


def requested(wire: Wire, request: str, *, reply: str = "resp_1") -> None:
    """Have a whole reply go by that asks for a tool."""
    wire.receive(began(reply), item_done(reply, function_call(request)), done(reply))
