"""Codec: what happened in a call and what was asked for, each as one line of JSON, the same bytes in every process.

Keys stand in the order of declaration, and JSON values keep theirs: a model is shown results in the order in which they
came, so a sorted copy would replay differently. What a model was shown is written as digests; its words stand in the
events before it, and its prompt is a file with a hash in the journal's header.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from functools import cache
from json.encoder import encode_basestring
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
    return _utf8(f'{{"at":{at_ms},"event":"{type(event).__name__}","with":{_json_of(event)}}}')


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
    effect = outgoing.effect
    parts = _parts_of(effect)
    written = _json_of(effect) if parts is None else _encoder.encode(parts)
    envelope = f'{{"seq":{outgoing.sequence},"epoch":{outgoing.epoch},"turn":{outgoing.turn},'
    return _utf8(f'{envelope}"effect":"{type(effect).__name__}","with":{written}}}')


def to_line(value: Mapping[str, object]) -> bytes:
    """Return JSON values as one canonical line of UTF-8.

    Half of a surrogate pair, which JSON from outside may contain and UTF-8 cannot, becomes `?`.
    """
    return _utf8(_encoder.encode(value))


def _utf8(line: str) -> bytes:
    return line.encode("utf-8", "replace")


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


@cache
def _keys(kind: type[Event | Effect]) -> tuple[tuple[str, str], ...]:
    """Return the names of the fields, each with what stands before its value."""
    names = _names(kind)
    return tuple((name, f'{"," if number else ""}"{name}":') for number, name in enumerate(names))


def _json_of(value: Event | Effect) -> str:
    """Return the fields as `json` would write them, without asking it for what is written in one way only.

    Encoding holds up the calls: Python runs one thread at a time.
    """
    line = "{"
    for name, key in _keys(type(value)):
        part: object = getattr(value, name)
        line += key + _written.get(type(part), _encoder.encode)(part)
    return line + "}"


def _parts_of(effect: Effect) -> dict[str, object] | None:
    """Return what is written of an effect that is not written as it is."""
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
            return None


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
_written: dict[type, Callable[[Any], str]] = {
    str: encode_basestring,
    int: int.__repr__,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}
"""How `json` writes values of exactly these types."""
