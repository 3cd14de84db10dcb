"""A session of Nova Sonic without a socket, and the provider's side of it."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Sequence
from itertools import count
from typing import Any

from voiceagent.core.effects import Message
from voiceagent.core.ids import Epoch
from voiceagent.models.nova.protocol import NovaProtocol
from voiceagent.ports import AudioFormat, OfferedTool, SessionSetup, SpeechModelEvent

PCM_8K = AudioFormat("pcm16", 8_000)
PCM_16K = AudioFormat("pcm16", 16_000)
FRAME = 1_024
"""Bytes of 32 ms at 16 kHz."""
TOOL = OfferedTool("get_balance", "Look up a balance.", {"type": "object", "properties": {"account": {}}})

_numbers = count(1)


def setup(**changed: Any) -> SessionSetup:
    made: dict[str, Any] = {
        "epoch": Epoch(1),
        "prompt": "You are a bank.",
        "late_facts": "",
        "tools": (TOOL,),
        "voice": None,
        "audio_in": PCM_16K,
        "audio_out": PCM_8K,
    }
    return SessionSetup(**{**made, **changed})


def said(role: str, text: str, **more: Any) -> Message:
    return Message(number=next(_numbers), role=role, text=text, epoch=Epoch(1), **more)  # type: ignore[arg-type] - fields by their names


def result(request: str, text: str, **more: Any) -> Message:
    return said("tool_result", text, request=request, tool="get_balance", **more)


class Session:
    """A codec, and the words of both sides."""

    def __init__(self, given: SessionSetup | None = None) -> None:
        self.codec = NovaProtocol(given or setup(), session=uuid.UUID(int=1))
        self._contents = 0

    def sent(self) -> list[tuple[str, dict[str, Any]]]:
        """What is to be sent, as the provider reads it."""
        events: list[tuple[str, dict[str, Any]]] = []
        for frame in self.codec.take_frames():
            ((name, body),) = json.loads(frame.payload)["event"].items()
            events.append((name, body))
        return events

    def sent_texts(self) -> list[tuple[str, bool, str]]:
        """Role, interactive, words, of the texts that are to be sent."""
        texts: list[tuple[str, bool, str]] = []
        for name, body in self.sent():
            if name == "contentStart" and body["type"] == "TEXT":
                texts.append((body["role"], body["interactive"], ""))
            elif name == "textInput":
                texts[-1] = (*texts[-1][:2], texts[-1][2] + body["content"])
        return texts

    def sent_results(self) -> list[tuple[str, Any]]:
        """Request and content of the results that are to be sent."""
        results: list[tuple[str, Any]] = []
        for name, body in self.sent():
            if name == "contentStart" and body["type"] == "TOOL":
                results.append((body["toolResultInputConfiguration"]["toolUseId"], None))
            elif name == "toolResult":
                results[-1] = (results[-1][0], json.loads(body["content"]))
        return results

    def hears(self, frames: int = 2) -> None:
        self.codec.hear(bytes(FRAME) * frames)
        self.codec.take_frames()

    def get(self, name: str, **body: Any) -> None:
        self.codec.receive(json.dumps({"event": {name: body}}).encode())

    def start(self, kind: str, role: str, stage: str | None = None) -> str:
        self._contents += 1
        identity = f"c{self._contents}"
        more = {} if stage is None else {"additionalModelFields": json.dumps({"generationStage": stage})}
        self.get("contentStart", contentId=identity, type=kind, role=role, **more)
        return identity

    def end(self, identity: str, stop: str = "PARTIAL_TURN") -> None:
        self.get("contentEnd", contentId=identity, stopReason=stop)

    def text(self, role: str, stage: str, words: str, stop: str = "PARTIAL_TURN") -> None:
        identity = self.start("TEXT", role, stage)
        self.get("textOutput", contentId=identity, role=role, content=words)
        self.end(identity, stop)

    def speak(self, audio: bytes, stop: str = "END_TURN") -> None:
        identity = self.start("AUDIO", "ASSISTANT")
        self.audio(identity, audio)
        self.end(identity, stop)

    def audio(self, identity: str, audio: bytes) -> None:
        self.get("audioOutput", contentId=identity, content=base64.b64encode(audio).decode())

    def use_tool(self, request: str, arguments: str = "{}") -> None:
        identity = self.start("TOOL", "TOOL")
        self.get("toolUse", contentId=identity, toolUseId=request, toolName="get_balance", content=arguments)
        self.end(identity, "TOOL_USE")

    def reply(self, words: str = "Hello.", audio: bytes = b"\1\0") -> None:
        self.text("ASSISTANT", "SPECULATIVE", words)
        self.speak(audio)

    def happened(self) -> list[SpeechModelEvent]:
        return self.codec.take_events()


def kinds(events: Sequence[tuple[str, dict[str, Any]]]) -> list[str]:
    return [f"{name} {body['type']}" if name == "contentStart" else name for name, body in events]


TEXT = ["contentStart TEXT", "textInput", "contentEnd"]
