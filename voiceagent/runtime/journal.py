"""Journal: what happened in a call and what was done about it, on disk, in order, one file per call.

A file is a header, then for every event its line, written ahead of the lines of the effects it caused. One thread of
the process writes for all calls; a call waits for it where its journal is opened, synced and closed, and never longer
than a disk may take. What nobody waits for is in the file a tenth of a second later: a process that is killed loses no
more than that, and a power cut no more than what came after the last sync. A journal that cannot be written any more
stops for good, so that what is on disk is always a beginning without a hole; the call goes on, and `sync` fails from
then on: what cannot be undone is not done unrecorded.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from voiceagent.core.effects import Outgoing
from voiceagent.core.events import CallEnded, Event
from voiceagent.core.ids import CallId
from voiceagent.errors import JournalError, StateUnavailable
from voiceagent.in_time import within
from voiceagent.ports import Clock, SharedJournals
from voiceagent.runtime.clock import SystemClock
from voiceagent.runtime.journal_disk import (
    Caused,
    Disk,
    Handled,
    Job,
    Opened,
    RecordFile,
    Reopened,
    Synced,
    SyncedSoon,
    is_breaking_off,
    is_broken_off,
    left_behind,
    reopen,
    reopen_as,
)
from voiceagent.runtime.journal_file import Journal, JournalHeader
from voiceagent.runtime.journal_mirror import JournalMirror, open_record

__all__ = ["DISK_WITHIN_MS", "MADE_WITHIN_MS", "JournalStore", "JournalWriter"]

_log = logging.getLogger(__name__)
T = TypeVar("T")

DISK_WITHIN_MS = 5_000
"""A disk that has not answered by then has stopped."""
FOUND_WITHIN_MS = 2_000
MADE_WITHIN_MS = DISK_WITHIN_MS - FOUND_WITHIN_MS
"""Where a caller waits for the first word: for finding a record of the call, and then for making one."""
_REAL_TIME = SystemClock()
"""What disks run on, whatever clock a call is on."""
_DOUBTED_FOR_MS = 500
"""A thread that has been given the processor has asked the disk by then."""
_MOST_WAITING = 4_096
"""Entries of one call that the thread has not got to; more means that the disk has stopped."""
_LET_GO_WITHIN_MS = 8_000
"""The session before is given so long to write down what its tools have come to."""
_NOTICED_WITHIN_MS = 500
"""By then the session before has written down that its connection is gone; one that has its own is not waited for."""
_ASKED_AGAIN_AFTER_MS = 50


@dataclass(frozen=True, slots=True)
class _Awaited:
    """A job that the disk should have done by then."""

    job: int
    until_ms: int
    doubted: bool = False
    """It should have been done before, and this is the time that the thread is given."""


class JournalWriter:
    """One call's journal. Every method belongs to the event loop on which it was opened."""

    def __init__(
        self,
        file: RecordFile,
        hand_over: Callable[[RecordFile, Job], None],
        clock: Clock,
        mirror: JournalMirror | None = None,
    ) -> None:
        self._file = file
        self._mirror = mirror
        self._hand_over = hand_over
        self._clock = clock
        self.loop = asyncio.get_running_loop()
        """On which it was opened."""
        self._jobs = 0
        self._marked = 0
        """The latest job by which something is to be safe from a power cut, though nobody waits for it."""
        self._awaited: _Awaited | None = None
        """Of these jobs the one that is watched."""
        self._closed = False
        self._ended = False
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

    @property
    def taken_over(self) -> bool:
        """Whether another worker goes on with the call: whoever has it here has lost it, and its caller."""
        return self._mirror is not None and self._mirror.taken_over

    def begin(self, header: JournalHeader) -> None:
        """Write the first line. Returns at once."""
        self._put(header)

    def event(self, at_ms: int, event: Event) -> None:
        """Record an event, before it is handled. Returns at once."""
        self._ended = self._ended or isinstance(event, CallEnded)
        self._put(Handled(at_ms, event))

    def effects(self, outgoing: Sequence[Outgoing]) -> None:
        """Record what the last event made necessary. Returns at once."""
        if outgoing:
            self._put(Caused(outgoing))

    async def sync(self) -> None:
        """Return once everything so far would survive a power cut. JournalError where it would not.

        Where the journal is shared, it is there by then, too.
        """
        if self._closed:
            raise JournalError(f"{self.path.name} is closed")
        if self.broken is None:
            await self._answer(lambda tell: Synced(tell, last=False))
        if self.broken is not None:
            raise JournalError(f"{self.path.name} cannot be written: {self.broken}")
        if self._mirror is not None:
            await self._mirror.synced()

    def sync_soon(self, *, at_once: bool = False) -> None:
        """Have everything so far survive a power cut a moment from now; returns at once, and nobody waits for it.

        With `at_once` the thread is woken for it. A disk that does not do it in time is found out by what is recorded
        after that: then the journal is broken.
        """
        self._put(SyncedSoon(at_once))
        self._marked = self._jobs
        if self._awaited is None:
            self._awaited = _Awaited(self._marked, self._clock.now_ms() + DISK_WITHIN_MS)

    async def close(self) -> None:
        """Write what is left and close the file. Never raises: whether all went well is in `broken`."""
        if not self._closed:
            self._closed = True
            try:
                await self._answer(lambda tell: Synced(tell, last=True))
                if self._mirror is not None:
                    await self._mirror.close(ended=self._ended, keep=self.broken is not None)
            finally:
                self._file.forget()

    async def opened(self) -> None:
        """Return once the file is there, or is known not to come about: then it is broken."""
        await self._answer(Opened, within_ms=MADE_WITHIN_MS)

    def _put(self, job: Job) -> None:
        if self._closed or self.broken is not None:
            return
        done = self._file.jobs_done
        if self._jobs - done >= _MOST_WAITING:
            self._give_up("the disk does not keep up")
            return
        if self._awaited is not None and not self._is_answered(self._awaited, done):
            self._give_up(f"the disk has not answered within {DISK_WITHIN_MS} ms")
            return
        self._jobs += 1
        self._hand_over(self._file, job)

    def _is_answered(self, awaited: _Awaited, done: int) -> bool:
        """Whether the disk has done in time what is to be safe, or has time yet."""
        if done >= awaited.job:
            waits = done < self._marked
            self._awaited = _Awaited(self._marked, self._clock.now_ms() + DISK_WITHIN_MS) if waits else None
            return True
        now_ms = self._clock.now_ms()
        if now_ms < awaited.until_ms:
            return True
        if awaited.doubted:
            return False
        # The process may have been stopped: then its thread has had no time, either.
        self._awaited = _Awaited(awaited.job, now_ms + _DOUBTED_FOR_MS, doubted=True)
        return True

    async def _answer(self, job: Callable[[Callable[[], None]], Job], *, within_ms: int | None = None) -> None:
        """Hand over a job and wait until the thread has done it; a journal whose disk does not answer is broken."""
        done = asyncio.Event()
        self._jobs += 1
        self._hand_over(self._file, job(lambda: _call_soon(self.loop, done.set)))
        within_ms = DISK_WITHIN_MS if within_ms is None else within_ms
        try:
            async with within(within_ms, self._clock):
                await done.wait()
        except TimeoutError:
            self._give_up(f"the disk has not answered within {within_ms} ms")

    def _give_up(self, reason: str) -> None:
        self._given_up = reason
        self._file.tell_broken(reason)


