"""Cassettes: a live model is recorded once; then the recording answers, until something it was shown changes.

A cassette is a file of JSON lines: a header, then one line per reply with what the model was shown and what it said.
What decides is what was shown (prompt, late facts, tools with their schemas, history), not when: times and counters are
left out, so that a recording outlives a change of pace and no change of words.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import asdict, dataclass, field
from difflib import SequenceMatcher
from pathlib import Path
from typing import cast

from pydantic import JsonValue, TypeAdapter, ValidationError

from voiceagent.core.effects import ModelRequest
from voiceagent.errors import OperatorError, ScriptError, Source
from voiceagent.ports import ReplyDone, ReplyModel, ReplyModelEngine, ReplyPiece, SentText, ToolRequest
from voiceagent.spec.flow import Flow

__all__ = ["CassetteModels", "RecordingModels"]

_SCHEMA = 1
_KINDS: dict[str, type[ReplyPiece]] = {kind.__name__: kind for kind in (SentText, ToolRequest, ReplyDone)}
_MOST_BYTES = 64 * 1024 * 1024

Shown = dict[str, JsonValue]


@dataclass(frozen=True, slots=True)
class _Recorded:
    """One reply, and what it answered."""

    shown: Shown
    pieces: tuple[ReplyPiece, ...]


class _Tape:
    """Recorded replies in their order, found by what they answered."""

    def __init__(self) -> None:
        self.replies: list[_Recorded] = []
        self._by_key: dict[str, list[_Recorded]] = {}

    def add(self, recorded: _Recorded) -> None:
        self.replies.append(recorded)
        self._by_key.setdefault(_key(recorded.shown), []).append(recorded)

    def answers_to(self, shown: Shown) -> list[_Recorded]:
        """Return every reply to the same request, the first first."""
        return self._by_key.get(_key(shown), [])


class RecordingModels:
    """Asks another engine and records what it says; fulfils `ReplyModelEngine`.

    A call that shows what an earlier one has shown gets what that one got, as it will from the cassette: two calls that
    begin alike would otherwise be recorded with two beginnings, of which a cassette can tell only one.
    """

    def __init__(self, engine: ReplyModelEngine, path: Path) -> None:
        """Take the engine over; the cassette is written when this is closed. Replies that failed are not in it."""
        self._engine = engine
        self._path = path
        self._tape = _Tape()

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> ReplyModel:
        """Return a handle for one call of this flow."""
        return _RecordingModel(flow, self._engine.open(flow, locale=locale, time_zone=time_zone), self._tape)

    async def close(self) -> None:
        """Release the engine and write the cassette. OperatorError where it cannot be written."""
        await self._engine.close()
        await asyncio.to_thread(self.write)

    def write(self) -> None:
        """Write what has been recorded so far. OperatorError where the file cannot be written."""
        header = {"cassette": _SCHEMA, "replies": len(self._tape.replies)}
        lines = [header, *(_line(recorded) for recorded in self._tape.replies)]
        text = "".join(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n" for line in lines)
        try:
            self._path.write_text(text, encoding="utf-8")
        except OSError as exc:
            raise OperatorError(f"{self._path} cannot be written: {exc.strerror}") from exc


@dataclass(slots=True)
class _RecordingModel:
    _flow: Flow
    _model: ReplyModel
    _tape: _Tape
    _used: dict[str, int] = field(default_factory=dict[str, int])

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Stream the reply, and keep it once it is whole."""
        shown = _shown(self._flow, request)
        known = self._tape.answers_to(shown)[self._used.get(_key(shown), 0) :]
        self._used[_key(shown)] = self._used.get(_key(shown), 0) + 1
        if known:
            for piece in known[0].pieces:
                yield piece
            return
        pieces: list[ReplyPiece] = []
        async for piece in self._model.reply(request):
            pieces.append(piece)
            if isinstance(piece, ReplyDone):
                self._tape.add(_Recorded(shown, tuple(pieces)))
            yield piece

    async def close(self) -> None:
        """Forget this call."""
        await self._model.close()


class CassetteModels:
    """Answers from a recording; fulfils `ReplyModelEngine`. A request that was not recorded is a ScriptError."""

    def __init__(self, path: Path) -> None:
        """Read the cassette. ScriptError, with file and line, for what is none."""
        self._path = path
        self._tape = _read(path)

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> ReplyModel:
        """Return a handle for one call of this flow; every call begins with the first recording of a request."""
        del locale, time_zone
        return _CassetteModel(flow, self._tape, self._path)

    async def close(self) -> None:
        """Nothing is held."""


