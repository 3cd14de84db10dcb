"""A live Nova session: the codec between a bounded queue of what is to be sent and a reader of what comes."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass

from voiceagent.core.effects import Message
from voiceagent.errors import VoiceFailed
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.nova.frames import FRAME_MS, Frame
from voiceagent.models.nova.protocol import NovaProtocol
from voiceagent.models.nova.stream import NovaStream
from voiceagent.ports import Clock, SessionEnding, SessionLost, SessionSetup, SpeechModelEvent

__all__ = ["NovaSession", "Pace"]

_log = logging.getLogger(__name__)
MAX_QUEUED = 30_000 // FRAME_MS
"""Events that may wait to be sent: about half a minute of the caller's audio."""


@dataclass(frozen=True, slots=True)
class Pace:
    """How a session's writer takes its time."""

    settle_ms: int = 10
    """Between a text and what follows it, as LiveKit found necessary; 0 is no pause at all."""
    send_ms: int = 5_000
    """A provider that has taken nothing for so long is gone."""
    close_ms: int = 1_000
    """For the end in good order; after that the connection is dropped."""


class NovaSession:
    """One session; fulfils `SpeechSession`. Its tasks begin with `start`."""

    def __init__(
        self,
        protocol: NovaProtocol,
        stream: NovaStream,
        post: Callable[[SpeechModelEvent], None],
        *,
        model: str,
        pace: Pace,
    ) -> None:
        self._protocol = protocol
        self._stream = stream
        self._post = post
        self._model = model
        self._pace = pace
        self._queue: deque[Frame] = deque(protocol.take_frames())
        self._events: deque[SpeechModelEvent] = deque()
        self._wake = asyncio.Event()
        self._over = False
        """Nothing is taken any more, and nothing that the provider still sends is posted."""
        self._finishing = False
        """The writer ends once the queue is empty."""
        self._writing: asyncio.Task[None] | None = None
        self._reading: asyncio.Task[None] | None = None
        self._letting_go: asyncio.Task[None] | None = None
        self._stop_alarm: Callable[[], None] | None = None

    # --- the beginning -----------------------------------------------------------------------------------------------

    async def send_setup(self) -> None:
        """Send what opens the session. Raises ModelUnavailable; the caller has a deadline for it."""
        while self._queue:
            await self._stream.send(self._queue.popleft().payload)

    def start(self, clock: Clock, *, ends_at_ms: int | None, notice_ms: int) -> None:
        """Begin to write and read. At `ends_at_ms` of the clock nothing more can be signed: told `notice_ms` ahead."""
        self._writing = asyncio.create_task(self._write())
        self._reading = asyncio.create_task(self._read())
        if ends_at_ms is not None:
            self._stop_alarm = clock.call_at(
                max(clock.now_ms(), ends_at_ms - notice_ms),
                lambda: self._happened([SessionEnding(max(0, ends_at_ms - clock.now_ms()))]),
            )

    # --- the port ----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take caller audio, any length."""
        if not self._over:
            self._protocol.hear(audio)
            self._flush()

    def update(self, setup: SessionSetup) -> None:
        """Nova fixes prompt and tools at the beginning: always raises VoiceFailed."""
        raise VoiceFailed(f"{self._model} needs another session for epoch {setup.epoch}")

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know, as `NovaProtocol` says."""
        if not self._over:
            self._protocol.tell(messages)
            self._flush()

    def ask(self) -> None:
        """Have the model speak."""
        if not self._over:
            self._protocol.ask()
            self._flush()

    def cancel(self) -> None:
        """Swallow the rest of the reply; ModelReplyEnded follows."""
        if not self._over:
            self._protocol.cancel()
            self._flush()

    def truncate(self, reply: str, heard_ms: int) -> None:
        """Nothing: Nova knows by itself what it was let say."""

    async def close(self) -> None:
        """End the session: in good order where the provider lets us in time, by dropping it where not."""
        self._events.clear()
        if not self._over:
            self._over = self._finishing = True
            self._cancel_alarm()
            self._protocol.end()
            self._queue += self._protocol.take_frames()
            self._wake.set()
            try:
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._pace.close_ms / 1_000):
                        await self._end_in_good_order()
            finally:  # cancelled or not
                self._letting_go = asyncio.create_task(self._let_go())
        if self._letting_go is not None:
            await asyncio.shield(self._letting_go)

    async def _end_in_good_order(self) -> None:
        if self._writing is not None and self._reading is not None:
            await asyncio.wait({self._writing})
            await self._stream.finish()
            await asyncio.wait({self._reading})

    @property
    def ignored(self) -> dict[str, int]:
        """What came and said nothing to us: kind → how often."""
        return self._protocol.ignored

    # --- out ---------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._send_due()
        if events := self._protocol.take_events():
            self._post_soon(events)

    def _post_soon(self, events: Sequence[SpeechModelEvent]) -> None:
        """Post, but not from within a call of the owner's; what the reader has is posted after it all the same."""
        self._events += events
        asyncio.get_running_loop().call_soon(self._post_all)

    def _send_due(self) -> None:
        frames = self._protocol.take_frames()
        if len(self._queue) + len(frames) > MAX_QUEUED:
            self._lose(f"{self._model} takes less than the caller says", permanent=False)
        elif frames:
            self._queue += frames
            self._wake.set()

    async def _write(self) -> None:
        try:
            while True:
                while self._queue:
                    frame = self._queue.popleft()
                    async with asyncio.timeout(self._pace.send_ms / 1_000):
                        await self._stream.send(frame.payload)
                    if frame.settles and self._pace.settle_ms:
                        await asyncio.sleep(self._pace.settle_ms / 1_000)
                if self._finishing:
                    return
                self._wake.clear()
                await self._wake.wait()
        except TimeoutError:
            self._lose(f"{self._model} has taken nothing for {self._pace.send_ms} ms", permanent=False)
        except ModelUnavailable as failure:
            self._lose(str(failure), permanent=failure.permanent)

    # --- in ----------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        """Read to the end. There is no deadline: a session in which nobody speaks is silent for minutes."""
        try:
            while (payload := await self._stream.receive()) is not None:
                if not self._over:
                    self._protocol.receive(payload)
                    self._happened(self._protocol.take_events())
                    self._send_due()
        except ModelUnavailable as failure:
            self._lose(str(failure), permanent=failure.permanent)
        else:
            self._lose(f"{self._model} hung up", permanent=False)

    def _happened(self, events: Sequence[SpeechModelEvent]) -> None:
        self._events += events
        self._post_all()

    def _post_all(self) -> None:
        while self._events:
            self._post(self._events.popleft())

    # --- the end -----------------------------------------------------------------------------------------------------

    def _lose(self, reason: str, *, permanent: bool) -> None:
        if self._over:
            return
        self._over = True
        self._post_soon([SessionLost(reason, permanent)])
        self._cancel_alarm()
        self._letting_go = asyncio.create_task(self._let_go())

    def _cancel_alarm(self) -> None:
        if self._stop_alarm is not None:
            self._stop_alarm()
            self._stop_alarm = None

    async def _let_go(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
        await self._stream.abort()
        tasks = {task for task in (self._writing, self._reading) if task is not None}
        if tasks:
            await asyncio.wait(tasks, timeout=self._pace.close_ms / 1_000)
        for task in tasks:
            task.cancel()
