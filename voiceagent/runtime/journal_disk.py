"""The journals' thread: it alone touches the disk, for all calls of the process, and makes nobody wait for another."""

from __future__ import annotations

import errno
import hashlib
import os
import re
import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Literal

from voiceagent.core.codec import encode_event, encode_outgoing
from voiceagent.core.effects import Outgoing
from voiceagent.core.events import Event
from voiceagent.core.ids import CallId
from voiceagent.errors import JournalError
from voiceagent.nobody import to_nobody
from voiceagent.runtime.journal_file import Journal, JournalHeader, encode_header, parse_journal

__all__ = [
    "Caused",
    "Disk",
    "Handled",
    "Job",
    "Opened",
    "RecordFile",
    "Reopened",
    "Synced",
    "is_breaking_off",
    "is_broken_off",
    "journal_name",
    "left_behind",
    "record_stem",
    "reopen",
    "reopen_as",
]

_GATHERED_S = 0.1
"""Lines that nobody waits for are written by then: a process that is killed loses so much, and no outcome of a tool."""
_MOST_AT_ONCE = 64
"""Jobs that are done in one go where nobody waits: a fraction of a millisecond, and the disk's for what is synced."""
_PAUSE_S = 0.001
"""Between one go and the next: a lock that is let go and taken again at once does not reach the calls' thread."""
_MOST_LEGS = 1_000
"""Journals of one call: more are no call."""
_TAIL_BYTES = 64 * 1_024
"""Of a journal: an end of the call stands in it, with what became of its tools afterwards."""
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\..*)?", re.IGNORECASE)
"""Names that Windows keeps for devices, whatever comes after a dot."""


def record_stem(call: CallId) -> str:
    """Return the name of a call's files, without what comes after the dot: its id where that is harmless, else a hash.

    Ids that differ have names that differ, but for capital letters where a file system does not tell them apart.
    """
    if _SAFE_NAME.fullmatch(call) and not (_DEVICE.fullmatch(call) or call.startswith("sha256-")):
        return call
    return f"sha256-{hashlib.sha256(call.encode('utf-8', 'surrogatepass')).hexdigest()}"


def journal_name(call: CallId) -> str:
    """Return the file name of a call's journal."""
    return f"{record_stem(call)}.jsonl"


@dataclass(frozen=True, slots=True)
class Handled:
    """An event, before it is handled."""

    at_ms: int
    event: Event


@dataclass(frozen=True, slots=True)
class Caused:
    """What the last event made necessary."""

    outgoing: Sequence[Outgoing]


@dataclass(frozen=True, slots=True)
class Opened:
    """The file is to be made; under a numbered name where there is one of the same call already."""

    tell: Callable[[], None]


@dataclass(frozen=True, slots=True)
class Synced:
    """Everything before this is to be on disk; with `last` the file is closed then."""

    tell: Callable[[], None]
    last: bool


@dataclass(frozen=True, slots=True)
class SyncedSoon:
    """Everything before this is to be on disk when it is written; nobody waits for it."""

    at_once: bool
    """It is written now, with all that was put before it for this file."""


Job = Opened | JournalHeader | Handled | Caused | Synced | SyncedSoon


@dataclass(frozen=True, slots=True)
class _Last:
    """Nothing comes after this: the thread ends."""

    tell: Callable[[], None]


@dataclass(slots=True, eq=False)
class RecordFile:
    """A journal as the thread sees it."""

    directory: Path
    call: CallId
    tell_broken: Callable[[str], None]
    output: FileIO | None = None
    named: bool = False
    """The name is on disk as well."""
    lines: bytearray = field(default_factory=bytearray)
    """Encoded, not yet written."""
    broken: str | None = None
    copy: Callable[[Sequence[bytes]], None] | None = None
    """Is given every line that is encoded, by the thread."""
    jobs_done: int = 0
    """Written by the thread only; the call compares it with what it has handed over."""

    @property
    def path(self) -> Path:
        """Where it is."""
        return self.directory / journal_name(self.call)

    def forget(self) -> None:
        """Tell nobody anything from now on: whoever was told has this, and shall not be kept by it."""
        self.tell_broken = to_nobody
        if self.copy is not None:
            self.copy = to_nobody


@dataclass(frozen=True, slots=True)
class Reopened:
    """A journal that is gone on with."""

    call: CallId
    """The id under which it is recorded."""
    output: FileIO
    journal: Journal
    ahead: tuple[bytes, ...]
    """Lines of it that stand here alone."""


