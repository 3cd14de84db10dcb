"""The calls that the pages show: those whose journals lie in the server's folder, whichever worker writes them.

Everything is read from the files, in threads of its own. A call that is looked at does nothing for it and knows nothing
of it; where nobody looks nothing is read.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field, replace
from os import scandir, stat_result
from pathlib import Path
from threading import Event

from voiceagent.console.call_file import DAMAGE, CallFile, Resting
from voiceagent.console.call_row import CallRow, read_row
from voiceagent.console.call_sound import CallSound, read_sound
from voiceagent.console.masking import words_in
from voiceagent.errors import JournalError
from voiceagent.ports import Clock
from voiceagent.runtime.timeline import Timeline
from voiceagent.spec.flow import Flow

__all__ = ["CallRecords", "Found", "Listed"]

_LEFT_AFTER_S = 120
"""Something happens in every call that goes on: the caller speaks, or is asked whether they are there."""
_LISTED_FOR_MS = 1_000
_MOST_OPEN = 16
"""Calls that are kept read: opening one of four hours takes seconds."""
_MOST_FOUND = 50
_MOST_READ = 200
"""Calls that are read for the list; older ones are when they are searched for or looked at."""
_IS_RECORD = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@dataclass(frozen=True, slots=True)
class Listed:
    """The calls that there are."""

    rows: tuple[CallRow, ...] = ()
    """The newest first."""
    older: tuple[str, ...] = ()
    """Records that nobody has read yet."""


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
    _listed: tuple[int, Listed] | None = None
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
    listener: ThreadPoolExecutor = field(
        default_factory=lambda: ThreadPoolExecutor(max_workers=1, thread_name_prefix="console-sound")
    )
    """The one thread in which `sound` may be used."""
    _closed: Event = field(default_factory=Event)

    def forget(self) -> None:
        """Keep nothing that was said: nobody looks any more."""
        self._open.clear()

    def close(self) -> None:
        """Read nothing more."""
        self._closed.set()
        for executor in (self.reader, self.searcher, self.listener):
            executor.shutdown(wait=False, cancel_futures=True)

    @property
    def where(self) -> str:
        """Whose calls these are, for whoever wonders where another one is."""
        return f"the calls of all workers on {socket.gethostname()} that write their journals to {self.journals}"

    def listed(self) -> Listed:
        """Return the calls; whoever asks twice in a second gets the same ones."""
        if self._listed is None or self.clock.now_ms() - self._listed[0] >= _LISTED_FOR_MS:
            listed = self._read_list()
            self._listed = (self.clock.now_ms(), listed)  # it may have taken longer than a second
        return self._listed[1]

    def _read_list(self) -> Listed:
        there, rest = self._files(), Resting()
        rows: list[CallRow] = []
        older: list[str] = []
        for name in [name for name in self._rows if name not in there]:
            del self._rows[name]
        for number, name in enumerate(sorted(there, key=lambda name: (-there[name].st_mtime_ns, name))):
            rest()
            if number >= _MOST_READ and name not in self._rows:
                older.append(name)
                continue
            with suppress(OSError):  # it may be purged meanwhile
                rows.append(self._row(name, there[name]))
        return Listed(tuple(sorted(rows, key=lambda row: (-row.began_unix_ms, row.id))), tuple(older))

    def _row(self, record: str, status: stat_result) -> CallRow:
        stamp = (status.st_mtime_ns, status.st_size)
        known = self._rows.get(record)
        if known is None:
            known = self._rows[record] = (stamp, read_row(self._journal(record)))
        elif known[0] != stamp:
            row = read_row(self._journal(record), before=known[1], before_bytes=known[0][1])
            known = self._rows[record] = (stamp, row)
        return self._as_it_stands(known[1], status)

    def _as_it_stands(self, row: CallRow, status: stat_result) -> CallRow:
        left = row.state == "live" and self.clock.unix_ms() / 1_000 - status.st_mtime > _LEFT_AFTER_S
        return replace(row, state="broken off") if left else row

    def _journal(self, record: str) -> Path:
        return self.journals / f"{record}.jsonl"

    def _files(self) -> dict[str, stat_result]:
        files, rest = dict[str, stat_result](), Resting()
        with suppress(OSError), scandir(self.journals) as entries:  # the folder is made with the first call
            for entry in entries:
                rest()
                name = entry.name.removesuffix(".jsonl")
                if name != entry.name and _IS_RECORD.fullmatch(name):
                    with suppress(OSError):
                        if entry.is_file(follow_symlinks=False):
                            files[name] = entry.stat(follow_symlinks=False)
        return files

    def row(self, record: str) -> CallRow | None:
        """Return one call; None where there is no such one."""
        listed = self.listed()
        if record in listed.older:
            with suppress(OSError):
                return self._row(record, self._journal(record).stat())
        return next((row for row in listed.rows if row.id == record), None)

    def opened(self, record: str) -> CallFile | None:
        """Return a call, read on; None where there is no such one. A long one is `behind` and to be asked for again."""
        if not _IS_RECORD.fullmatch(record):
            return None
        file = self._open.pop(record, None) or CallFile(
            self._journal(record), lambda name: self._copy(name, self._copies)
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

    def sound(self, path: Path, timeline: Timeline) -> CallSound:
        """Return what is drawn of a recording. Raises JournalError where it cannot be read, or the server stops."""
        resting = Resting()

        def rest() -> None:
            resting()
            if self._closed.is_set():
                raise JournalError(f"{path} is not read to its end: the server stops")

        return read_sound(path, timeline, begins_with_the_call=self.recorded_here, rest=rest)

    def search(
        self, text: str, listed: Listed, *, shown: bool, stopped: Callable[[], bool] = lambda: False
    ) -> Iterator[Found]:
        """Yield the calls in which all these words are told, as far as they are shown; in any thread."""
        words, rest, found, copies = list(words_in(text)), Resting(), 0, dict[str, Flow]()

        def stops() -> bool:
            return stopped() or self._closed.is_set()

        for row in self._all(listed) if words else ():
            rest()
            if stops():
                return
            hit = self._hit(row, words, copies, shown=shown, stops=stops)
            if hit is not None:
                found += 1
                yield hit
            if found >= _MOST_FOUND:
                return

    def _all(self, listed: Listed) -> Iterator[CallRow]:
        yield from listed.rows
        for record in listed.older:
            path = self._journal(record)
            with suppress(OSError):  # it may be purged meanwhile
                yield self._as_it_stands(read_row(path), path.stat())

    def _hit(
        self, row: CallRow, words: list[str], copies: dict[str, Flow], *, shown: bool, stops: Callable[[], bool]
    ) -> Found | None:
        about = f"{row.id} {row.flow} {row.phase} {row.ended} {row.state}".casefold()
        if all(word in about for word in words):
            return Found(row, 0, "")
        path = self._journal(row.id)
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
