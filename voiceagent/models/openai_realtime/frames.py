"""What is sent to OpenAI Realtime: frames under ids of our own, so that an error can say which of them it is about."""

from __future__ import annotations

import json
from binascii import b2a_base64
from collections.abc import Mapping

from pydantic import JsonValue

__all__ = ["Frames", "audio_frame"]


def audio_frame(audio: bytes) -> str:
    """Return the frame of caller audio. It has no id: there are fifty a second, and an error about one says nothing."""
    payload = b2a_base64(audio, newline=False).decode("ascii")
    return f'{{"type":"input_audio_buffer.append","audio":"{payload}"}}'


class Frames:
    """Frames to be sent, in order, until they are taken."""

    def __init__(self) -> None:
        self._made = 0
        self._waiting: list[str] = []

    def add(self, kind: str, **fields: JsonValue) -> str:
        """Add a frame, and return its id."""
        event_id = self._id(kind.rpartition(".")[2])
        self._waiting.append(_text({"type": kind, "event_id": event_id, **fields}))
        return event_id

    def add_item(self, item: Mapping[str, JsonValue]) -> str:
        """Add a frame that adds an item to the conversation, and return the id of both."""
        item_id = self._id("told")
        frame = {"type": "conversation.item.create", "event_id": item_id, "item": {"id": item_id, **item}}
        self._waiting.append(_text(frame))
        return item_id

    def take(self) -> tuple[str, ...]:
        """Return what is to be sent; it is forgotten here."""
        taken = tuple(self._waiting)
        self._waiting.clear()
        return taken

    def _id(self, what: str) -> str:
        self._made += 1
        return f"{what}_{self._made}"


def _text(frame: Mapping[str, JsonValue]) -> str:
    return json.dumps(frame, separators=(",", ":"))
