"""Journal mirror: a call's journal kept outside the process as well, so that another worker can go on with the call.

Lines go there in order, appended where the journal ends and under the lease of this worker. While the shared state does
not answer the call goes on, and its lines wait in memory; what must be recorded before it is done is not done then. A
call that another worker has taken is never written again from here.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence

from voiceagent.core.ids import CallId
from voiceagent.errors import JournalError, LeaseLost, StateUnavailable
from voiceagent.in_time import within
from voiceagent.ports import CALL_LEASE_MS, CallLease, Clock, SharedJournals

__all__ = ["JournalMirror", "open_record", "record_names"]

_log = logging.getLogger(__name__)

SYNCED_WITHIN_MS = 2_500
"""Whoever waits for a line to be there has a caller waiting."""
CLOSED_WITHIN_MS = 5_000
MOST_WAITING_BYTES = 4 * 1024 * 1024
"""An hour of talk, about."""
_RENEWED_AFTER_MS = CALL_LEASE_MS // 3
_MOST_AT_ONCE = 500
_RETRIED_AFTER_MS = (100, 200, 500, 1_000, 2_000)
_MOST_NAMES = 1_000
_BEYOND = 1_000_000_000
"""More lines than any journal has: whether there is one is all that is asked."""


def record_names(call: CallId) -> Iterator[CallId]:
    """Return the ids under which a call is recorded that a carrier connects again and again."""
    yield call
    for number in range(2, _MOST_NAMES):
        yield CallId(f"{call}.{number}")


async def open_record(shared: SharedJournals, call: CallId) -> CallId | None:
    """Return the id of the newest record of a call; None where there is none, or it has come to its end.

    Raises StateUnavailable.
    """
    newest = None
    ended = False
    for name in record_names(call):
        recorded = await shared.read(name, start=_BEYOND)
        if recorded is None:
            break
        newest, ended = name, recorded.ended
    return None if ended else newest


class JournalMirror:
    """One call's journal in the shared state. Belongs to the event loop on which it was begun."""

    def __init__(self, shared: SharedJournals, *, clock: Clock, on_broken: Callable[[str], None]) -> None:
        """`on_broken` is told why, once, if nothing more can be written there for good."""
        self._shared = shared
        self._clock = clock
        self._on_broken = on_broken
        self._call = CallId("")
        self._lease: CallLease | None = None
        self._length = 0
        """Of the journal as far as it is known to be there."""
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._received = 0
        self._there = 0
        """Lines received, and of these those that are there."""
        self._broken: str | None = None
        self._taken_over = False
        self._closing = False
        self._wake = asyncio.Event()
        self._moved = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def call(self) -> CallId:
        """The id of the record."""
        return self._call

    @property
    def taken_over(self) -> bool:
        """Whether another worker has the call by now."""
        return self._taken_over

    async def begin(self, call: CallId) -> CallId:
        """Own a new record of this call, and return the id that it has: one that nothing is recorded under.

        Where nobody answers it is the call's own; the record is begun as soon as somebody does.
        """
        self._call = call
        try:
            for name in record_names(call):
                self._lease = await self._shared.begin(name)
                if self._lease is not None:
                    self._call = name
                    break
            else:
                self._break(f"there are {_MOST_NAMES} records of this call")
        except StateUnavailable as exc:
            _log.warning("call %s begins without shared state: %s", call, exc)
        return self._call

    async def rename(self, call: CallId) -> None:
        """Begin anew under another id, before any line: the one that was free there is taken here."""
        before, self._lease, self._call = self._call, None, call
        try:
            await self._shared.erase(before)
        except StateUnavailable as exc:
            _log.warning("an empty record of call %s is left in the shared state: %s", before, exc)

    async def take_over(self, call: CallId, *, seize: bool, newest: bool = True) -> tuple[bytes, ...] | None:
        """Own the newest record of a call that another worker had, go on behind its last line, and return its lines.

        Without `newest` it is the record of exactly this id.
        None where there is none, it has come to its end, or a worker that lives has it. With `seize` that worker loses
        the call: for whoever knows that the caller is connected here by now. Raises StateUnavailable.
        """
        recorded_as = await open_record(self._shared, call) if newest else call
        lease = await self._shared.take_over(recorded_as, seize=seize) if recorded_as is not None else None
        recorded = await self._shared.read(lease.call) if lease is not None else None
        if lease is None or recorded is None or recorded.ended:
            return None
        self._call, self._lease, self._length = lease.call, lease, len(recorded.lines)
        return recorded.lines

    def start(self) -> None:
        """Begin to write and to renew the lease."""
        self._task = asyncio.create_task(self._run())

    def put(self, lines: Sequence[bytes]) -> None:
        """Take the next lines. Returns at once."""
        if self._broken is not None:
            return
        self._waiting += lines
        self._waiting_bytes += sum(map(len, lines))
        self._received += len(lines)
        if self._waiting_bytes > MOST_WAITING_BYTES:
            self._break("the shared state has been away for too long")
        self._wake.set()

    async def synced(self) -> None:
        """Return once all lines taken so far are there. JournalError where that is not so in time."""
        wanted = self._received
        try:
            async with within(SYNCED_WITHIN_MS, self._clock):
                while self._there < wanted and self._broken is None:
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError:
            raise JournalError(f"the shared state has not taken the record of call {self._call}") from None
        if self._broken is not None:
            raise JournalError(f"the record of call {self._call} cannot be shared: {self._broken}")

    async def close(self, *, ended: bool, keep: bool = False) -> None:
        """Write what is left; with `ended` mark the end, otherwise leave the call to whoever goes on with it.

        With `keep` its lines outlive its end: they may stand nowhere else.
        """
        self._closing = True
        self._wake.set()
        try:
            async with within(CLOSED_WITHIN_MS, self._clock):
                if self._task is not None:
                    await self._task
                if self._lease is not None and self._broken is None:
                    await (self._shared.end(self._lease, keep=keep) if ended else self._shared.release(self._lease))
        except (TimeoutError, StateUnavailable, LeaseLost) as exc:
            _log.error("the shared record of call %s has no end: %s", self._call, str(exc) or "nobody answers")

    # --- the task ---

    async def _run(self) -> None:
        """Write what there is, renew the lease where there is nothing, and try again where nobody answers."""
        failures = 0
        while self._broken is None and not (self._closing and not self._waiting):
            try:
                await self._write()
            except StateUnavailable as exc:
                if failures == 0:
                    _log.warning("call %s is not recorded in the shared state for now: %s", self._call, exc)
                await self._clock.sleep(_RETRIED_AFTER_MS[min(failures, len(_RETRIED_AFTER_MS) - 1)])
                failures += 1
            except LeaseLost:
                self._break("another worker has the call" if self._taken_over else "the record is gone")
            else:
                failures = 0
                if not self._waiting and not self._closing:
                    await self._until_needed()

    async def _write(self) -> None:
        try:
            await self._write_as_owner()
        except LeaseLost:
            # What was erased has no owner.
            self._taken_over = await self._shared.read(self._call, start=_BEYOND) is not None
            raise

    async def _write_as_owner(self) -> None:
        if self._lease is None:
            self._lease = await self._own()
        if self._lease is None:
            self._break("a call of this id is recorded already")
        elif self._waiting:
            lines = [self._waiting[number] for number in range(min(len(self._waiting), _MOST_AT_ONCE))]
            length = await self._shared.append(self._lease, self._length, lines)
            self._are_there(length - self._length)
        else:
            await self._shared.renew(self._lease)

    async def _own(self) -> CallLease | None:
        """Begin the record; one without a line is our own, from a request that was done though nobody answered it."""
        lease = await self._shared.begin(self._call)
        if lease is None:
            recorded = await self._shared.read(self._call)
            if recorded is not None and not (recorded.lines or recorded.ended):
                return await self._shared.take_over(self._call, seize=True)
        return lease

    def _are_there(self, count: int) -> None:
        if not 0 < count <= len(self._waiting):
            self._break("it is not as it was left")
            return
        for _ in range(count):
            self._waiting_bytes -= len(self._waiting.popleft())
        self._length += count
        self._there += count
        self._moved.set()

    async def _until_needed(self) -> None:
        """Wait for lines, or until the lease is to be renewed."""
        self._wake.clear()
        cancel = self._clock.call_at(self._clock.now_ms() + _RENEWED_AFTER_MS, self._wake.set)
        try:
            await self._wake.wait()
        finally:
            cancel()

    def _break(self, reason: str) -> None:
        if self._broken is None:
            self._broken = reason
            self._waiting.clear()
            self._moved.set()
            self._wake.set()
            self._on_broken(f"shared state: {reason}")
