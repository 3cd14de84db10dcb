"""Journal: what happened in a call and what was done about it, on disk, in order, one file per call.

A file is a header, then for every event its line, written ahead of the lines of the effects it caused. One thread
of the process writes for all calls; nothing here ever makes a call wait, but for `sync`, which is there to be waited
for. A journal that cannot be written any more stops for good, so that what is on disk is always a beginning without
a hole; the call goes on, and `sync` fails from then on: what cannot be undone is not done unrecorded.
"""

from __future__ import annotations

import asyncio
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
from voiceagent.core.events import CallStarted, Event
from voiceagent.core.ids import CallId
from voiceagent.core.state import Inherited
from voiceagent.errors import JournalError
from voiceagent.runtime.journal_file import JournalHeader, encode_header, header_of
from voiceagent.spec.flow import Flow

__all__ = ["JournalStore", "JournalWriter", "journal_name"]

_log = logging.getLogger(__name__)

_MOST_WAITING = 4_096
"""Entries of one call that the thread has not got to; more means that the disk has stopped."""
_MOST_AT_ONCE = 1_024
"""Entries written together."""
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
class _Synced:
    """Everything before this is to be on disk; with `last` the file is closed then."""

    tell: Callable[[str | None], None]
    last: bool


_Job = JournalHeader | _Handled | _Caused | _Synced


@dataclass(slots=True, eq=False)
class _File:
    """A journal as the thread sees it."""

    path: Path
    tell_broken: Callable[[str], None]
    output: FileIO | None = None
    lines: bytearray = field(default_factory=bytearray)
    """Encoded, not yet written."""
    broken: str | None = None
    jobs_done: int = 0
    """Written by the thread only; the call compares it with what it has handed over."""


class JournalWriter:
    """One call's journal. Every method belongs to the event loop on which it was opened."""

    def __init__(self, file: _File, hand_over: Callable[[_File, _Job], None], loop: asyncio.AbstractEventLoop) -> None:
        self._file = file
        self._hand_over = hand_over
        self._loop = loop
        self._jobs = 0
        self._closed = False
        self._overflowed = False

    @property
    def path(self) -> Path:
        """Where it is."""
        return self._file.path

    @property
    def broken(self) -> str | None:
        """Why nothing more is written; None while all is well."""
        return "the disk does not keep up" if self._overflowed else self._file.broken

    def event(self, at_ms: int, event: Event) -> None:
        """Record an event, before it is handled. Returns at once."""
        self._put(_Handled(at_ms, event))

    def effects(self, outgoing: Sequence[Outgoing]) -> None:
        """Record what the last event made necessary. Returns at once."""
        if outgoing:
            self._put(_Caused(outgoing))

    async def sync(self) -> None:
        """Return once everything so far would survive a power cut. JournalError where it would not."""
        await self._wait(last=False)

    async def close(self) -> None:
        """Write what is left and close the file. Never raises: whether all went well is in `broken`."""
        if not self._closed:
            with suppress(JournalError):
                await self._wait(last=True)

    def begin(self, header: JournalHeader) -> None:
        """Hand over the first line."""
        self._put(header)

    def _put(self, job: _Job) -> None:
        if self._closed or self.broken is not None:
            return
        if self._jobs - self._file.jobs_done >= _MOST_WAITING:
            self._overflowed = True
            self._file.tell_broken("the disk does not keep up")
            return
        self._jobs += 1
        self._hand_over(self._file, job)

    async def _wait(self, *, last: bool) -> None:
        if self._closed:
            raise JournalError(f"{self.path.name} is closed")
        self._closed = last
        done: asyncio.Future[str | None] = self._loop.create_future()

        def resolve(problem: str | None) -> None:
            if not done.done():
                done.set_result(problem)

        def tell(problem: str | None) -> None:
            _call_soon(self._loop, lambda: resolve(problem))

        self._jobs += 1
        self._hand_over(self._file, _Synced(tell, last))
        problem = await done
        if self.broken is not None or problem is not None:
            raise JournalError(f"{self.path.name} cannot be written: {self.broken or problem}")


class JournalStore:
    """A directory of journals, and the thread that writes them for all calls of the process."""

    def __init__(self, directory: Path) -> None:
        """Write into `directory`, which is made where it is missing."""
        self._directory = directory
        self._jobs: queue.SimpleQueue[tuple[_File, _Job] | None] = queue.SimpleQueue()
        # A daemon, so that a server that dies for another reason is not kept alive by its journals.
        self._thread = threading.Thread(target=self._write_all, name="journals", daemon=True)
        self._thread.start()

    def open(
        self,
        flow: Flow,
        inherited: Inherited,
        started: CallStarted,
        *,
        on_broken: Callable[[str], None] = lambda _: None,
    ) -> JournalWriter:
        """Begin the journal of a call; `on_broken` is told why, once, on this event loop, if it ever stops."""
        header = header_of(flow, inherited, time_zone=started.time_zone, unix_ms=started.unix_ms)
        loop = asyncio.get_running_loop()
        told: list[str] = []

        def tell_once(reason: str) -> None:
            if not told:
                told.append(reason)
                _log.error("journal of call %s stops: %s", header.call, reason)
                on_broken(reason)

        file = _File(
            self._directory / journal_name(header.call), lambda reason: _call_soon(loop, lambda: tell_once(reason))
        )
        journal = JournalWriter(file, lambda of, job: self._jobs.put((of, job)), loop)
        journal.begin(header)
        return journal

    async def close(self) -> None:
        """Write what is left and end the thread; journals are closed before."""
        self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    # --- on the thread -----------------------------------------------------------------------------------------------

    def _write_all(self) -> None:
        open_files: dict[_File, None] = {}
        going_on = True
        while going_on:
            jobs, going_on = self._next_jobs()
            syncs: dict[_File, list[_Synced]] = {}
            for file, job in jobs:
                open_files[file] = None
                match job:
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
                    sync.tell(file.broken)
            for file, _ in jobs:
                file.jobs_done += 1
        for file in open_files:
            _close(file)

    def _next_jobs(self) -> tuple[list[tuple[_File, _Job]], bool]:
        """Wait for something to do and take what else is there: one write and one fsync serve all of it."""
        jobs: list[tuple[_File, _Job]] = []
        taken = self._jobs.get()
        while taken is not None:
            jobs.append(taken)
            if len(jobs) == _MOST_AT_ONCE:
                return jobs, True
            try:
                taken = self._jobs.get_nowait()
            except queue.Empty:
                return jobs, True
        return jobs, False

    def _encode(self, file: _File, job: JournalHeader | _Handled | _Caused) -> None:
        if file.broken is not None:
            return
        try:
            match job:
                case JournalHeader():
                    file.output = _create(file.path)
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
        except OSError as exc:
            _break(file, exc)


def _create(path: Path) -> FileIO:
    """Return a new private file, unbuffered; its name is on disk when this returns."""
    if not path.parent.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    output = FileIO(path, "xb", opener=lambda name, flags: os.open(name, flags, 0o600))
    if os.name == "posix":  # elsewhere a directory cannot be synced, and need not be
        directory = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    return output


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
