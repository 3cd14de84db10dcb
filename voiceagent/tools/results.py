"""Results: what a tool has returned, as the JSON that the journal, the model and the conversation are shown."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import fields, is_dataclass
from itertools import chain
from typing import cast

from pydantic import BaseModel, JsonValue

from voiceagent.spec.tool import Tool

__all__ = ["NotJson", "TooLarge", "as_json", "at_least_bytes", "without_halves"]

_IN_PASSING_BYTES = 16_384
"""More than that is put into words on a thread: the event loop speaks for all calls."""
_HALF_A_PAIR = re.compile("[\ud800-\udfff]")
_NO_MORE = object()


class TooLarge(Exception):
    """The result is longer than the flow allows."""


class NotJson(Exception):
    """The result has something in it that JSON has no words for; the message names the kind of error only."""


async def as_json(tool: Tool, value: object, *, most_bytes: int) -> JsonValue:
    """Return a result through JSON and back: what the journal will say is what the conversation is told.

    What is plainly too large is not even begun. Raises TooLarge, NotJson.
    """
    least_bytes = at_least_bytes(value, enough=most_bytes)
    if least_bytes > most_bytes:
        raise TooLarge
    if least_bytes > _IN_PASSING_BYTES:
        return await asyncio.to_thread(_through_json, tool, value, most_bytes)
    return _through_json(tool, value, most_bytes)


def without_halves(text: str) -> str:
    """Return text with halves of surrogate pairs, which cannot be encoded, replaced."""
    return _HALF_A_PAIR.sub("?", text)


def _through_json(tool: Tool, value: object, most_bytes: int) -> JsonValue:
    try:
        text = json.dumps(tool.result.dump_python(value, mode="json"), ensure_ascii=False, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as exc:
        raise NotJson(type(exc).__name__) from exc
    if len(text.encode("utf-8", "replace")) > most_bytes:
        raise TooLarge
    return cast("JsonValue", json.loads(without_halves(text)))


def at_least_bytes(value: object, *, enough: int) -> int:
    """Return how many bytes of JSON a value takes at the least; it stops counting beyond `enough`."""
    total = 0
    waiting: list[Iterator[object]] = [iter((value,))]
    while waiting and total <= enough:
        item = next(waiting[-1], _NO_MORE)
        if item is _NO_MORE:
            waiting.pop()
            continue
        total += len(item) if isinstance(item, str | bytes | bytearray) else 1
        if (inside := _parts(item)) is not None:
            waiting.append(inside)
    return total


def _parts(item: object) -> Iterator[object] | None:
    match item:
        case str() | bytes() | bytearray():
            return None
        case BaseModel():
            shown = [name for name, field in type(item).model_fields.items() if not field.exclude]
            return (getattr(item, name) for name in shown)
        case Mapping():
            mapping = cast("Mapping[object, object]", item)
            return chain(mapping.keys(), mapping.values())
        case Collection():
            return iter(cast("Collection[object]", item))
        case _ if is_dataclass(item) and not isinstance(item, type):
            return (getattr(item, field.name) for field in fields(item))
        case _:
            return None
