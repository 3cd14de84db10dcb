"""Reads fields of unknown type out of what a realtime server sends: it may be any server, and any version of it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import cast

__all__ = [
    "FATAL",
    "PLAIN",
    "UNNEEDED",
    "Fields",
    "MalformedError",
    "code_of",
    "identity",
    "is_about_what_was_sent",
    "mapping",
    "number",
    "parsed",
    "sequence",
    "text",
]

PLAIN = re.compile(r"[A-Za-z][A-Za-z0-9_.]{0,63}")
"""A word of the protocol's own; anything else might be words of the caller's, or a key."""

FATAL: Mapping[str, bool] = {
    "session_expired": False,
    "session_limit_reached": False,
    "insufficient_quota": True,
    "invalid_api_key": True,
    "invalid_model": True,
    "model_not_found": True,
}
"""Errors that end a session though they are about no frame of ours → whether another one would fare the same."""
UNNEEDED = frozenset({
    "conversation.created",
    "conversation.item.deleted",
    "conversation.item.input_audio_transcription.segment",
    "conversation.item.retrieved",
    "conversation.item.truncated",
    "input_audio_buffer.cleared",
    "input_audio_buffer.committed",
    "input_audio_buffer.dtmf_event_received",
    "input_audio_buffer.timeout_triggered",
    "output_audio_buffer.cleared",
    "output_audio_buffer.started",
    "output_audio_buffer.stopped",
    "rate_limits.updated",
    "response.content_part.added",
    "response.content_part.done",
    "response.function_call_arguments.delta",
    "response.function_call_arguments.done",
    "response.output_audio.done",
    "response.output_audio_transcript.done",
    "response.output_text.done",
    "session.created",
})  # fmt: skip
"""What repeats something else, is for WebRTC, or is ours to decide: whether the caller speaks, for one."""

Fields = Mapping[str, object]


class MalformedError(Exception):
    """A frame lacks what its kind must have."""


def parsed(message: str | bytes) -> Fields | None:
    """Return the fields of a frame; None where it has none."""
    try:
        return mapping(json.loads(message))
    except (ValueError, RecursionError):
        return None


def mapping(value: object) -> Fields | None:
    """Return an object as one, and anything else as None."""
    return cast("Fields", value) if isinstance(value, dict) else None


def sequence(value: object) -> Sequence[object]:
    """Return a list as one, and anything else as an empty one."""
    return cast("Sequence[object]", value) if isinstance(value, list) else ()


def text(value: object) -> str:
    """Return text that can be encoded again: a lone surrogate cannot, and would break whoever stores it."""
    return value.encode("utf-8", "replace").decode("utf-8") if isinstance(value, str) else ""


def identity(fields: Fields | None, name: str) -> str:
    """Return an id, or a name. Raises MalformedError where there is none."""
    value = text(fields.get(name)) if fields is not None else ""
    if not value:
        raise MalformedError
    return value


def number(value: object) -> int:
    """Return a count; 0 for what is none."""
    return value if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**15 else 0


def code_of(error: Fields) -> str:
    """Return an error's code, or its type, as far as it is a plain name: a message may repeat the caller or a key."""
    for name in ("code", "type"):
        value = error.get(name)
        if isinstance(value, str) and PLAIN.fullmatch(value):
            return value
    return "unnamed"


def is_about_what_was_sent(error: Fields) -> bool:
    """Say whether an error is about what was sent: sent again it would be refused again."""
    return error.get("type") == "invalid_request_error"