class Disk:
    """The thread, and the queue before it.

    Python runs one thread at a time: whenever this one has something to do, the calls wait for it. So it takes lines of
    all calls together, in a rhythm of its own, in which nobody has to wake it; what somebody waits for it does at once,
    for the file that it is about.
    """

    def __init__(self) -> None:
        self._jobs: deque[tuple[RecordFile, Job] | _Last] = deque()
        self._wake = threading.Event()
        self._asleep = False
        """No rhythm: the thread is to be told of the next job, whatever it is."""
        # What follows is the thread's own.
        self._gathered: dict[RecordFile, list[Job]] = {}
        self._waited_for: dict[RecordFile, None] = {}
        self._open_files: dict[RecordFile, None] = {}
        self._due_s = 0.0
        # A daemon, so that a server that dies for another reason is not kept alive by its journals.
        threading.Thread(target=self._write_all, name="journals", daemon=True).start()

    def put(self, file: RecordFile, job: Job) -> None:
        """Have something done, after all that was put before for this file. Returns at once."""
        self._jobs.append((file, job))
        if self._asleep or _is_urgent(job):
            self._asleep = False
            self._wake.set()

    def end(self, tell: Callable[[], None]) -> None:
        """End the thread once everything is written; it calls `tell` then. Returns at once."""
        self._jobs.append(_Last(tell))
        self._wake.set()

    def _write_all(self) -> None:
        last = None
        idle = True
        while last is None:
            self._wait(idle=idle)
            last = self._take()
            idle = self._write_what_is_due()
        while self._gathered:
            self._write_next()
        for file in self._open_files:
            _close(file)
        last.tell()

    def _wait(self, *, idle: bool) -> None:
        """Wait until lines are due or somebody waits; from `idle` on, for the next job."""
        if idle:
            self._asleep = True
            if not self._jobs:  # whoever puts something from here on sees that the thread sleeps
                self._wake.wait()
            self._asleep = False
            self._due_s = time.monotonic() + _GATHERED_S
        self._wake.wait(max(0.0, self._due_s - time.monotonic()))
        # Before anything is taken: what comes from here on wakes the thread again.
        self._wake.clear()

    def _take(self) -> _Last | None:
        while self._jobs:
            taken = self._jobs.popleft()
            if isinstance(taken, _Last):
                return taken
            file, job = taken
            self._gathered.setdefault(file, []).append(job)
            if _is_urgent(job):
                self._waited_for[file] = None
        return None

    def _write_what_is_due(self) -> bool:
        """Do what somebody waits for, and of the rest a part if it is due; whether there has been none to do."""
        for file in self._waited_for:
            self._do(file, self._gathered.pop(file))
        self._waited_for.clear()
        if time.monotonic() < self._due_s:
            return False
        idle = not self._gathered
        done = 0
        while self._gathered and done < _MOST_AT_ONCE:
            done += self._write_next()
        self._due_s = time.monotonic() + (_PAUSE_S if self._gathered else _GATHERED_S)
        return idle

    def _write_next(self) -> int:
        """Do what has been gathered for the file that has waited longest; return how many jobs it was."""
        file = next(iter(self._gathered))
        jobs = self._gathered.pop(file)
        self._do(file, jobs)
        return len(jobs)

    def _do(self, file: RecordFile, jobs: Sequence[Job]) -> None:
        """Do all of this, in order: one write and one fsync serve all of it."""
        self._open_files[file] = None
        syncs: list[Synced] = []
        safe = False
        for job in jobs:
            match job:
                case Opened(tell):
                    self._open(file)
                    tell()
                case Synced():
                    syncs.append(job)
                    safe = True
                case SyncedSoon():
                    safe = True
                case _:
                    self._encode(file, job)
        self._write(file, sync=safe)
        if any(sync.last for sync in syncs):
            _close(file)
            del self._open_files[file]
        for sync in syncs:
            sync.tell()
        file.jobs_done += len(jobs)

    def _open(self, file: RecordFile) -> None:
        try:
            file.output = _create(file)
        except OSError as exc:
            _break(file, exc)

    def _encode(self, file: RecordFile, job: JournalHeader | Handled | Caused) -> None:
        if file.broken is not None:
            return
        try:
            match job:
                case JournalHeader():
                    lines = [encode_header(job)]
                case Handled(at_ms, event):
                    lines = [encode_event(event, at_ms)]
                case Caused(outgoing):
                    lines = [encode_outgoing(effect) for effect in outgoing]
        except Exception as exc:  # noqa: BLE001 - what one call cannot record must not end the journals of all others
            _break(file, exc)
            return
        if file.copy is not None:
            file.copy(lines)
        for line in lines:
            file.lines += line
            file.lines += b"\n"

    def _write(self, file: RecordFile, *, sync: bool) -> None:
        if file.output is None or file.broken is not None:
            return
        try:
            while file.lines:
                del file.lines[: file.output.write(file.lines)]
            if sync:
                os.fsync(file.output)
                _name(file)
        except OSError as exc:
            _break(file, exc)


def _is_urgent(job: Job) -> bool:
    return isinstance(job, Opened | Synced) or (isinstance(job, SyncedSoon) and job.at_once)


def left_behind(directory: Path) -> list[CallId]:
    """Return under which ids calls are recorded that have no end and that nobody writes any more.

    What is no journal is passed over. Raises OSError.
    """
    found: list[CallId] = []
    for file in sorted(directory.glob("*.jsonl")) if directory.is_dir() else ():
        with suppress(BlockingIOError, FileNotFoundError, JournalError), _claimed(file, "r+b") as (output, written):
            output.close()
            if b'"event":"CallEnded"' not in written[-_TAIL_BYTES:]:
                call = parse_journal(written[: written.find(b"\n") + 1], file).header.call
                if journal_name(call) == file.name:
                    found.append(call)
    return found


