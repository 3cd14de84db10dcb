"""Journal files: what stands in one, and how it is read back."""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Annotated, Any, cast, get_args

from pydantic import Field, JsonValue, ValidationError

from voiceagent import __version__
from voiceagent.core.codec import decode_event, to_line
from voiceagent.core.effects import AskModel, Effect, PrimePhase, RenewVoice, SwapPhase
from voiceagent.core.events import CallEnded, Event, HandedOver
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.errors import JournalError, nearest
from voiceagent.json_reader import JsonReader
from voiceagent.spec.flow import Flow

__all__ = [
    "SCHEMA",
    "Entry",
    "Journal",
    "JournalHeader",
    "JournalReading",
    "decode_effect",
    "encode_header",
    "header_of",
    "parse_journal",
    "read_journal",
]

SCHEMA = 1
"""Number of the file format. It rises when an older reader would misread a newer file."""


@dataclass(frozen=True, slots=True)
class JournalHeader:
    """The first line: everything that the decisions of the call depend on and that no event says."""

    schema: int
    version: str
    """Of the package that wrote it."""
    flow: str
    flow_sha256: str
    prompts: dict[str, str]
    """Prompt file → hash of its text."""
    tools: dict[str, str]
    """Tool → hash of what a model is told of it."""
    locale: str
    time_zone: str
    unix_ms: int
    """Wall clock when the journal was begun."""
    inherited: Inherited

    @property
    def call(self) -> CallId:
        """Whose journal it is."""
        return self.inherited.call


@dataclass(frozen=True, slots=True)
class Entry:
    """One event and what it made necessary."""

    line: int
    """Where the event stands in the file, from 1."""
    at_ms: int
    event: Event
    written: bytes
    """The event's line."""
    effects: tuple[bytes, ...]
    """The lines of its effects."""


@dataclass(frozen=True, slots=True)
class Journal:
    """A journal as read."""

    header: JournalHeader
    entries: tuple[Entry, ...]
    torn: bool
    """The last line was cut off in the middle and is left out."""

    @property
    def complete(self) -> bool:
        """Whether the call came to its end; if not, effects of the last event may be missing."""
        return not self.torn and not self.interrupted

    @property
    def handed_over(self) -> bool:
        """Whether the carrier has the caller, who may still come back."""
        return bool(self.entries) and isinstance(self.entries[-1].event, HandedOver)

    @property
    def interrupted(self) -> bool:
        """Whether the call never came to its end: the connection broke or the server died, and nobody went on."""
        return not any(isinstance(entry.event, CallEnded) for entry in self.entries)


def header_of(flow: Flow, inherited: Inherited, *, time_zone: str, unix_ms: int) -> JournalHeader:
    """Return the header of a call that begins now."""
    return JournalHeader(
        schema=SCHEMA,
        version=__version__,
        flow=flow.name,
        flow_sha256=flow.sha256,
        prompts=flow.prompt_hashes,
        tools=flow.tool_hashes,
        locale=flow.locale,
        time_zone=time_zone,
        unix_ms=unix_ms,
        inherited=inherited,
    )


def encode_header(header: JournalHeader) -> bytes:
    """Return the first line of a journal; no line break."""
    values = {field.name: getattr(header, field.name) for field in fields(header)}
    inherited = {field.name: getattr(header.inherited, field.name) for field in fields(Inherited)}
    return to_line({"journal": {**values, "inherited": inherited}})


def read_journal(path: Path) -> Journal:
    """Read a journal; a last line that was being written when the power went is left out.

    Raises JournalError, with the line, for anything else that is not a journal, and for one of another schema.
    """
    try:
        written = path.read_bytes()
    except OSError as exc:
        raise JournalError(f"{path}: {exc.strerror}") from exc
    return parse_journal(written, path)


def parse_journal(written: bytes, path: Path) -> Journal:
    """Read what stands in a journal, as `read_journal` does; `path` is what errors name."""
    reading = JournalReading(path)
    entries: list[Entry] = []
    for entry in reading.read_on(written):
        entries[-1 if entry.effects else len(entries) :] = [entry]
    if reading.header is None:
        raise JournalError(f"{path}: there is no header")
    return Journal(reading.header, tuple(entries), torn=bool(written) and not written.endswith(b"\n"))


