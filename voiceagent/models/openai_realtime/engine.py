"""OpenAI Realtime for all calls of the process: a session is handed out once its setup has been confirmed."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable
from contextlib import suppress

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_realtime.endpoints import RealtimeEndpoint
from voiceagent.models.openai_realtime.losses import own_words
from voiceagent.models.openai_realtime.protocol import RealtimeProtocol
from voiceagent.models.openai_realtime.session import CLOSE_MS, RealtimeSession
from voiceagent.models.openai_realtime.setup import ServerTurns, Turns, capabilities_of
from voiceagent.ports import SessionLost, SessionSetup, SpeechCapabilities, SpeechModelEvent

__all__ = ["OpenAIRealtimeModels"]

_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.INFO)
# The library's debug lines are whole frames and headers: what the caller says, and the key.

_MAX_FRAME_BYTES = 16 * 2**20
_PING_S = 20.0


class OpenAIRealtimeModels:
    """One model of one endpoint, for every call of the process; fulfils `SpeechModelEngine`."""

    def __init__(
        self,
        endpoint: RealtimeEndpoint,
        *,
        turns: Turns | None = None,
        transcription: str | None = "gpt-realtime-whisper",
        language: str | None = None,
        connect_ms: int = 3_000,
        answer_ms: int = 5_000,
    ) -> None:
        """Prepare sessions; nothing is sent. Reads certificates from disk.

        `transcription` names the model that writes down the caller's words, None for none; `language` is its hint, as
        in `de`. A session fails that is not connected after `connect_ms`, or in which the provider leaves a setup, an
        ask or a cancel unanswered for `answer_ms`.
        """
        self._endpoint = endpoint
        self._turns = turns or ServerTurns()
        self._transcription = transcription
        self._language = language
        self._connect_ms = connect_ms
        self._answer_ms = answer_ms
        self._tls = ssl.create_default_context() if endpoint.url.startswith("wss:") else None
        self._capabilities = capabilities_of(endpoint.name, transcribes=transcription is not None, turns=self._turns)

    @property
    def capabilities(self) -> SpeechCapabilities:
        """The provider's row."""
        return self._capabilities

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> RealtimeSession:
        """Return a session in which the setup is in force. Raises ModelUnavailable."""
        model = self._endpoint.model
        protocol = RealtimeProtocol(
            model, turns=self._turns, transcription=self._transcription, language=self._language
        )
        with own_words(model, late=f"could not be reached within {self._connect_ms} ms"):
            async with asyncio.timeout(self._connect_ms / 1_000):
                socket = await self._open_socket()
        try:
            with own_words(model, late=f"did not confirm the setup within {self._answer_ms} ms"):
                async with asyncio.timeout(self._answer_ms / 1_000):
                    await _set_up(socket, protocol, setup)
        except BaseException:  # cancellation too: a socket left open costs a session
            socket.transport.abort()
            raise
        return RealtimeSession(socket, protocol, post, model=model, answer_ms=self._answer_ms)

    async def close(self) -> None:
        """Nothing is held: sockets belong to their sessions."""

    async def _open_socket(self) -> ClientConnection:
        return await _ConnectHere(
            self._endpoint.url,
            additional_headers=self._endpoint.headers,
            ssl=self._tls,
            compression=None,  # audio in base64: deflating it takes longer than sending it
            open_timeout=None,
            close_timeout=CLOSE_MS / 1_000,
            ping_interval=_PING_S,
            ping_timeout=_PING_S,
            max_size=_MAX_FRAME_BYTES,
            logger=_wire_log,
        )


class _ConnectHere(connect):
    """Connects, and follows nobody elsewhere: Azure's header with the key would go along."""

    def process_redirect(self, exc: Exception) -> Exception | str:
        return exc


async def _set_up(socket: ClientConnection, protocol: RealtimeProtocol, setup: SessionSetup) -> None:
    with suppress(ConnectionClosed):  # what was said before the close, and why, is read below
        for frame in protocol.open(setup):
            await socket.send(frame)
    while not protocol.ready:
        for event in protocol.receive(await socket.recv()).events:
            if isinstance(event, SessionLost):
                raise ModelUnavailable(event.reason, permanent=event.permanent)