def reopen(directory: Path, call: CallId, *, newest: bool = True) -> Reopened | None:
    """Return the journal of a call that has not come to its end, open behind its last whole line.

    Of several of its journals it is the `newest`, or else the one of exactly this id. None where there is none. Raises
    BlockingIOError while somebody still writes it, OSError and JournalError where it cannot be gone on with.
    """
    recorded = _newest(directory, call) if newest else call
    if recorded is None:
        return None
    with _claimed(directory / journal_name(recorded), "r+b") as (output, written):
        journal = parse_journal(written, Path(str(output.name)))
        if not journal.interrupted:
            output.close()
            return None
        # What was being written when the power went would run into the next line.
        output.truncate(output.seek(written.rfind(b"\n") + 1))
    return Reopened(recorded, output, journal, ())


def reopen_as(directory: Path, call: CallId, lines: Sequence[bytes]) -> Reopened:
    """Return the journal of a call that was broken off here or elsewhere, and has these lines where all can see it.

    What the file has beyond them was written when nobody else answered. Raises as `reopen` does.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    shared = b"".join(line + b"\n" for line in lines)
    with _claimed(directory / journal_name(call), "r+b", make=True) as (output, written):
        whole = written[: written.rfind(b"\n") + 1]
        if not whole.startswith(shared):
            output.seek(0)
            output.write(shared)
            whole = shared
        output.truncate(output.seek(len(whole)))
        journal = parse_journal(whole, Path(str(output.name)))
    return Reopened(call, output, journal, tuple(whole[len(shared) :].splitlines()))


@contextmanager
def _claimed(path: Path, mode: Literal["r+b"], *, make: bool = False) -> Generator[tuple[FileIO, bytes]]:
    """Open a file that nobody else writes, and read it; it is closed again if the block raises."""
    flags = os.O_CREAT if make else 0
    output = FileIO(path, mode, opener=lambda name, more: os.open(name, more | flags, 0o600))
    try:
        _claim(output)
        yield output, output.readall()
    except BaseException:
        output.close()
        raise


def is_broken_off(directory: Path, call: CallId, written_after_s: float) -> bool:
    """Whether the newest journal of a call has been written to since, and its last event is no end of the call.

    Raises OSError.
    """
    recorded = _newest(directory, call)
    if recorded is None:
        return False
    with (directory / journal_name(recorded)).open("rb") as journal:
        status = os.fstat(journal.fileno())
        if status.st_mtime < written_after_s:
            return False
        journal.seek(max(0, status.st_size - _TAIL_BYTES))
        return b'"event":"CallEnded"' not in journal.read()


def is_breaking_off(directory: Path, call: CallId) -> bool:
    """Whether whoever writes the newest journal of a call has lost its connection, and nobody has hung up.

    Raises OSError.
    """
    recorded = _newest(directory, call)
    if recorded is None:
        return False
    with (directory / journal_name(recorded)).open("rb") as journal:
        journal.seek(max(0, os.fstat(journal.fileno()).st_size - _TAIL_BYTES))
        tail = journal.read()
    return tail.rfind(b'"may_return":true') > tail.rfind(b'"event":"CallResumed"')


def _newest(directory: Path, call: CallId) -> CallId | None:
    """Return the id under which a call was last recorded here."""
    newest = None
    candidate = call
    for number in range(2, _MOST_LEGS):
        if not (directory / journal_name(candidate)).exists():
            break
        newest, candidate = candidate, CallId(f"{call}.{number}")
    return newest


def _claim(output: FileIO) -> None:
    """Let nobody else write this file for as long as it is open here. Raises BlockingIOError where somebody does."""
    if os.name != "posix":  # elsewhere one process serves all calls, and it knows its own
        return
    import fcntl

    fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _create(file: RecordFile) -> FileIO:
    """Return a new private file, unbuffered, of the first id that is free."""
    if not file.directory.exists():
        file.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    call = file.call
    for number in range(2, _MOST_LEGS):
        try:
            output = FileIO(file.path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))
        except FileExistsError:
            file.call = CallId(f"{call}.{number}")
        else:
            _claim(output)
            return output
    raise FileExistsError(errno.EEXIST, f"there are {_MOST_LEGS} journals of this call")


def _name(file: RecordFile) -> None:
    """Have the file's name survive a power cut, too."""
    if file.named or os.name != "posix":  # elsewhere a directory cannot be synced, and need not be
        return
    directory = os.open(file.directory, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    file.named = True


def _break(file: RecordFile, exc: Exception) -> None:
    file.broken = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
    file.lines.clear()
    file.tell_broken(file.broken)


def _close(file: RecordFile) -> None:
    if file.output is None:
        return
    try:
        file.output.close()
    except OSError as exc:  # some file systems find only now that there was no room
        _break(file, exc)
    file.output = None
