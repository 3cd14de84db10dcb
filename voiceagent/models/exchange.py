"""A live connection to a speech model: what is sent waits its turn, what happens is posted in order, and it ends once.

Every provider's session is one of these between its codec and its wire. Two tasks run, one reads and one writes, since
a model is told, asked and sent audio without waiting. Both queues are bounded: a conversation that lags behind by as
much as they hold is over, and the call has to hear of it.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from typing import Generic, Protocol, TypeVar

from voiceagent.models.failures import ModelUnavailable
from voiceagent.ports import SessionLost, SpeechModelEvent

__all__ = ["MOST_UNPOSTED", "MOST_WAITING", "Exchange", "Wire"]

_log = logging.getLogger(__name__)

MOST_WAITING = 1_024
"""Frames that wait to be sent: some twenty seconds of caller audio."""
MOST_UNPOSTED = 1_024
"""Events that wait to be posted: far more than come about while one caller of the session has its turn."""

SentT = TypeVar("SentT")
SentT_contra = TypeVar("SentT_contra", contravariant=True)
ReceivedT = TypeVar("ReceivedT")
ReceivedT_co = TypeVar("ReceivedT_co", covariant=True)


class Wire(Protocol[SentT_contra, ReceivedT_co]):
    """A connection as the provider's library has it."""

    async def send(self, frame: SentT_contra, /) -> None:
        """Send; returns once it has been taken. Raises ModelUnavailable, or leaves that to `receive`."""
        ...

    async def receive(self) -> ReceivedT_co:
        """Return what comes next. Raises ModelUnavailable where nothing will."""
        ...

    async def part(self) -> None:
        """Say goodbye; whoever calls has a deadline for it."""
        ...

    async def drop(self) -> None:
        """Let go of the connection, in bounded time; `receive` returns or raises."""
        ...


class Exchange(Generic[SentT, ReceivedT]):
    """One connection from when its setup is in force to its end. Begins to read and write at once."""

    def __init__(
        self,
        wire: Wire[SentT, ReceivedT],
        *,
        model: str,
        received: Callable[[ReceivedT], None],
        post: Callable[[SpeechModelEvent], None],
        ended: Callable[[], None],
        send_ms: int,
        close_ms: int,
    ) -> None:
        """Take the wire over. `received` is given what comes; `ended` is called once, when nothing is taken any more.

        A provider that takes nothing for `send_ms` is gone. `close_ms` is for the end in good order.
        """
        self._wire = wire
        self._model = model
        self._received = received
        self._post = post
        self._ended = ended
        self._send_ms = send_ms
        self._close_ms = close_ms
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[SentT] = deque()
        self._wake = asyncio.Event()
        self._unposted: deque[SpeechModelEvent] = deque()
        self._last_is_in = False
        """The writer ends once all that waits has been sent."""
        self._over = False
        self._ending: asyncio.Task[None] | None = None
        self._writing = self._loop.create_task(self._until_it_fails(self._write), name=f"{model}, writing")
        self._reading = self._loop.create_task(self._until_it_fails(self._read), name=f"{model}, reading")

    @property
    def over(self) -> bool:
        """Whether it has been lost or closed: nothing is taken any more, nor posted but for the loss."""
        return self._over

    def send(self, frames: Iterable[SentT]) -> None:
        """Send these, after all that waits."""
        if self._over:
            return
        self._waiting += frames
        if len(self._waiting) > MOST_WAITING:
            self.lose(f"{self._model} takes less than it is sent")
        elif self._waiting:
            self._wake.set()

    def post(self, events: Sequence[SpeechModelEvent]) -> None:
        """Post these in order, though not from within a call of the owner's: it expects none before that returns."""
        if self._over or not events:
            return
        if len(self._unposted) + len(events) > MOST_UNPOSTED:
            self.lose(f"{self._model} says more than is listened to")
            return
        self._unposted += events
        self._loop.call_soon(self._deliver)

    def lose(self, reason: str, *, permanent: bool = False) -> None:
        """End it: what has happened is still posted, and then that it is lost."""
        if self._over:
            return
        self._end_taking()
        self._unposted.append(SessionLost(reason, permanent))
        self._loop.call_soon(self._deliver)
        self._ending = self._loop.create_task(self._let_go())

    async def close(self, *, last: Sequence[SentT] | None = None) -> None:
        """End it; nothing is posted after this has been called, and it goes on ending if this is cancelled.

        `last` is sent after all that waits; where it is None nothing is sent any more.
        """
        self._unposted.clear()
        if not self._over:
            waiting = tuple(self._waiting)
            self._end_taking()
            if last is None:
                self._writing.cancel()
            else:
                self._waiting += (*waiting, *last)
                self._last_is_in = True
                self._wake.set()
            self._ending = self._loop.create_task(self._part())
        if self._ending is not None:
            await asyncio.shield(self._ending)

    # --- the two tasks -----------------------------------------------------------------------------------------------

    async def _until_it_fails(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            await work()
        except ModelUnavailable as failure:
            self.lose(str(failure), permanent=failure.permanent)
        except Exception as exc:  # noqa: BLE001 - adapter boundary: whatever it was, the call must hear of it
            _log.warning("%s: a session failed (%s)", self._model, type(exc).__name__)
            self.lose(f"the session with {self._model} failed")

    async def _write(self) -> None:
        while not self._last_is_in or self._waiting:
            while self._waiting:
                frame = self._waiting.popleft()
                try:
                    async with asyncio.timeout(self._send_ms / 1_000):
                        await self._wire.send(frame)
                except TimeoutError:
                    raise ModelUnavailable(f"{self._model} has taken nothing for {self._send_ms} ms") from None
            if not self._last_is_in:
                self._wake.clear()
                await self._wake.wait()

    async def _read(self) -> None:
        """Read to the end. There is no deadline: a session in which nobody speaks is silent for minutes."""
        while True:
            message = await self._wire.receive()
            if not self._over:  # what is not read would stand before the far side's goodbye
                self._received(message)
                self._deliver()

    def _deliver(self) -> None:
        while self._unposted:
            event = self._unposted.popleft()
            try:
                self._post(event)
            except Exception as exc:  # noqa: BLE001 - the same boundary, from the other side
                _log.warning("%s: an event could not be taken (%s)", self._model, type(exc).__name__)
                self.lose(f"{self._model} said what could not be taken")

    # --- the end -----------------------------------------------------------------------------------------------------

    def _end_taking(self) -> None:
        self._over = True
        self._waiting.clear()
        self._ended()

    async def _part(self) -> None:
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._close_ms / 1_000):
                    await asyncio.wait({self._writing})
                    await self._wire.part()
                    await asyncio.wait({self._reading})
        finally:
            await self._let_go()

    async def _let_go(self) -> None:
        tasks = {self._writing, self._reading}
        self._writing.cancel()
        await self._wire.drop()
        await asyncio.wait(tasks, timeout=self._close_ms / 1_000)
        for task in tasks:
            task.cancel()
