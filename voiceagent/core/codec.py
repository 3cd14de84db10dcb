"""Codec: what happened in a call and what was asked for, each as one line of JSON, the same bytes in every process.

Keys stand in the order of declaration, and JSON values keep theirs: a model is shown results in the order in which they
came, so a sorted copy would replay differently. What a model was shown is written as digests; its words stand in the
events before it, and its prompt is a file with a hash in the journal's header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from functools import cache
from operator import attrgetter
from typing import Any, cast, get_args

from pydantic import ValidationError

from voiceagent.core.effects import AskModel, Effect, Message, ModelRequest, Outgoing, PrimePhase, RenewVoice, SwapPhase
from voiceagent.core.events import Event
from voiceagent.errors import JournalError, nearest
from voiceagent.json_reader import JsonReader
from voiceagent.spec.manner import Manner

__all__ = ["decode_event", "encode_event", "encode_outgoing", "to_line"]

_EVENTS: dict[str, type[Event]] = {kind.__name__: kind for kind in get_args(Event)}
_EVENT_KEYS = ("at", "event", "with")


def encode_event(event: Event, at_ms: int) -> bytes:
    """Return the line of an event that was handled at `at_ms`; no line break."""
    return to_line({"at": at_ms, "event": type(event).__name__, "with": _fields_of(event)})


def decode_event(line: bytes) -> tuple[int, Event]:
    """Return the instant and the event of a line. JournalError where it is not one that `encode_event` wrote."""
    try:
        raw: Any = json.loads(line)
    except ValueError as exc:
        raise JournalError(f"not a line of JSON: {exc}") from exc
    if not isinstance(raw, dict) or tuple(cast("dict[str, Any]", raw)) != _EVENT_KEYS:
        raise JournalError(f"an event's line has the keys {', '.join(_EVENT_KEYS)}")
    at_ms, name, values = cast("tuple[Any, Any, Any]", tuple(cast("dict[str, Any]", raw).values()))
    if type(at_ms) is not int or not isinstance(name, str) or not isinstance(values, dict):
        raise JournalError("an event's line has a number, a name and an object")
    kind = _EVENTS.get(name)
    if kind is None:
        raise JournalError(f"there is no event {name!r}{nearest(name, _EVENTS)}")
    return at_ms, _event(kind, cast("dict[str, Any]", values))


def encode_outgoing(outgoing: Outgoing) -> bytes:
    """Return the line of an effect in its envelope; no line break."""
    return to_line(
        {
            "seq": outgoing.sequence,
            "epoch": outgoing.epoch,
            "turn": outgoing.turn,
            "effect": type(outgoing.effect).__name__,
            "with": _parts_of(outgoing.effect),
        }
    )


def to_line(value: Mapping[str, object]) -> bytes:
    """Return JSON values as one canonical line of UTF-8.

    Half of a surrogate pair, which JSON from outside may contain and UTF-8 cannot, becomes `?`.
    """
    return _encoder.encode(value).encode("utf-8", "replace")


def _event(kind: type[Event], values: dict[str, Any]) -> Event:
    known = _names(kind)
    for name in values:
        if name not in known:
            raise JournalError(f"{kind.__name__} has no {name!r}{nearest(name, known)}")
    try:
        # From JSON, not from a dict: only there does "strict" take an object for a dataclass.
        return _reader(kind).read(to_line(values), strict=True)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        raise JournalError(f"{kind.__name__}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from exc


@cache
def _reader(kind: type[Event]) -> JsonReader[Event]:
    return JsonReader(kind)


@cache
def _names(kind: type[Event | Effect]) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


def _fields_of(value: Event | Effect) -> dict[str, object]:
    return {name: getattr(value, name) for name in _names(type(value))}


def _parts_of(effect: Effect) -> dict[str, object]:
    match effect:
        case AskModel(reply=reply, request=request, ahead=ahead):
            return {"reply": reply, **_shown(request), **({"ahead": True} if ahead else {})}
        case SwapPhase(request=request, manner=manner) | RenewVoice(request=request, manner=manner):
            prompt_sha256 = _sha256(request.prompt.encode("utf-8", "replace"))
            return {**_shown(request), "prompt_sha256": prompt_sha256, **_manner(manner)}
        case PrimePhase(phase=phase, prompt=prompt, tools=tools, manner=manner):
            prompt_sha256 = _sha256(prompt.encode("utf-8", "replace"))
            return {"phase": phase, "tools": tools, **_manner(manner), "prompt_sha256": prompt_sha256}
        case _:
            return _fields_of(effect)


def _manner(manner: Manner) -> dict[str, object]:
    return {"voice": manner.voice, "language": manner.language, "speaking_rate": manner.speaking_rate}


def _shown(request: ModelRequest) -> dict[str, object]:
    """Everything a model was shown, without the words."""
    return {
        "phase": request.phase,
        "epoch": request.epoch,
        "tools": request.tools,
        "unix_ms": request.unix_ms,
        "late_facts_sha256": _sha256(request.late_facts.encode("utf-8", "replace")),
        "facts_sha256": _sha256(to_line(request.facts)),
        "messages": len(request.history),
        "messages_sha256": _sha256(to_line({"messages": [_message(message) for message in request.history]})),
    }


# A model is shown dozens of messages, every time: this is the one place where the codec's speed counts.
_message = attrgetter(*(field.name for field in fields(Message)))


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _plain(value: object) -> object:
    """Take a mapping that is not a dict for one; json.dumps does the rest."""
    if isinstance(value, Mapping):
        return dict(cast("Mapping[str, object]", value))
    raise TypeError(f"{type(value).__name__} is not a JSON value")


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_plain)
