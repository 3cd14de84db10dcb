"""One connection to a realtime server: its codec between the calls of the port and the wire.

The socket's own pings find out a far side that is gone without a word; one that answers them and not us is found out by
what it owes an answer to.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from websockets.asyncio.client import ClientConnection

from voiceagent.core.effects import Message
from voiceagent.models.exchange import Exchange
from voiceagent.models.openai_realtime.losses import closed
from voiceagent.models.openai_realtime.protocol import RealtimeProtocol
from voiceagent.models.socket_wire import SocketWire
from voiceagent.ports import SessionLost, SessionSetup, SpeechModelEvent

__all__ = ["CLOSE_MS", "RealtimeSession"]

CLOSE_MS = 1_000
"""A far side that does not answer a close in this time is cut off."""
_SEND_MS = 5_000
"""A far side that has taken nothing for so long is gone, whatever its socket says."""
_ASK_AGAIN_MS = 200
"""An ask that is refused though nothing is being made is repeated, for five seconds in all."""


class RealtimeSession:
    """Fulfils `SpeechSession`. Its tasks end with `close`, or with the socket."""

    def __init__(
        self,
        socket: ClientConnection,
        protocol: RealtimeProtocol,
        post: Callable[[SpeechModelEvent], None],
        *,
        model: str,
        answer_ms: int,
    ) -> None:
        self._model = model
        self._protocol = protocol
        self._answer_ms = answer_ms
        self._asking_again: asyncio.TimerHandle | None = None
        self._awaits: tuple[str, str] | None = None
        self._answer_due: asyncio.TimerHandle | None = None
        self._exchange: Exchange[str, str | bytes] = Exchange(
            SocketWire(socket, partial(closed, model)),
            model=model,
            received=self._received,
            post=post,
            ended=self._stop_timers,
            send_ms=_SEND_MS,
            close_ms=CLOSE_MS,
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """Frames that nothing was made of, and errors, by their kind."""
        return self._protocol.counts

    # --- the port ----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take the next caller audio, in the setup's format, any length."""
        self._send(self._protocol.hear(audio))

    def update(self, setup: SessionSetup) -> None:
        """Replace prompt and tools; SetupInForce follows."""
        self._send(self._protocol.update(setup))

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know what happened, in order, without making it speak."""
        self._send(self._protocol.tell(messages))

    def ask(self) -> None:
        """Have the model reply to what it knows. While a reply is being made this waits for its end."""
        self._send(self._protocol.ask())

    def cancel(self) -> None:
        """Break off the reply that is being made, and forget an `ask` not sent yet."""
        self._send(self._protocol.cancel())

    def truncate(self, reply: str, heard_ms: int) -> None:
        """Cut what the model believes to have said to what was heard of it."""
        self._send(self._protocol.truncate(reply, heard_ms))

    async def close(self) -> None:
        """End the session; what is queued is not sent any more."""
        await self._exchange.close()

    # --- what comes of it --------------------------------------------------------------------------------------------

    def _send(self, frames: Sequence[str]) -> None:
        self._exchange.send(frames)
        self._watch()

    def _watch(self) -> None:
        """Give the provider its time for the answer that it owes now."""
        if self._exchange.over or (awaits := self._protocol.awaits) == self._awaits:
            return
        self._awaits = awaits
        if self._answer_due is not None:
            self._answer_due.cancel()
        if awaits is not None:
            late = f"{self._model} did not confirm {awaits[0]} within {self._answer_ms} ms"
            loop = asyncio.get_running_loop()
            self._answer_due = loop.call_later(self._answer_ms / 1_000, self._exchange.lose, late)

    def _received(self, message: str | bytes) -> None:
        received = self._protocol.receive(message)
        for event in received.events:
            if isinstance(event, SessionLost):
                self._exchange.lose(event.reason, permanent=event.permanent)
            else:
                self._exchange.post([event])
        self._send(received.frames)
        if self._protocol.waits_to_ask and self._asking_again is None and not self._exchange.over:
            loop = asyncio.get_running_loop()
            self._asking_again = loop.call_later(_ASK_AGAIN_MS / 1_000, self._ask_again)

    def _ask_again(self) -> None:
        self._asking_again = None
        self._send(self._protocol.ask_again())

    def _stop_timers(self) -> None:
        for timer in (self._asking_again, self._answer_due):
            if timer is not None:
                timer.cancel()
