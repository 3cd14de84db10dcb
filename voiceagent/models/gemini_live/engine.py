"""Connects to Gemini Live models: the setup goes out first, and a session is handed out once it has been confirmed."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable
from dataclasses import replace

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException

from voiceagent.errors import OperatorError
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.gemini_live.frames import setup_frame
from voiceagent.models.gemini_live.generations import Generation, capabilities_of, generation_of
from voiceagent.models.gemini_live.losses import closed, refused
from voiceagent.models.gemini_live.protocol import LiveProtocol
from voiceagent.models.gemini_live.session import CLOSE_DEADLINE_MS, GeminiLiveSession
from voiceagent.ports import SessionSetup, SpeechCapabilities, SpeechModelEvent

__all__ = ["GEMINI_LIVE_URL", "GeminiLiveModels"]

GEMINI_LIVE_URL = (
    "wss://generativelanguage.googleapis.com/ws/"
    "google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
)

_PING_INTERVAL_S = 20.0
_PONG_DEADLINE_S = 60.0
"""Pongs have been measured to take 8 to 30 s; the library's 20 s end sessions that are well
(https://github.com/aicc2025/sip-to-ai/pull/14)."""
_MOST_MESSAGE_BYTES = 4_194_304
_UNACKNOWLEDGED_MS = 10_000
"""Caller audio goes out all the time, so a dead connection shows in what is not acknowledged, long before a pong."""

_socket_log = logging.getLogger(f"{__name__}.socket")
_socket_log.setLevel(logging.INFO)  # at DEBUG the library writes the key of the handshake, and every word of the caller


class GeminiLiveModels:
    """One model of Google's Gemini Live, for all calls of the process; fulfils `SpeechModelEngine`."""

    def __init__(
        self,
        model: str,
        *,
        api_key: str,
        generation: Generation | None = None,
        end_of_speech_ms: int | None = None,
        connect_ms: int = 3_000,
        url: str = GEMINI_LIVE_URL,
    ) -> None:
        """Prepare; nothing is sent. Blocks for a moment: certificates are read.

        `generation` overrides what the model's name says about how it is swapped, told and asked. The caller's turn
        ends after `end_of_speech_ms` of silence, the provider's own measure if None. A session that is not confirmed
        within `connect_ms` is given up. Raises OperatorError without a key.
        """
        if not api_key:
            raise OperatorError(f"the model {model!r} needs a key: set GEMINI_API_KEY")
        self._model = model
        self._generation = generation or generation_of(model)
        self._end_of_speech_ms = end_of_speech_ms
        self._connect_ms = connect_ms
        self._url = url
        self._headers = {"x-goog-api-key": api_key}
        self._certificates = ssl.create_default_context() if url.startswith("wss:") else None
        self._sessions: set[GeminiLiveSession] = set()

    @property
    def capabilities(self) -> SpeechCapabilities:
        """The provider's row, as the model's generation has it."""
        return replace(capabilities_of(self._generation), turn_ends_after_ms=self._end_of_speech_ms)

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> GeminiLiveSession:
        """Return a session in which the setup is in force. Raises ModelUnavailable."""
        protocol = LiveProtocol(setup, self._generation)
        frame = setup_frame(self._model, setup, self._generation, end_of_speech_ms=self._end_of_speech_ms)
        try:
            async with asyncio.timeout(self._connect_ms / 1_000):
                connection = await self._dial()
                try:
                    await connection.send(frame)
                    while not protocol.ready:
                        protocol.receive(await connection.recv())
                except BaseException:  # cancellation too: nobody else knows of the connection
                    connection.transport.abort()
                    raise
        except TimeoutError as exc:
            raise ModelUnavailable(f"{self._model} was not ready within {self._connect_ms} ms") from exc
        except InvalidStatus as exc:
            raise refused(self._model, exc.response.status_code, exc.response.headers) from exc
        except ConnectionClosed as exc:
            code, words = (exc.rcvd.code, exc.rcvd.reason) if exc.rcvd is not None else (1006, "")
            raise closed(self._model, code, words, in_setup=True) from None  # its text has the provider's words
        except (OSError, WebSocketException) as exc:
            raise ModelUnavailable(f"the connection to {self._model} failed", retry_after_ms=0) from exc
        session = GeminiLiveSession(connection, protocol, model=self._model, post=post, closed=self._sessions.discard)
        self._sessions.add(session)
        return session

    async def close(self) -> None:
        """Close what is still open."""
        await asyncio.gather(*(session.close() for session in tuple(self._sessions)))

    async def _dial(self) -> ClientConnection:
        connection = await connect(
            self._url,
            additional_headers=self._headers,
            ssl=self._certificates,
            compression=None,
            open_timeout=None,
            ping_interval=_PING_INTERVAL_S,
            ping_timeout=_PONG_DEADLINE_S,
            close_timeout=CLOSE_DEADLINE_MS / 1_000,
            max_size=_MOST_MESSAGE_BYTES,
            logger=_socket_log,
        )
        wire: socket.socket = connection.transport.get_extra_info("socket")
        if hasattr(socket, "TCP_USER_TIMEOUT"):
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _UNACKNOWLEDGED_MS)
        return connection
