"""Journal files: what stands in one, and how it is read back."""

from __future__ import annotations

import json
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, cast

from pydantic import TypeAdapter, ValidationError

from voiceagent import __version__
from voiceagent.core.codec import decode_event, to_line
from voiceagent.core.events import CallEnded, Event
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.errors import JournalError
from voiceagent.spec.flow import Flow

__all__ = ["SCHEMA", "Entry", "Journal", "JournalHeader", "encode_header", "header_of", "read_journal"]

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
        return not self.torn and any(isinstance(entry.event, CallEnded) for entry in self.entries)


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
        *lines, rest = path.read_bytes().split(b"\n")
    except OSError as exc:
        raise JournalError(f"{path}: {exc.strerror}") from exc
    if not lines:
        raise JournalError(f"{path}: there is no header")
    header = _header(lines[0], path)
    entries: list[Entry] = []
    for number, line in enumerate(lines[1:], start=2):
        if line.startswith(b'{"seq":'):
            if not entries:
                raise JournalError(f"{path}:{number}: an effect before the first event")
            last = entries[-1]
            entries[-1] = Entry(last.line, last.at_ms, last.event, last.written, (*last.effects, line))
            continue
        try:
            at_ms, event = decode_event(line)
        except JournalError as exc:
            raise JournalError(f"{path}:{number}: {exc}") from exc
        entries.append(Entry(number, at_ms, event, line, ()))
    return Journal(header, tuple(entries), torn=bool(rest))


_header_values: TypeAdapter[JournalHeader] = TypeAdapter(JournalHeader)


def _header(line: bytes, path: Path) -> JournalHeader:
    try:
        raw: Any = json.loads(line)
    except ValueError as exc:
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
        return _header_values.validate_json(to_line(values), strict=True)
    except ValidationError as exc:
        first = exc.errors(include_input=False, include_url=False)[0]
        raise JournalError(f"{path}:1: {'.'.join(map(str, first['loc']))}: {first['msg']}") from exc
