"""One connection to a Gemini Live model: a reader, a writer with a bounded queue, and an end in bounded time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from voiceagent.core.effects import Message
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.gemini_live.losses import closed
from voiceagent.models.gemini_live.protocol import LiveProtocol, Outgoing
from voiceagent.ports import SessionLost, SessionSetup, SpeechModelEvent

__all__ = ["CLOSE_DEADLINE_MS", "MOST_WAITING", "PAUSE_MS", "SEND_DEADLINE_MS", "GeminiLiveSession"]

MOST_WAITING = 1_024
"""Frames that wait to be sent: twenty seconds of caller audio. More means that nothing gets through."""
SEND_DEADLINE_MS = 5_000
"""In this time a frame has gone into the socket, or the session is lost."""
CLOSE_DEADLINE_MS = 2_000
"""A far side that does not answer a close in this time is cut off."""
PAUSE_MS = 1_000
"""After so long without audio the model is told that none comes; the leg itself fills shorter gaps."""


class GeminiLiveSession:
    """Fulfils `SpeechSession`. Its tasks end with `close`, or with the connection."""

    def __init__(
        self,
        connection: ClientConnection,
        protocol: LiveProtocol,
        *,
        model: str,
        post: Callable[[SpeechModelEvent], None],
        closed: Callable[[GeminiLiveSession], None],
    ) -> None:
        self._connection = connection
        self._protocol = protocol
        self._model = model
        self._post = post
        self._when_closed = closed
        self._loop = asyncio.get_running_loop()
        self._waiting: asyncio.Queue[Outgoing] = asyncio.Queue(MOST_WAITING)
        self._unposted: deque[SpeechModelEvent] = deque()
        self._overflow: asyncio.Future[ModelUnavailable] = self._loop.create_future()
        self._over = False
        self._closing = False
        self._running = self._loop.create_task(self._run(), name="gemini_live session")

    @property
    def counts(self) -> Mapping[str, int]:
        """What was received and ignored, and how often."""
        return self._protocol.counts

    # --- the port ----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio: PCM16 at 16 kHz."""
        if not self._over:
            self._protocol.hear(audio)
            self._flush()

    def update(self, setup: SessionSetup) -> None:
        """Replace prompt and tools; SetupInForce follows when the frame has been sent, since nothing confirms it."""
        if not self._over:
            self._protocol.update(setup)
            self._flush()

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know what happened."""
        if not self._over:
            self._protocol.tell(messages)
            self._flush()

    def ask(self) -> None:
        """Have the model reply."""
        if not self._over:
            self._protocol.ask()
            self._flush()

    def cancel(self) -> None:
        """Break off the reply."""
        if not self._over:
            self._protocol.cancel()
            self._flush()

    def truncate(self, reply: str, heard_ms: int) -> None:
        """Nothing: the model knows by its own hearing where the caller cut in."""

    async def close(self) -> None:
        """End the session; nothing is posted after this has been called."""
        self._over = self._closing = True
        try:
            async with asyncio.timeout(CLOSE_DEADLINE_MS / 1_000):
                await self._connection.close()  # by itself it would wait for a far side that takes nothing
        except TimeoutError:
            pass
        finally:
            self._connection.transport.abort()
            self._running.cancel()
            self._when_closed(self)
        await asyncio.wait((self._running,))

    # --- events ------------------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Hand on what the protocol has made of a call or of a message."""
        for outgoing in self._protocol.outgoing():
            try:
                self._waiting.put_nowait(outgoing)
            except asyncio.QueueFull:
                if not self._overflow.done():
                    self._overflow.set_result(ModelUnavailable(f"{self._model} takes nothing", retry_after_ms=0))
                return
        if events := self._protocol.events():
            if not self._unposted:
                # Not at once: whoever called may not be called back before it is done.
                self._loop.call_soon(self._deliver)
            self._unposted += events

    def _deliver(self) -> None:
        while self._unposted and not self._closing:
            self._post(self._unposted.popleft())

    # --- the connection ----------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        """Read and write until one of them cannot go on."""
        ends = [
            self._loop.create_task(self._read(), name="gemini_live reader"),
            self._loop.create_task(self._write(), name="gemini_live writer"),
            self._overflow,
        ]
        try:
            done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
            if self._closing:
                # What is not read would stand before the far side's goodbye.
                await asyncio.wait(ends[:1])
            else:
                self._lose(_why(done))
        finally:
            self._over = True
            for end in ends:
                end.cancel()
            await asyncio.wait(ends)

    def _lose(self, failure: ModelUnavailable | None) -> None:
        self._over = True
        self._connection.transport.abort()
        self._unposted.append(
            SessionLost(str(failure), failure.permanent)
            if failure is not None
            else SessionLost(f"the session with {self._model} failed within itself", permanent=False)
        )
        self._deliver()

    async def _read(self) -> ModelUnavailable:
        try:
            while True:
                message = await self._connection.recv()
                if not self._closing:
                    self._protocol.receive(message)
                    self._flush()
                    self._deliver()
        except ConnectionClosed:
            return self._closed()

    async def _write(self) -> ModelUnavailable:
        try:
            while True:
                outgoing = await self._next()
                if isinstance(outgoing, str):
                    async with asyncio.timeout(SEND_DEADLINE_MS / 1_000):
                        await self._connection.send(outgoing)
                else:
                    self._unposted.append(outgoing)
                    self._deliver()
        except TimeoutError:
            return ModelUnavailable(f"{self._model} takes nothing", retry_after_ms=0)
        except ConnectionClosed:
            return self._closed()

    async def _next(self) -> Outgoing:
        """Return what is to be sent next; if no audio comes for a while, that is said in between."""
        if not self._protocol.hearing:
            return await self._waiting.get()
        try:
            async with asyncio.timeout(PAUSE_MS / 1_000):
                return await self._waiting.get()
        except TimeoutError:
            self._protocol.pause()
            self._flush()
            return await self._waiting.get()

    def _closed(self) -> ModelUnavailable:
        code, words = self._connection.close_code, self._connection.close_reason
        return closed(self._model, code or 1006, words or "", in_setup=False)


def _why(done: set[asyncio.Future[ModelUnavailable]]) -> ModelUnavailable | None:
    """Return why the first of them ended; None for a mistake of ours, which is the task's to report."""
    end = done.pop()
    if (mistake := end.exception()) is not None:
        asyncio.get_running_loop().call_exception_handler(
            {"message": "gemini_live session failed", "exception": mistake}
        )
        return None
    return end.result()
