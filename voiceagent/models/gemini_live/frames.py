"""What is sent to a Gemini Live model: every client message of the protocol, as text."""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from voiceagent.models.gemini_live.generations import Generation
from voiceagent.models.gemini_live.schemas import declaration
from voiceagent.models.gemini_live.telling import Turn
from voiceagent.ports import OfferedTool, SessionSetup

__all__ = [
    "AUDIO_STREAM_END",
    "audio_frame",
    "content_frame",
    "context_update_frame",
    "setup_frame",
    "tool_response_frame",
]

_AUDIO_HEAD = '{"realtimeInput":{"audio":{"mimeType":"audio/pcm;rate=16000","data":"'
_AUDIO_TAIL = '"}}}'
AUDIO_STREAM_END = '{"realtimeInput":{"audioStreamEnd":true}}'
"""No audio will come for a while: what has been heard so far is a whole turn. Audio after it opens the stream again."""


def setup_frame(model: str, setup: SessionSetup, generation: Generation, *, end_of_speech_ms: int | None = None) -> str:
    """Return the first frame of a connection."""
    speech: dict[str, JsonValue] = {}
    if setup.voice is not None:
        speech = {"speechConfig": {"voiceConfig": {"prebuiltVoiceConfig": {"voiceName": setup.voice}}}}
    detection: dict[str, JsonValue] = {}
    if end_of_speech_ms is not None:
        detection = {"silenceDurationMs": end_of_speech_ms}
    body: dict[str, JsonValue] = {
        "model": model if "/" in model else f"models/{model}",
        "generationConfig": {"responseModalities": ["AUDIO"], **speech},
        "realtimeInputConfig": {
            "automaticActivityDetection": detection,
            "activityHandling": "START_OF_ACTIVITY_INTERRUPTS",
        },
        "inputAudioTranscription": {},
        "outputAudioTranscription": {},
        # Without it a session ends after a quarter of an hour of audio, however often it is renewed.
        "contextWindowCompression": {"slidingWindow": {}},
    }
    if instruction := _instruction(setup):
        body["systemInstruction"] = instruction
    if setup.tools:
        body["tools"] = _tools(setup.tools, generation)
    return _text({"setup": body})


def context_update_frame(old: SessionSetup, new: SessionSetup, generation: Generation) -> str | None:
    """Return the frame that changes what differs; None where nothing does. What is sent again costs the cache."""
    body: dict[str, JsonValue] = {}
    if (old.prompt, old.late_facts) != (new.prompt, new.late_facts):
        body["systemInstruction"] = _instruction(new) or {"role": "user", "parts": [{"text": ""}]}
    if old.tools != new.tools:
        body["tools"] = {"tools": _tools(new.tools, generation)}
    return _text({"contextUpdate": body}) if body else None


def audio_frame(audio: bytes) -> str:
    """Return the frame of caller audio: PCM16 at 16 kHz."""
    return f"{_AUDIO_HEAD}{b2a_base64(audio, newline=False).decode('ascii')}{_AUDIO_TAIL}"


def content_frame(turns: Sequence[Turn], *, complete: bool) -> str:
    """Return the frame that adds turns to the conversation; a complete one is replied to."""
    content: dict[str, JsonValue] = {"turnComplete": complete}
    if turns:
        # Every turn names its role: 3.x closes the connection for one that does not (1007).
        content["turns"] = [{"role": turn.role, "parts": [{"text": turn.text}]} for turn in turns]
    return _text({"clientContent": content})


def tool_response_frame(responses: Sequence[Mapping[str, JsonValue]]) -> str:
    """Return the frame that answers requests for tools."""
    return _text({"toolResponse": {"functionResponses": [dict(response) for response in responses]}})


def _instruction(setup: SessionSetup) -> dict[str, JsonValue] | None:
    parts: list[JsonValue] = [{"text": text} for text in (setup.prompt, setup.late_facts) if text]
    return {"role": "user", "parts": parts} if parts else None


def _tools(tools: Sequence[OfferedTool], generation: Generation) -> list[JsonValue]:
    if not tools:
        return []
    return [{"functionDeclarations": [declaration(tool, generation.tool_behavior) for tool in tools]}]


def _text(frame: JsonValue) -> str:
    return json.dumps(frame, ensure_ascii=False, separators=(",", ":"))