class JournalReading:
    """Reads a journal piece by piece, for as long as somebody writes it; `path` is what errors name."""

    def __init__(self, path: Path) -> None:
        self.header: JournalHeader | None = None
        """None until its line is there."""
        self.read_bytes = 0
        """How far it was read: to the end of a line."""
        self._path = path
        self._lines = 0
        self._last: Entry | None = None

    def read_on(self, written: bytes) -> Iterator[Entry]:
        """Yield what stands in the whole lines of `written`, which follows on what was read before.

        An event is yielded as soon as its line is read, and once more for each of its effects, which is then the last
        of its `effects`. Raises JournalError, with the line, for what is not a journal, and for one of another schema.
        """
        *lines, _ = written.split(b"\n")
        for line in lines:
            self._lines += 1
            entry = None
            if self.header is None:
                self.header = _header(line, self._path)
            else:
                with _at_line(self._path, self._lines):
                    entry = self._last = _read_line(self._lines, line, self._last)
            self.read_bytes += len(line) + 1
            if entry is not None:  # whoever reads may stop here, and go on another time
                yield entry


@contextmanager
def _at_line(path: Path, number: int) -> Generator[None]:
    try:
        yield
    except JournalError as exc:
        raise JournalError(f"{path}:{number}: {exc}") from exc
    except UnicodeDecodeError as exc:
        raise JournalError(f"{path}:{number}: not UTF-8") from exc
    except RecursionError as exc:
        raise JournalError(f"{path}:{number}: nested too deeply") from exc


def _read_line(number: int, line: bytes, last: Entry | None) -> Entry:
    """Return the event of a line, or the last one with the effect of this line."""
    line.decode("utf-8")  # JSON may come in other encodings; a journal never does
    if not line.startswith(b'{"seq":'):
        at_ms, event = decode_event(line)
        return Entry(number, at_ms, event, line, ())
    if last is None:
        raise JournalError("an effect before the first event")
    decode_effect(line)
    return Entry(last.line, last.at_ms, last.event, last.written, (*last.effects, line))


# --- effects ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _EffectLine:
    seq: int
    epoch: int
    turn: int
    effect: str
    values: Annotated[dict[str, JsonValue], Field(alias="with")]


_EFFECTS: dict[str, type[Effect]] = {kind.__name__: kind for kind in get_args(Effect)}
_effect_line = JsonReader(_EffectLine)


def decode_effect(line: bytes) -> tuple[str, Mapping[str, Any]]:
    """Return the name of an effect and its values, as they stand in its line: words for the model are digests there.

    Raises JournalError where it is no line that a journal would have.
    """
    try:
        read = _effect_line.read(line, strict=True)
        kind = _EFFECTS.get(read.effect)
        if kind is None:
            raise JournalError(f"there is no effect {read.effect!r}{nearest(read.effect, _EFFECTS)}")
        _values_of(kind).read(to_line(read.values), strict=True)
    except ValidationError as exc:
        raise JournalError(_what_is_wrong(exc)) from exc
    return read.effect, read.values


@dataclass(frozen=True, slots=True)
class _Shown:
    """What a model was shown, as it is written: digests for words."""

    phase: str
    epoch: int
    tools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Asked(_Shown):
    reply: str
    ahead: bool = False


@dataclass(frozen=True, slots=True)
class _Swapped(_Shown):
    voice: str | None
    language: str = ""
    speaking_rate: float | None = None


@dataclass(frozen=True, slots=True)
class _Primed:
    phase: str
    tools: tuple[str, ...]
    voice: str | None
    language: str = ""
    speaking_rate: float | None = None


_IN_DIGESTS: dict[type[Effect], type[_Shown | _Primed]] = {
    AskModel: _Asked,
    SwapPhase: _Swapped,
    RenewVoice: _Swapped,
    PrimePhase: _Primed,
}


@cache
def _values_of(kind: type[Effect]) -> JsonReader[Any]:
    return JsonReader(_IN_DIGESTS.get(kind, kind))


def _what_is_wrong(exc: ValidationError) -> str:
    first = exc.errors(include_input=False, include_url=False)[0]
    return ": ".join(part for part in (".".join(map(str, first["loc"])), first["msg"]) if part)


# --- the header ------------------------------------------------------------------------------------------------------

_header_values = JsonReader(JournalHeader)


def _header(line: bytes, path: Path) -> JournalHeader:
    try:
        raw: Any = json.loads(line)
    except (ValueError, RecursionError) as exc:
        raise JournalError(f"{path}:1: not a line of JSON") from exc
    values: Any = cast("dict[str, Any]", raw).get("journal") if isinstance(raw, dict) else None
    if not isinstance(values, dict):
        raise JournalError(f"{path}:1: not the header of a journal")
    values = cast("dict[str, Any]", values)
    # The schema first: what else a header of another schema has in it is not known here.
    schema: Any = values.get("schema")
    if schema != SCHEMA:
        raise JournalError(f"{path}: schema {schema}; this version of voiceagent reads schema {SCHEMA}")
    try:
        return _header_values.read(to_line(values), strict=True)
    except ValidationError as exc:
        raise JournalError(f"{path}:1: {_what_is_wrong(exc)}") from exc
