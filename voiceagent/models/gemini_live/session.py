"""One connection to a Gemini Live model: its codec between the calls of the port and the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from websockets.asyncio.client import ClientConnection
from websockets.exceptions import ConnectionClosed

from voiceagent.core.effects import Message
from voiceagent.models.exchange import Exchange
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.gemini_live.losses import closed
from voiceagent.models.gemini_live.protocol import LiveProtocol, Outgoing
from voiceagent.models.socket_wire import SocketWire
from voiceagent.ports import SessionSetup, SetupInForce, SpeechModelEvent

__all__ = ["CLOSE_DEADLINE_MS", "PAUSE_MS", "SEND_DEADLINE_MS", "GeminiLiveSession"]

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
        self._protocol = protocol
        self._model = model
        self._when_closed = closed
        self._pause_due: asyncio.TimerHandle | None = None
        self._exchange: Exchange[Outgoing, str | bytes] = Exchange(
            _InOrderWire(SocketWire(connection, self._why_closed), self._confirmed),
            model=model,
            received=self._received,
            post=post,
            ended=self._ended,
            send_ms=SEND_DEADLINE_MS,
            close_ms=CLOSE_DEADLINE_MS,
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """What was received and ignored, and how often."""
        return self._protocol.counts

    # --- the port ----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio: PCM16 at 16 kHz."""
        self._protocol.hear(audio)
        self._flush()
        self._expect_more()

    def update(self, setup: SessionSetup) -> None:
        """Replace prompt and tools; SetupInForce follows when the frame has been sent, since nothing confirms it."""
        self._protocol.update(setup)
        self._flush()

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know what happened."""
        self._protocol.tell(messages)
        self._flush()

    def ask(self) -> None:
        """Have the model reply."""
        self._protocol.ask()
        self._flush()

    def cancel(self) -> None:
        """Break off the reply."""
        self._protocol.cancel()
        self._flush()

    def truncate(self, reply: str, heard_ms: int) -> None:
        """Nothing: the model knows by its own hearing where the caller cut in."""

    async def close(self) -> None:
        """End the session; nothing is posted after this has been called."""
        await self._exchange.close()

    # --- what comes of it --------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        """Hand on what the protocol has made of a call or of a message."""
        self._exchange.send(self._protocol.outgoing())
        self._exchange.post(self._protocol.events())

    def _received(self, message: str | bytes) -> None:
        self._protocol.receive(message)
        self._flush()

    def _confirmed(self, setup: SetupInForce) -> None:
        self._exchange.post([setup])

    def _expect_more(self) -> None:
        """Give the caller's audio its time: if none comes for a while, that is said."""
        if self._pause_due is not None:
            self._pause_due.cancel()
        if not self._exchange.over:
            self._pause_due = asyncio.get_running_loop().call_later(PAUSE_MS / 1_000, self._pause)

    def _pause(self) -> None:
        self._protocol.pause()
        self._flush()

    # --- the end -----------------------------------------------------------------------------------------------------

    def _ended(self) -> None:
        if self._pause_due is not None:
            self._pause_due.cancel()
        self._when_closed(self)

    def _why_closed(self, exc: ConnectionClosed) -> ModelUnavailable:
        code, words = (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd is not None else (1006, "")
        return closed(self._model, code, words, in_setup=False)


class _InOrderWire:
    """A socket, and what is true as soon as every frame before it has gone into it."""

    def __init__(self, socket: SocketWire, confirmed: Callable[[SetupInForce], None]) -> None:
        self._socket = socket
        self._confirmed = confirmed
        self.receive = socket.receive
        self.part = socket.part
        self.drop = socket.drop

    async def send(self, outgoing: Outgoing) -> None:
        if isinstance(outgoing, str):
            await self._socket.send(outgoing)
        else:
            self._confirmed(outgoing)
