"""Shape: how a carrier writes its media messages, learnt from one of them so that the others need not be parsed.

A carrier's media messages differ in a few numbers and in their audio, and in nothing else: not in the order of their
fields, not in a space. What is learnt is a pattern of all messages of the same shape as one that was parsed. A message
that it matches says what the parser would have said; of any other the pattern says nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import cast

from voiceagent.telephony.wire_json import MAX_MESSAGE_CHARS, as_mapping, as_number, is_id

__all__ = ["MediaShape", "Slots"]

Slots = tuple[str, str, str, str]
"""Payload, stream, chunk and timestamp of a media message; empty where it has no such field, or none to be read."""

_LESSONS = 4
"""A carrier that begins otherwise than it goes on is learnt once more; one that always changes is parsed."""
_MOST_CHARS = 1_024
"""Of a message without its audio: carriers need 200."""
_SPACING = ((",", ":"), (", ", ": "))
_SLOTS = ("payload", "stream", "chunk", "timestamp")
_PAYLOAD = '"(?P<payload>[^"]*)"'
"""Whoever decodes it refuses what is no base64, an escaped character for one."""
_STREAM = '"(?P<stream>[A-Za-z0-9_-]{1,64})"'


class MediaShape:
    """The shape of one connection's media messages, once one of them has been parsed."""

    __slots__ = ("_lessons", "_pattern", "_places", "_sequence", "_stream")

    def __init__(self, *, stream: str, sequence: str) -> None:
        """These are what the dialect calls the stream's id and the sequence number, which nobody reads."""
        self._stream = stream
        self._sequence = sequence
        self._lessons = _LESSONS
        self._pattern: re.Pattern[str] | None = None
        self._places: tuple[int, ...] = ()

    def read(self, message: str) -> Slots | None:
        """Return what a message has in its slots; None where it is of another shape, or too long to be read at all.

        It is as the parser would have it if the payload is base64, and not otherwise: then it may be no message at all.
        """
        if self._pattern is None or len(message) > MAX_MESSAGE_CHARS:
            return None
        found = self._pattern.fullmatch(message)
        return cast("Slots", found.group(*self._places)) if found is not None else None

    def learn(self, message: str, fields: Mapping[str, object]) -> None:
        """Learn the shape of a media message that was parsed and found good, if it is written plainly."""
        media = as_mapping(fields.get("media")) or {}
        payload = media.get("payload")
        if not self._lessons or not isinstance(payload, str) or len(message) - len(payload) > _MOST_CHARS:
            return
        self._lessons -= 1
        for between, colon in _SPACING:
            # Written so, every field is there once and nothing is escaped: what looks like it is read like it.
            if _written(fields, between, colon) == message:
                self._pattern = self._pattern_of(fields, media, between, colon)
                self._places = tuple(self._pattern.groupindex[slot] for slot in _SLOTS)

    def _pattern_of(
        self, fields: Mapping[str, object], media: Mapping[str, object], between: str, colon: str
    ) -> re.Pattern[str]:
        inner = {
            "payload": _PAYLOAD,
            "chunk": _number(media.get("chunk"), "?P<chunk>"),
            "timestamp": _number(media.get("timestamp"), "?P<timestamp>"),
        }
        outer = {
            "media": _object(media, inner, between, colon),
            self._stream: _STREAM if is_id(fields.get(self._stream)) else None,
            self._sequence: _number(fields.get(self._sequence), "?:"),
        }
        pattern = _object(fields, outer, between, colon)
        missing = (f"(?P<{slot}>)" for slot in _SLOTS if f"(?P<{slot}>" not in pattern)
        return re.compile(pattern + "".join(missing))


def _written(value: object, between: str, colon: str) -> str | None:
    try:
        return json.dumps(value, separators=(between, colon))
    except RecursionError:  # brackets 10^3 deep
        return None


def _object(fields: Mapping[str, object], slots: Mapping[str, str | None], between: str, colon: str) -> str:
    """Return a pattern of objects that have these fields in this order, with these values where there is no slot."""
    literal = partial(json.dumps, separators=(between, colon))
    members = (
        f"{re.escape(literal(name))}{re.escape(colon)}{slots.get(name) or re.escape(literal(value))}"
        for name, value in fields.items()
    )
    return rf"\{{{re.escape(between).join(members)}\}}"


def _number(value: object, group: str) -> str | None:
    """Return a pattern of numbers that are written like this one and can be read; None where it cannot."""
    if as_number(value) is None:
        return None
    return f'"({group}[0-9]{{1,15}})"' if isinstance(value, str) else f"({group}0|[1-9][0-9]{{0,14}})"
