"""A call in the list of calls: what is said of it before anybody looks at it, read from the two ends of its journal."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from io import BufferedReader
from pathlib import Path
from typing import Any, Literal, cast

from voiceagent.console.call_file import DAMAGE
from voiceagent.runtime.journal_file import SCHEMA

__all__ = ["CallRow", "read_row"]

_PIECE_BYTES = 64 * 1024
_LONGEST_HEADER = 1_000_000
_LATEST_UNIX_MS = 253_402_300_799_000
"""The end of the year 9999: no calendar here knows a later one."""
_ENDED = re.compile(rb'"event":"CallEnded","with":\{"reason":("(?:[^"\\]|\\.)*")')
_AT = re.compile(rb'^\{"at":(\d+)', re.MULTILINE)

State = Literal["live", "over", "broken off", "unreadable"]


@dataclass(frozen=True, slots=True)
class CallRow:
    """A call in a list. Nothing in it was said by anybody."""

    id: str
    """The name of its files, without what comes after the dot."""
    flow: str
    began_unix_ms: int
    duration_ms: int
    state: State
    phase: str
    """Where it stands, or stood last."""
    ended: str
    """Why it ended, or cannot be read."""


def read_row(path: Path, *, before: CallRow | None = None, before_bytes: int = 0) -> CallRow:
    """Read what a list says of a call, which was this `before`, when its journal had so many bytes. Raises OSError."""
    try:
        with path.open("rb") as journal:
            return _read(path, journal, before, before_bytes)
    except DAMAGE as exc:
        return _unreadable(path, f"what stands in it is no call's ({type(exc).__name__})")


def _read(path: Path, journal: BufferedReader, before: CallRow | None, before_bytes: int) -> CallRow:
    header = journal.readline(_LONGEST_HEADER)
    first = journal.readline(_LONGEST_HEADER)
    end_bytes = journal.seek(0, 2)
    journal.seek(max(0, end_bytes - _PIECE_BYTES))
    tail = journal.read()
    values = _header_values(header)
    if values is None:
        return _unreadable(path, "its first line is not the header of a journal")
    flow, began_ms = _text(values.get("flow", "")), values.get("unix_ms", 0)
    began_ms = began_ms if isinstance(began_ms, int) and 0 <= began_ms <= _LATEST_UNIX_MS else 0
    if values.get("schema") != SCHEMA:
        why = _text(f"schema {values.get('schema')}; this version of voiceagent reads schema {SCHEMA}")
        return CallRow(path.stem, flow, began_ms, 0, "unreadable", "", why)
    ended, instants, zero = _ENDED.findall(tail), _AT.findall(tail), _AT.match(first)
    lasted_ms = int(instants[-1]) - int(zero[1]) if instants and zero else 0
    reason = _text(json.loads(ended[-1])) if ended else ""
    known = before if before is not None and before_bytes <= end_bytes else None
    phase = _last_phase(journal, end_bytes, before_bytes if known else 0) or (known.phase if known else "")
    return CallRow(path.stem, flow, began_ms, max(0, lasted_ms), "over" if ended else "live", phase, reason)


def _unreadable(path: Path, why: str) -> CallRow:
    return CallRow(path.stem, "", int(path.stat().st_mtime * 1_000), 0, "unreadable", "", why)


def _last_phase(journal: BufferedReader, end_bytes: int, before_bytes: int) -> str:
    """Return the phase that was entered last, looked for from the end; empty where none was in what is new."""
    at, least, cut = end_bytes, max(0, before_bytes - _PIECE_BYTES), b""
    while at > least:
        begin = max(least, at - _PIECE_BYTES)
        journal.seek(begin)
        cut, *lines = (journal.read(at - begin) + cut).split(b"\n")
        for line in reversed(lines):
            if b'"SwapPhase"' in line and (phase := _phase_of(line)):
                return phase
        at = begin
    return ""


def _phase_of(line: bytes) -> str:
    try:
        match json.loads(line):
            case {"effect": "SwapPhase", "with": {"phase": str(phase)}}:
                return _text(phase)
            case _:
                return ""
    except (ValueError, RecursionError):  # a line that is being written, or was damaged
        return ""


def _text(value: object) -> str:
    """Return what can be sent: half a character can be written in JSON, and nowhere else."""
    return str(value).encode("utf-8", "replace").decode()


def _header_values(line: bytes) -> dict[str, Any] | None:
    try:
        raw: Any = json.loads(line)
    except (ValueError, RecursionError):
        return None
    values: Any = cast("dict[str, Any]", raw).get("journal") if isinstance(raw, dict) else None
    return cast("dict[str, Any]", values) if isinstance(values, dict) else None
