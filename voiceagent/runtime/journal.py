"""Journal: what happened in a call and what was done about it, on disk, in order, one file per call.

A file is a header, then for every event its line, written ahead of the lines of the effects it caused. One thread
of the process writes for all calls; a call waits for it where its journal is opened, synced and closed, and never
longer than a disk may take. A journal that cannot be written any more stops for good, so that what is on disk is
always a beginning without a hole; the call goes on, and `sync` fails from then on: what cannot be undone is not done
unrecorded.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import logging
import os
import queue
import re
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path

from voiceagent.core.codec import encode_event, encode_outgoing
from voiceagent.core.effects import Outgoing
from voiceagent.core.events import Event
from voiceagent.core.ids import CallId
from voiceagent.errors import JournalError
from voiceagent.ports import Clock
from voiceagent.runtime.call_tasks import within
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal_file import JournalHeader, encode_header

__all__ = ["DISK_WITHIN_MS", "JournalStore", "JournalWriter", "journal_name"]

_log = logging.getLogger(__name__)

DISK_WITHIN_MS = 5_000
"""A disk that has not answered by then has stopped."""
_REAL_TIME = SystemClock()
"""What disks run on, whatever clock a call is on."""
_MOST_WAITING = 4_096
"""Entries of one call that the thread has not got to; more means that the disk has stopped."""
_MOST_AT_ONCE = 1_024
"""Entries written together."""
_MOST_LEGS = 1_000
"""Journals of one call: more are no call."""
_SAFE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")


def journal_name(call: CallId) -> str:
    """Return the file name of a call's journal: its id where that is harmless, else a hash of it."""
    if _SAFE_NAME.match(call) and not call.startswith("sha256-"):
        return f"{call}.jsonl"
    return f"sha256-{hashlib.sha256(call.encode('utf-8', 'replace')).hexdigest()}.jsonl"


@dataclass(frozen=True, slots=True)
class _Handled:
    at_ms: int
    event: Event


@dataclass(frozen=True, slots=True)
class _Caused:
    outgoing: Sequence[Outgoing]


@dataclass(frozen=True, slots=True)
class _Opened:
    """The file is to be made; under a numbered name where there is one of the same call already."""

    tell: Callable[[], None]


@dataclass(frozen=True, slots=True)
class _Synced:
    """Everything before this is to be on disk; with `last` the file is closed then."""

    tell: Callable[[], None]
    last: bool


_Job = _Opened | JournalHeader | _Handled | _Caused | _Synced


@dataclass(frozen=True, slots=True)
class _Last:
    """Nothing comes after this: the thread ends."""

    tell: Callable[[], None]


@dataclass(slots=True, eq=False)
class _File:
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
    jobs_done: int = 0
    """Written by the thread only; the call compares it with what it has handed over."""

    @property
    def path(self) -> Path:
        return self.directory / journal_name(self.call)


class JournalWriter:
    """One call's journal. Every method belongs to the event loop on which it was opened."""

    def __init__(self, file: _File, hand_over: Callable[[_File, _Job], None], clock: Clock) -> None:
        self._file = file
        self._hand_over = hand_over
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._jobs = 0
        self._closed = False
        self._given_up: str | None = None

    @property
    def call(self) -> CallId:
        """The id under which the call is recorded: nothing else that was recorded here has it."""
        return self._file.call

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    @property
    def broken(self) -> str | None:
        """Why nothing more is written; None while all is well."""
        return self._given_up or self._file.broken

    def begin(self, header: JournalHeader) -> None:
        """Write the first line. Returns at once."""
        self._put(header)

    def event(self, at_ms: int, event: Event) -> None:
        """Record an event, before it is handled. Returns at once."""
        self._put(_Handled(at_ms, event))

    def effects(self, outgoing: Sequence[Outgoing]) -> None:
        """Record what the last event made necessary. Returns at once."""
        if outgoing:
            self._put(_Caused(outgoing))

    async def sync(self) -> None:
        """Return once everything so far would survive a power cut. JournalError where it would not."""
        if self._closed:
            raise JournalError(f"{self.path.name} is closed")
        if self.broken is None:
            await self._answer(lambda tell: _Synced(tell, last=False))
        if self.broken is not None:
            raise JournalError(f"{self.path.name} cannot be written: {self.broken}")

    async def close(self) -> None:
        """Write what is left and close the file. Never raises: whether all went well is in `broken`."""
        if not self._closed:
            self._closed = True
            await self._answer(lambda tell: _Synced(tell, last=True))

    async def opened(self) -> None:
        """Return once the file is there, or is known not to come about: then it is broken."""
        await self._answer(_Opened)

    def _put(self, job: _Job) -> None:
        if self._closed or self.broken is not None:
            return
        if self._jobs - self._file.jobs_done >= _MOST_WAITING:
            self._give_up("the disk does not keep up")
            return
        self._jobs += 1
        self._hand_over(self._file, job)

    async def _answer(self, job: Callable[[Callable[[], None]], _Job]) -> None:
        """Hand over a job and wait until the thread has done it; a journal whose disk does not answer is broken."""
        done = asyncio.Event()
        self._jobs += 1
        self._hand_over(self._file, job(lambda: _call_soon(self._loop, done.set)))
        try:
            async with within(DISK_WITHIN_MS, self._clock):
                await done.wait()
        except TimeoutError:
            self._give_up(f"the disk has not answered within {DISK_WITHIN_MS} ms")

    def _give_up(self, reason: str) -> None:
        self._given_up = reason
        self._file.tell_broken(reason)


