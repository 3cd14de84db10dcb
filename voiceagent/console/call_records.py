"""The calls that the pages show: those whose journals lie in the server's folder, whichever worker writes them.

Everything is read from the files, in threads of its own. A call that is looked at does nothing for it and knows nothing
of it; where nobody looks nothing is read.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os import DirEntry, scandir
from pathlib import Path
from threading import Event
from typing import Any, Literal, cast

from voiceagent.console.call_file import DAMAGE, CallFile, Resting
from voiceagent.console.masking import words_in
from voiceagent.ports import Clock
from voiceagent.runtime.journal_file import SCHEMA
from voiceagent.spec.flow import Flow

__all__ = ["CallRecords", "CallRow", "Found"]

_TAIL_BYTES = 64 * 1024
_LONGEST_HEADER = 1_000_000
_LATEST_UNIX_MS = 253_402_300_799_000
"""The end of the year 9999: no calendar here knows a later one."""
_LEFT_AFTER_S = 120
"""Something happens in every call that goes on: the caller speaks, or is asked whether they are there."""
_LISTED_FOR_MS = 1_000
_MOST_OPEN = 16
"""Calls that are kept read: opening one of four hours takes seconds."""
_MOST_FOUND = 50
_PHASE = re.compile(rb'"effect":"SwapPhase","with":\{"phase":"([^"]*)"')
_ENDED = re.compile(rb'"event":"CallEnded","with":\{"reason":("(?:[^"\\]|\\.)*")')
_AT = re.compile(rb'^\{"at":(\d+)', re.MULTILINE)
_IS_RECORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")

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


@dataclass(frozen=True, slots=True)
class Found:
    """A call in which what was searched for is told, and where."""

    row: CallRow
    at_ms: int
    text: str


@dataclass(slots=True)
class CallRecords:
    """A folder of journals, and of the recordings beside them or in a folder of their own."""

    journals: Path
    recordings: Path | None
    flows: Callable[[], Mapping[str, Flow]]
    """Those that are served now, by the names of agents."""
    clock: Clock
    _rows: dict[str, tuple[tuple[int, int], CallRow]] = field(
        default_factory=dict[str, tuple[tuple[int, int], CallRow]]
    )
    _listed: tuple[int, list[CallRow]] | None = None
    _open: dict[str, CallFile] = field(default_factory=dict[str, CallFile])
    _copies: dict[str, Flow] = field(default_factory=dict[str, Flow])
    reader: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="console")
    )
    """The one thread in which `rows`, `opened` and what it returns may be used; it begins when it is needed first."""
    searcher: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="console-search")
    )
    """The one thread in which is searched: a search of minutes holds up nobody who looks at a call, and no call."""
    _closed: Event = field(default_factory=Event)

    def forget(self) -> None:
        """Keep nothing that was said: nobody looks any more."""
        self._open.clear()

    def close(self) -> None:
        """Read nothing more."""
        self._closed.set()
        for executor in (self.reader, self.searcher):
            executor.shutdown(wait=False, cancel_futures=True)

    @property
    def where(self) -> str:
        """Whose calls these are, for whoever wonders where another one is."""
        return f"the calls of all workers on {socket.gethostname()} that write their journals to {self.journals}"

    def rows(self) -> list[CallRow]:
        """Return the calls, the newest first; whoever asks twice in a second gets the same ones."""
        if self._listed is None or self.clock.now_ms() - self._listed[0] >= _LISTED_FOR_MS:
            self._listed = (self.clock.now_ms(), self._read_rows())
        return self._listed[1]

    def _read_rows(self) -> list[CallRow]:
        now_s, there, rows = self.clock.unix_ms() / 1_000, self._files(), list[CallRow]()
        rest = Resting()
        for name in [name for name in self._rows if name not in there]:
            del self._rows[name]
        for name, entry in there.items():
            rest()
            with suppress(OSError):  # it may be purged meanwhile
                status = entry.stat(follow_symlinks=False)
                stamp = (status.st_mtime_ns, status.st_size)
                known = self._rows.get(name)
                if known is None or known[0] != stamp:
                    known = self._rows[name] = (stamp, _row_of(name, Path(entry.path)))
                row = known[1]
                if row.state == "live" and now_s - status.st_mtime > _LEFT_AFTER_S:
                    row = replace(row, state="broken off")
                rows.append(row)
        return sorted(rows, key=lambda row: (-row.began_unix_ms, row.id))

    def _files(self) -> dict[str, DirEntry[str]]:
        try:
            with scandir(self.journals) as entries:
                files = [
                    each for each in entries if each.name.endswith(".jsonl") and each.is_file(follow_symlinks=False)
                ]
        except OSError:  # it is made with the first call
            return {}
        named = {each.name.removesuffix(".jsonl"): each for each in files}
        return {name: entry for name, entry in named.items() if _IS_RECORD.fullmatch(name)}

    def row(self, record: str) -> CallRow | None:
        """Return one call; None where there is no such one."""
        return next((row for row in self.rows() if row.id == record), None)

    def opened(self, record: str) -> CallFile | None:
        """Return a call, read on; None where there is no such one. A long one is `behind` and to be asked for again."""
        if not _IS_RECORD.fullmatch(record):
            return None
        file = self._open.pop(record, None) or CallFile(
            self.journals / f"{record}.jsonl", lambda name: self._copy(name, self._copies)
        )
        try:
            file.read_on()
        except OSError:
            return None
        self._open[record] = file
        if len(self._open) > _MOST_OPEN:
            del self._open[next(iter(self._open))]
        return file

    def _copy(self, name: str, copies: dict[str, Flow]) -> Flow | None:
        """Return a flow of that name for one thread alone: the machine of a flow is made for one."""
        served = next((flow for flow in self.flows().values() if flow.name == name), None)
        if served is None:
            return None
        if name not in copies or copies[name].sha256 != served.sha256:
            copies[name] = served.model_copy()
        return copies[name]

    @property
    def recorded_here(self) -> bool:
        """Whether recordings are those that this server makes: they begin with their calls."""
        return self.recordings is not None

    def recording(self, record: str) -> Path | None:
        """Return the sound of a call; None where there is none."""
        if not _IS_RECORD.fullmatch(record):
            return None
        path = (self.recordings or self.journals) / f"{record}.wav"
        return path if path.is_file() else None

    def search(
        self, text: str, rows: list[CallRow], *, shown: bool, stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Found]:
        """Yield the calls in which all these words are told, as far as they are shown; in any thread."""
        words, rest, found, copies = list(words_in(text)), Resting(), 0, dict[str, Flow]()

        def stops() -> bool:
            return stopped() or self._closed.is_set()

        for row in rows if words else ():
            rest()
            if stops():
                return
            hit = self._hit(row, words, copies, shown=shown, stops=stops)
            if hit is not None:
                found += 1
                yield hit
            if found >= _MOST_FOUND:
                return

    def _hit(
        self, row: CallRow, words: list[str], copies: dict[str, Flow], *, shown: bool, stops: Callable[[], bool]
    ) -> Found | None:
        about = f"{row.id} {row.flow} {row.phase} {row.ended} {row.state}".casefold()
        if all(word in about for word in words):
            return Found(row, 0, "")
        path = self.journals / f"{row.id}.jsonl"
        try:
            written = path.read_bytes().decode("utf-8", "replace").casefold()
            if not all(word in written for word in words):  # what is not in the file is not in what is shown of it
                return None
            file = CallFile(path, lambda name: self._copy(name, copies))
            file.read_on()
            while file.behind and not stops():
                file.read_on()
            told = [span for span in file.timeline(shown=shown).spans if span.track != "phase"]
        except (OSError, *DAMAGE):
            return None
        if not all(any(word in f"{span.text} {span.note}".casefold() for span in told) for word in words):
            return None
        best = max(told, key=lambda span: sum(word in f"{span.text} {span.note}".casefold() for word in words))
        return Found(row, best.from_ms, " ".join(part for part in (best.text, best.note) if part))


def _row_of(name: str, path: Path) -> CallRow:
    try:
        return _row(name, path)
    except DAMAGE as exc:
        return _unreadable(name, path, f"what stands in it is no call's ({type(exc).__name__})")


def _unreadable(name: str, path: Path, why: str) -> CallRow:
    return CallRow(name, "", int(path.stat().st_mtime * 1_000), 0, "unreadable", "", why)


def _row(name: str, path: Path) -> CallRow:
    """Read what a list says of a call: the first lines of its journal, and the last ones."""
    with path.open("rb") as journal:
        header = journal.readline(_LONGEST_HEADER)
        first = journal.readline(_LONGEST_HEADER)
        end = journal.seek(0, 2)
        journal.seek(max(0, end - _TAIL_BYTES))
        tail = journal.read()
    values = _header_values(header)
    if values is None:
        return _unreadable(name, path, "its first line is not the header of a journal")
    flow, began_ms = _text(values.get("flow", "")), values.get("unix_ms", 0)
    began_ms = began_ms if isinstance(began_ms, int) and 0 <= began_ms <= _LATEST_UNIX_MS else 0
    if values.get("schema") != SCHEMA:
        why = f"schema {values.get('schema')}; this version of voiceagent reads schema {SCHEMA}"
        return CallRow(name, flow, began_ms, 0, "unreadable", "", why)
    phases, ended, instants = _PHASE.findall(tail), _ENDED.findall(tail), _AT.findall(tail)
    zero = _AT.match(first)
    lasted_ms = int(instants[-1]) - int(zero[1]) if instants and zero else 0
    phase = phases[-1].decode("utf-8", "replace") if phases else ""
    reason = _text(json.loads(ended[-1])) if ended else ""
    return CallRow(name, flow, began_ms, max(0, lasted_ms), "over" if ended else "live", phase, reason)


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