@dataclass(slots=True)
class _CassetteModel:
    _flow: Flow
    _tape: _Tape
    _path: Path
    _used: dict[str, int] = field(default_factory=dict[str, int])

    async def reply(self, request: ModelRequest) -> AsyncIterator[ReplyPiece]:
        """Yield what the model said to this request; asked the same again, what it said then, the last for ever."""
        shown = _shown(self._flow, request)
        key = _key(shown)
        matching = self._tape.answers_to(shown)
        if not matching:
            raise ScriptError(self._what_changed(shown), source=Source(str(self._path)))
        number = self._used.get(key, 0)
        self._used[key] = number + 1
        for piece in matching[min(number, len(matching) - 1)].pieces:
            yield piece

    async def close(self) -> None:
        """Nothing is held."""

    def _what_changed(self, shown: Shown) -> str:
        phase = shown["phase"]
        there = [recorded for recorded in self._tape.replies if recorded.shown["phase"] == phase]
        if not there:
            return f"nothing was recorded in phase {phase!r}: record the cassette again"
        text = _key(shown)
        nearest = max(there, key=lambda recorded: SequenceMatcher(None, _key(recorded.shown), text).quick_ratio())
        return f"the recording is out of date: in phase {phase!r} {_difference(nearest.shown, shown, '')}"


def _shown(flow: Flow, request: ModelRequest) -> Shown:
    """Return what a model was shown, as JSON: all that its answer may depend on, but for the time of day."""
    phase = flow.by_name[request.phase]
    moves = flow.requests_of(phase)
    tools: dict[str, JsonValue] = {}
    for name in request.tools:
        tool = flow.tool_of(phase, name)
        tools[name] = (
            {"description": tool.description, "parameters": tool.parameters} if tool else moves[name].description
        )
    history: list[JsonValue] = [
        {"role": message.role, "text": message.text, "tool": message.tool, "failed": message.failed}
        for message in request.history
    ]
    return {
        "phase": request.phase,
        "prompt": request.prompt,
        "late_facts": request.late_facts,
        "tools": tools,
        "history": history,
    }


def _key(shown: Shown) -> str:
    return json.dumps(shown, sort_keys=True, ensure_ascii=False)


def _difference(recorded: JsonValue, asked: JsonValue, where: str) -> str:
    """Return the first place in which two requests differ, and how."""
    match recorded, asked:
        case dict(), dict():
            for name in dict.fromkeys([*recorded, *asked]):
                inside = f"{where}.{name}" if where else name
                if name not in recorded:
                    return f"`{inside}` is new"
                if name not in asked:
                    return f"`{inside}` is gone"
                if recorded[name] != asked[name]:
                    return _difference(recorded[name], asked[name], inside)
        case list(), list():
            for number, (one, other) in enumerate(zip(recorded, asked, strict=False)):
                if one != other:
                    return _difference(one, other, f"{where}[{number}]")
            return f"`{where}` has {len(asked)} entries, not {len(recorded)}"
        case _:
            pass
    return f"`{where}` is {_short(asked)}, not {_short(recorded)}"


def _short(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 120 else f"{text[:117]}…"


# --- the file --------------------------------------------------------------------------------------------------------


def _line(recorded: _Recorded) -> dict[str, object]:
    said = [{"piece": type(piece).__name__, "with": asdict(piece)} for piece in recorded.pieces]
    return {"shown": recorded.shown, "said": said}


_LINE: TypeAdapter[tuple[Shown, list[dict[str, object]]]] = TypeAdapter(tuple[Shown, list[dict[str, object]]])


def _read(path: Path) -> _Tape:
    try:
        if path.stat().st_size > _MOST_BYTES:
            raise ScriptError(f"a cassette of more than {_MOST_BYTES >> 20} MB", source=Source(str(path)))
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as exc:
        raise ScriptError(f"cannot be read: {exc.strerror}", source=Source(str(path))) from exc
    except UnicodeDecodeError as exc:
        raise ScriptError("not a cassette: it is not text", source=Source(str(path))) from exc
    if not lines or _json(lines[0], path, 1).get("cassette") != _SCHEMA:
        raise ScriptError(f"not a cassette of schema {_SCHEMA}", source=Source(str(path), 1))
    tape = _Tape()
    for number, line in enumerate(lines[1:], start=2):
        tape.add(_recorded(_json(line, path, number), path, number))
    return tape


def _json(line: str, path: Path, number: int) -> Mapping[str, object]:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise ScriptError(f"not a line of JSON: {exc}", source=Source(str(path), number)) from exc
    if not isinstance(value, dict):
        raise ScriptError("not an object", source=Source(str(path), number))
    return cast("Mapping[str, object]", value)


def _recorded(line: Mapping[str, object], path: Path, number: int) -> _Recorded:
    try:
        shown, said = _LINE.validate_python((line.get("shown"), line.get("said")))
        pieces = tuple(_piece(piece) for piece in said)
    except (ValidationError, KeyError) as exc:
        raise ScriptError("not a recorded reply", source=Source(str(path), number)) from exc
    return _Recorded(shown, pieces)


def _piece(piece: Mapping[str, object]) -> ReplyPiece:
    return TypeAdapter(_KINDS[str(piece["piece"])]).validate_python(piece["with"])
