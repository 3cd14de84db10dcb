"""What is sent to Nova, as the JSON of its input events.

Facts from the Nova 2 Sonic user guide ("Handling input events with the bidirectional API") and AWS's samples: every
event stands in `{"event": …}`; what is said stands between a `contentStart` and a `contentEnd` of one name; a tool's
schema is a string of JSON; tools and prompt can be set only before anything is said.
"""

from __future__ import annotations

import json
import uuid
from binascii import b2a_base64
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import JsonValue

from voiceagent.models.nova.history import pieces
from voiceagent.ports import AudioFormat, OfferedTool, SessionSetup

__all__ = ["DEFAULT_VOICE", "FRAME_MS", "Frame", "Frames", "Sensitivity"]

FRAME_MS = 32
"""Caller audio in one event, as the guide has it."""
DEFAULT_VOICE = "matthew"
_VOICES = {"es": "lupe"}
"""Of other languages: here a voice is of one language, and speaks it."""

Sensitivity = Literal["HIGH", "MEDIUM", "LOW"]
"""How soon the model takes a pause for the end of the caller's turn."""

_TEXT = {"mediaType": "text/plain"}
_INFERENCE = {"maxTokens": 1024, "topP": 0.9, "temperature": 0.7}
_PCM = {"mediaType": "audio/lpcm", "sampleSizeBits": 16, "channelCount": 1, "encoding": "base64", "audioType": "SPEECH"}


@dataclass(frozen=True, slots=True)
class Frame:
    """One input event."""

    payload: bytes
    settles: bool = False
    """The provider needs a moment before what follows: history sent in one go has been lost (LiveKit PR 5220)."""


class Frames:
    """Makes the input events of one session. Names are version 5 UUIDs of `session` and a counter."""

    def __init__(self, session: uuid.UUID, *, audio_in: AudioFormat) -> None:
        self._session = session
        self._prompt = str(session)
        self._count = 0
        self._rate_hz = audio_in.rate_hz
        self._audio = self._name()
        head = {"promptName": self._prompt, "contentName": self._audio, "content": ""}
        self._audio_head = _event("audioInput", head).removesuffix(b'"}}}')

    def _name(self) -> str:
        self._count += 1
        return str(uuid.uuid5(self._session, str(self._count)))

    # --- the session ---------------------------------------------------------------------------------------------

    def beginning(self, setup: SessionSetup, *, sensitivity: Sensitivity | None) -> list[Frame]:
        """Return what opens the session: limits, formats, voice, tools, then the prompt."""
        session: dict[str, JsonValue] = {"inferenceConfiguration": {**_INFERENCE}}
        if sensitivity is not None:
            session["turnDetectionConfiguration"] = {"endpointingSensitivity": sensitivity}
        prompt: dict[str, JsonValue] = {
            "promptName": self._prompt,
            "textOutputConfiguration": {**_TEXT},
            "audioOutputConfiguration": {
                **_PCM,
                "sampleRateHertz": setup.audio_out.rate_hz,
                "voiceId": setup.voice or _voice_of(setup.language),
            },
        }
        if setup.tools:
            prompt["toolUseOutputConfiguration"] = {"mediaType": "application/json"}
            prompt["toolConfiguration"] = {"tools": [_tool(tool) for tool in setup.tools]}
        system = "\n\n".join(part for part in (setup.prompt, setup.late_facts) if part.strip())
        return [
            Frame(_event("sessionStart", session)),
            Frame(_event("promptStart", prompt)),
            *(self.text("SYSTEM", system, interactive=False) if system else ()),
        ]

    def ending(self, *, audio_begun: bool) -> list[Frame]:
        """Return what ends the session in good order."""
        contents = [Frame(self._content_end(self._audio))] if audio_begun else []
        return [*contents, Frame(_event("promptEnd", {"promptName": self._prompt})), Frame(_event("sessionEnd", {}))]

    # --- what is said --------------------------------------------------------------------------------------------

    def text(self, role: Literal["SYSTEM", "USER", "ASSISTANT"], text: str, *, interactive: bool) -> list[Frame]:
        """Return a text, whole, in inputs as short as the provider wants them. Interactive, it will be answered."""
        name = self._name()
        start: dict[str, JsonValue] = {"type": "TEXT", "role": role, "interactive": interactive}
        return [
            Frame(self._content("contentStart", name, {**start, "textInputConfiguration": {**_TEXT}})),
            *(Frame(self._content("textInput", name, {"content": piece})) for piece in pieces(text)),
            Frame(self._content_end(name), settles=True),
        ]

    def tool_result(self, request: str, content: str) -> list[Frame]:
        """Return the answer to a tool use; `content` is JSON. The model goes on by itself once it has it."""
        name = self._name()
        start: dict[str, JsonValue] = {
            "type": "TOOL",
            "role": "TOOL",
            "interactive": False,
            "toolResultInputConfiguration": {"toolUseId": request, "type": "TEXT", "textInputConfiguration": {**_TEXT}},
        }
        return [
            Frame(self._content("contentStart", name, start)),
            Frame(self._content("toolResult", name, {"content": content})),
            Frame(self._content_end(name)),
        ]

    def audio_start(self) -> Frame:
        """Return the beginning of the caller's audio; it stays open to the end of the session."""
        audio: dict[str, JsonValue] = {**_PCM, "sampleRateHertz": self._rate_hz}
        start: dict[str, JsonValue] = {"type": "AUDIO", "role": "USER", "interactive": True}
        return Frame(
            self._content("contentStart", self._audio, {**start, "audioInputConfiguration": audio}), settles=True
        )

    def audio(self, samples: bytes) -> Frame:
        """Return the next of the caller's audio."""
        return Frame(b'%b%b"}}}' % (self._audio_head, b2a_base64(samples, newline=False)))

    def _content(self, event: str, name: str, more: Mapping[str, JsonValue]) -> bytes:
        return _event(event, {"promptName": self._prompt, "contentName": name, **more})

    def _content_end(self, name: str) -> bytes:
        return self._content("contentEnd", name, {})


def _voice_of(locale: str | None) -> str:
    return _VOICES.get((locale or "").partition("-")[0].lower(), DEFAULT_VOICE)


def _tool(tool: OfferedTool) -> JsonValue:
    schema = json.dumps(dict(tool.parameters), ensure_ascii=False)
    return {"toolSpec": {"name": tool.name, "description": tool.description, "inputSchema": {"json": schema}}}


def _event(name: str, body: Mapping[str, JsonValue]) -> bytes:
    event = {"event": {name: dict(body)}}
    return json.dumps(event, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