class JournalStore:
    """A directory of journals, and the thread that writes them for all calls of the process."""

    def __init__(self, directory: Path, *, clock: Clock = _REAL_TIME) -> None:
        """Write into `directory`, which is made where it is missing. The disk is given time by `clock`."""
        self._directory = directory
        self._clock = clock
        self._jobs: queue.SimpleQueue[tuple[_File, _Job] | _Last] = queue.SimpleQueue()
        # A daemon, so that a server that dies for another reason is not kept alive by its journals.
        self._thread = threading.Thread(target=self._write_all, name="journals", daemon=True)
        self._thread.start()

    async def open(self, call: CallId, *, on_broken: Callable[[str], None]) -> JournalWriter:
        """Make the journal of a call; `on_broken` is told why, once, on this event loop, if it ever stops.

        A call that was recorded before (the carrier has connected it again) is recorded under `<call>.2`, `<call>.3`…
        Never raises: a journal that cannot be made is broken from the start.
        """
        loop = asyncio.get_running_loop()
        told: list[str] = []

        def tell_once(reason: str) -> None:
            if not told:
                told.append(reason)
                on_broken(reason)

        file = _File(self._directory, call, lambda reason: _call_soon(loop, lambda: tell_once(reason)))
        journal = JournalWriter(file, lambda of, job: self._jobs.put((of, job)), self._clock)
        await journal.opened()
        return journal

    async def close(self) -> None:
        """Write what is left and end the thread; journals are closed before. A disk that has stopped is left behind."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._jobs.put(_Last(lambda: _call_soon(loop, ended.set)))
        try:
            async with within(DISK_WITHIN_MS, self._clock):
                await ended.wait()
        except TimeoutError:
            _log.error("the journals' disk does not answer; what is not written by now is lost")

    # --- on the thread -----------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        open_files: dict[_File, None] = {}
        last = None
        while last is None:
            jobs, last = self._next_jobs()
            syncs: dict[_File, list[_Synced]] = {}
            for file, job in jobs:
                open_files[file] = None
                match job:
                    case _Opened(tell):
                        self._open(file)
                        tell()
                    case _Synced():
                        syncs.setdefault(file, []).append(job)
                    case _:
                        self._encode(file, job)
            for file in dict.fromkeys(file for file, _ in jobs):
                self._write(file, sync=file in syncs)
            for file, done in syncs.items():
                if any(sync.last for sync in done):
                    _close(file)
                    open_files.pop(file, None)
                for sync in done:
                    sync.tell()
            for file, _ in jobs:
                file.jobs_done += 1
        for file in open_files:
            _close(file)
        last.tell()

    def _next_jobs(self) -> tuple[list[tuple[_File, _Job]], _Last | None]:
        """Wait for something to do and take what else is there: one write and one fsync serve all of it."""
        jobs: list[tuple[_File, _Job]] = []
        taken = self._jobs.get()
        while not isinstance(taken, _Last):
            jobs.append(taken)
            if len(jobs) == _MOST_AT_ONCE:
                return jobs, None
            try:
                taken = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, None
        return jobs, taken

    def _open(self, file: _File) -> None:
        try:
            file.output = _create(file)
        except OSError as exc:
            _break(file, exc)

    def _encode(self, file: _File, job: JournalHeader | _Handled | _Caused) -> None:
        if file.broken is not None:
            return
        try:
            match job:
                case JournalHeader():
                    lines = [encode_header(job)]
                case _Handled(at_ms, event):
                    lines = [encode_event(event, at_ms)]
                case _Caused(outgoing):
                    lines = [encode_outgoing(effect) for effect in outgoing]
        except Exception as exc:  # noqa: BLE001 - what one call cannot record must not end the journals of all others
            _break(file, exc)
            return
        for line in lines:
            file.lines += line
            file.lines += b"\n"

    def _write(self, file: _File, *, sync: bool) -> None:
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


def _create(file: _File) -> FileIO:
    """Return a new private file, unbuffered, of the first id that is free."""
    if not file.directory.exists():
        file.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    call = file.call
    for number in range(2, _MOST_LEGS):
        try:
            return FileIO(file.path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))
        except FileExistsError:
            file.call = CallId(f"{call}.{number}")
    raise FileExistsError(errno.EEXIST, f"there are {_MOST_LEGS} journals of this call")


def _name(file: _File) -> None:
    """Have the file's name survive a power cut, too."""
    if file.named or os.name != "posix":  # elsewhere a directory cannot be synced, and need not be
        return
    directory = os.open(file.directory, os.O_RDONLY)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
    file.named = True


def _break(file: _File, exc: Exception) -> None:
    file.broken = exc.strerror if isinstance(exc, OSError) and exc.strerror else type(exc).__name__
    file.lines.clear()
    file.tell_broken(file.broken)


def _close(file: _File) -> None:
    if file.output is not None:
        file.output.close()
        file.output = None


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    # The loop may be gone by the time the thread has something to say; then nobody is left to hear it.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
