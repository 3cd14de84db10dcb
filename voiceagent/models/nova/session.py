"""A live Nova session: its codec between the calls of the port and the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from voiceagent.core.effects import Message
from voiceagent.errors import VoiceFailed
from voiceagent.models.exchange import Exchange
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.nova.frames import Frame
from voiceagent.models.nova.protocol import NovaProtocol
from voiceagent.models.nova.stream import NovaStream
from voiceagent.ports import Clock, SessionEnding, SessionSetup, SpeechModelEvent

__all__ = ["NovaSession", "Pace"]


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
    """One session whose setup has been sent; fulfils `SpeechSession`."""

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
        self._model = model
        self._stop_alarm: Callable[[], None] | None = None
        self._exchange: Exchange[Frame, bytes] = Exchange(
            _StreamWire(stream, model, pace),
            model=model,
            received=self._received,
            post=post,
            ended=self._cancel_alarm,
            send_ms=pace.send_ms,
            close_ms=pace.close_ms,
        )

    def expires(self, clock: Clock, *, ends_at_ms: int, notice_ms: int) -> None:
        """At `ends_at_ms` of the clock nothing more can be signed: say so `notice_ms` ahead."""
        self._stop_alarm = clock.call_at(
            max(clock.now_ms(), ends_at_ms - notice_ms),
            lambda: self._exchange.post([SessionEnding(max(0, ends_at_ms - clock.now_ms()))]),
        )

    @property
    def ignored(self) -> Mapping[str, int]:
        """What came and said nothing to us: kind → how often."""
        return self._protocol.ignored

    # --- the port ----------------------------------------------------------------------------------------------------

    def hear(self, audio: bytes) -> None:
        """Take caller audio, any length."""
        self._protocol.hear(audio)
        self._flush()

    def update(self, setup: SessionSetup) -> None:
        """Nova fixes prompt and tools at the beginning: always raises VoiceFailed."""
        raise VoiceFailed(f"{self._model} needs another session for epoch {setup.epoch}")

    def tell(self, messages: Sequence[Message]) -> None:
        """Let the model know, as `NovaProtocol` says."""
        self._protocol.tell(messages)
        self._flush()

    def ask(self) -> None:
        """Have the model speak."""
        self._protocol.ask()
        self._flush()

    def cancel(self) -> None:
        """Swallow the rest of the reply; ModelReplyEnded follows."""
        self._protocol.cancel()
        self._flush()

    def truncate(self, reply: str, heard_ms: int) -> None:
        """Nothing: Nova knows by itself what it was let say."""

    async def close(self) -> None:
        """End the session: in good order where the provider lets us in time, by dropping it where not."""
        self._protocol.end()
        await self._exchange.close(last=self._protocol.take_frames())

    # --- what comes of it --------------------------------------------------------------------------------------------

    def _flush(self) -> None:
        self._exchange.send(self._protocol.take_frames())
        self._exchange.post(self._protocol.take_events())

    def _received(self, payload: bytes) -> None:
        self._protocol.receive(payload)
        self._flush()

    def _cancel_alarm(self) -> None:
        if self._stop_alarm is not None:
            self._stop_alarm()
            self._stop_alarm = None


class _StreamWire:
    """A stream as `Exchange` takes it."""

    def __init__(self, stream: NovaStream, model: str, pace: Pace) -> None:
        self._stream = stream
        self._model = model
        self._pace = pace
        self.part = stream.finish
        self.drop = stream.abort

    async def send(self, frame: Frame) -> None:
        await self._stream.send(frame.payload)
        if frame.settles and self._pace.settle_ms:
            await asyncio.sleep(self._pace.settle_ms / 1_000)

    async def receive(self) -> bytes:
        payload = await self._stream.receive()
        if payload is None:
            raise ModelUnavailable(f"{self._model} hung up", retry_after_ms=0)
        return payload