class JournalStore:
    """A directory of journals, and the thread that writes them for all calls of the process."""

    def __init__(self, directory: Path, *, clock: Clock = _REAL_TIME, shared: SharedJournals | None = None) -> None:
        """Write into `directory`, which is made where it is missing, and to what workers share, if they do.

        The disk is given time by `clock`.
        """
        self._directory = directory
        self._shared = shared
        self._clock = clock
        self._disk = Disk()

    async def open(self, call: CallId, *, on_broken: Callable[[str], None]) -> JournalWriter:
        """Make the journal of a call; `on_broken` is told why, once, on this event loop, if it ever stops.

        A call that was recorded before (the carrier has connected it again) is recorded under `<call>.2`, `<call>.3`…
        Never raises: a journal that cannot be made is broken from the start.
        """
        tell_once = _once(on_broken)
        mirror = self._mirror(tell_once)
        if mirror is not None:
            call = await mirror.begin(call)
        file = RecordFile(self._directory, call, tell_once)
        journal = JournalWriter(file, self._disk.put, self._clock, mirror)
        await journal.opened()
        if mirror is not None:
            if journal.call != call:
                await mirror.rename(journal.call)
            file.copy = lambda lines: _call_soon(journal.loop, lambda: mirror.put(lines))
            mirror.start()
        return journal

    async def left_behind(self) -> list[CallId]:
        """Return under which ids calls are recorded, here or where all can see it, that have no end and nobody has.

        Never raises.
        """
        found: dict[CallId, None] = {}
        try:
            found |= dict.fromkeys(await self._from_disk(lambda: left_behind(self._directory)))
            if self._shared is not None:
                found |= dict.fromkeys(await self._shared.interrupted())
        except (OSError, TimeoutError, StateUnavailable) as exc:
            _log.error("nobody knows which calls were left behind: %s", str(exc) or "the disk does not answer")
        return list(found)

    async def resume(
        self, call: CallId, *, on_broken: Callable[[str], None], seize: bool = False, newest: bool = True
    ) -> tuple[JournalWriter, Journal] | None:
        """Go on with the journal of a call that was broken off; None where there is none that can be gone on with.

        Where journals are shared, it may have been broken off elsewhere; a worker that has the call keeps it, unless
        with `seize`. A file that a session still writes which has lost its connection is waited for. Of several records
        of the call it is the `newest`, or else the one of exactly this id. Never raises.
        """
        tell_once = _once(on_broken)
        mirror = self._mirror(tell_once)
        found = None
        try:
            if mirror is None:
                found = await self._when_let_go(call, lambda: reopen(self._directory, call, newest=newest))
            elif (lines := await mirror.take_over(call, seize=seize, newest=newest)) is not None:
                found = await self._when_let_go(mirror.call, lambda: reopen_as(self._directory, mirror.call, lines))
        except (OSError, TimeoutError, JournalError, StateUnavailable) as exc:
            _log.error("call %s cannot go on: %s", call, str(exc) or "the disk does not answer")
            return None
        if found is None:
            return None
        file = RecordFile(self._directory, found.call, tell_once, output=found.output, named=True)
        writer = JournalWriter(file, self._disk.put, self._clock, mirror)
        if mirror is not None:
            mirror.put(found.ahead)
            file.copy = lambda lines: _call_soon(writer.loop, lambda: mirror.put(lines))
            mirror.start()
        return writer, found.journal

    async def _when_let_go(self, call: CallId, attempt: Callable[[], Reopened | None]) -> Reopened | None:
        """Reopen a file once nobody else writes it. Raises JournalError, TimeoutError, and what `attempt` raises."""
        began_ms = self._clock.now_ms()
        while (waited_ms := self._clock.now_ms() - began_ms) < _LET_GO_WITHIN_MS:
            try:
                return await self._from_disk(attempt)
            except BlockingIOError:
                noticed = waited_ms >= _NOTICED_WITHIN_MS
                if noticed and not await self._from_disk(lambda: is_breaking_off(self._directory, call)):
                    break
                await self._clock.sleep(_ASKED_AGAIN_AFTER_MS)
        raise JournalError("its journal is still being written by somebody else")

    async def _from_disk(self, look: Callable[[], T]) -> T:
        """Look at files; a disk that does not answer is left behind. Raises TimeoutError, and what `look` raises."""
        async with within(FOUND_WITHIN_MS, self._clock):
            return await asyncio.to_thread(look)

    async def is_broken_off(self, call: CallId, *, within_ms: int) -> bool:
        """Whether a call was recorded, here not longer ago than this, and has not come to its end. Never raises."""
        written_after = (self._clock.unix_ms() - within_ms) / 1_000
        try:
            if self._shared is not None:
                return await open_record(self._shared, call) is not None
            return await self._from_disk(lambda: is_broken_off(self._directory, call, written_after))
        except (OSError, TimeoutError, StateUnavailable) as exc:
            _log.error("nobody knows whether call %s was broken off: %s", call, exc)
            return False

    def _mirror(self, on_broken: Callable[[str], None]) -> JournalMirror | None:
        if self._shared is None:
            return None
        return JournalMirror(self._shared, clock=self._clock, on_broken=on_broken)

    async def close(self) -> None:
        """Write what is left and end the thread; journals are closed before. A disk that has stopped is left behind."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._disk.end(lambda: _call_soon(loop, ended.set))
        try:
            async with within(DISK_WITHIN_MS, self._clock):
                await ended.wait()
        except TimeoutError:
            _log.error("the journals' disk does not answer; what is not written by now is lost")


def _once(tell: Callable[[str], None]) -> Callable[[str], None]:
    """Return what has this event loop told a reason from any thread, the first time only."""
    loop = asyncio.get_running_loop()
    told: list[str] = []

    def tell_once(reason: str) -> None:
        if not told:
            told.append(reason)
            tell(reason)

    return lambda reason: _call_soon(loop, lambda: tell_once(reason))


def _call_soon(loop: asyncio.AbstractEventLoop, callback: Callable[[], None]) -> None:
    # The loop may be gone by the time the thread has something to say; then nobody is left to hear it.
    with suppress(RuntimeError):
        loop.call_soon_threadsafe(callback)
