"""Speaks with the caller through OpenAI Realtime, at OpenAI itself, at Azure, or at a server that speaks its protocol.

A session is one WebSocket with two tasks: one reads, one writes what the calls of the port have queued, since a model
is told, asked and sent audio without waiting. The socket's own pings find out a far side that is gone without a word.
"""

from __future__ import annotations

import asyncio
import logging
import re
import ssl
from collections import deque
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from urllib.parse import quote, urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from voiceagent.core.effects import Message
from voiceagent.errors import OperatorError, VoiceFailed
from voiceagent.models.failures import ModelUnavailable
from voiceagent.models.openai_realtime.protocol import RealtimeProtocol
from voiceagent.models.openai_realtime.setup import ServerTurns, Turns, capabilities_of
from voiceagent.ports import SessionLost, SessionSetup, SpeechCapabilities, SpeechModelEvent

__all__ = ["OpenAIRealtimeModels", "RealtimeEndpoint", "azure_endpoint", "openai_endpoint"]

_log = logging.getLogger(__name__)
_wire_log = logging.getLogger(f"{__name__}.wire")
_wire_log.setLevel(logging.INFO)
# The library's debug lines are whole frames and headers: what the caller says, and the key.

_OPENAI_URL = "https://api.openai.com/v1"
_MAX_FRAME_BYTES = 16 * 2**20
_MAX_UNSENT_CHARS = 4 * 2**20
"""About a minute of PCM: long before that a live conversation is lost."""
_SEND_MS = 5_000
"""A far side that has taken nothing for so long is gone, whatever its socket says."""
_CLOSE_MS = 1_000
_ASK_AGAIN_MS = 200
"""An ask that is refused though nothing is being made is repeated, for five seconds in all."""
_PING_S = 20.0
_LOCKED_OUT = frozenset({400, 401, 403, 404})
"""HTTP statuses that are about the key, the model's name or the address."""
_REFUSED_CLOSES = frozenset({3000, 3003, 4000})
"""Close codes that stand for an HTTP status of that kind: OpenAI gives the error as their reason."""
_CLOSE_REASON = re.compile(r"invalid_request_error\.([a-z][a-z_]{0,63})")


# --- endpoints -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RealtimeEndpoint:
    """Where sessions are opened."""

    name: str
    """The provider, for capabilities."""
    model: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    """They hold the key."""


def openai_endpoint(model: str, *, api_key: str | None, base_url: str | None = None) -> RealtimeEndpoint:
    """Return OpenAI's own endpoint, or that of another server which may need no key. Raises OperatorError."""
    if not api_key and base_url is None:
        raise OperatorError(f"the model {model!r} needs a key: set OPENAI_API_KEY, or name another server")
    url = f"{_socket_url(base_url or _OPENAI_URL)}/realtime?model={quote(model, safe='')}"
    return RealtimeEndpoint("openai_realtime", model, url, {"Authorization": f"Bearer {api_key}"} if api_key else {})


def azure_endpoint(resource_url: str, *, deployment: str, api_key: str) -> RealtimeEndpoint:
    """Return the endpoint of a deployment at Azure, e.g. of https://NAME.openai.azure.com. Raises OperatorError.

    A model that transcribes is a deployment of its own there.
    """
    if not api_key:
        raise OperatorError(f"the deployment {deployment!r} needs a key: set AZURE_OPENAI_API_KEY")
    url = f"{_socket_url(resource_url)}/openai/v1/realtime?model={quote(deployment, safe='')}"
    return RealtimeEndpoint("azure_realtime", deployment, url, {"api-key": api_key})


def _socket_url(url: str) -> str:
    parts = urlsplit(url)
    scheme = {"https": "wss", "wss": "wss", "http": "ws", "ws": "ws"}.get(parts.scheme)
    if scheme is None or not parts.hostname or parts.query or parts.fragment:
        raise OperatorError(f"not the address of a realtime server: {url!r}; write it as in 'https://host/v1'")
    return f"{scheme}://{parts.netloc}{parts.path.rstrip('/')}"


# --- the engine ------------------------------------------------------------------------------------------------------


class OpenAIRealtimeModels:
    """One model of one endpoint, for every call of the process; fulfils `SpeechModelEngine`."""

    def __init__(
        self,
        endpoint: RealtimeEndpoint,
        *,
        turns: Turns | None = None,
        transcription: str | None = "gpt-realtime-whisper",
        language: str | None = None,
        connect_ms: int = 5_000,
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
        self._capabilities = capabilities_of(endpoint.name, transcribes=transcription is not None)

    @property
    def capabilities(self) -> SpeechCapabilities:
        """The provider's row."""
        return self._capabilities

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> _Session:
        """Return a session in which the setup is in force. Raises ModelUnavailable."""
        model = self._endpoint.model
        protocol = RealtimeProtocol(
            model, turns=self._turns, transcription=self._transcription, language=self._language
        )
        with _own_words(model, late=f"could not be reached within {self._connect_ms} ms"):
            async with asyncio.timeout(self._connect_ms / 1_000):
                socket = await self._open_socket()
        try:
            with _own_words(model, late=f"did not confirm the setup within {self._answer_ms} ms"):
                async with asyncio.timeout(self._answer_ms / 1_000):
                    await _set_up(socket, protocol, setup)
        except BaseException:  # cancellation too: a socket left open costs a session
            socket.transport.abort()
            raise
        return _Session(model, socket, protocol, post, answer_ms=self._answer_ms)

    async def close(self) -> None:
        """Nothing is held: sockets belong to their sessions."""

    async def _open_socket(self) -> ClientConnection:
        return await _ConnectHere(
            self._endpoint.url,
            additional_headers=self._endpoint.headers,
            ssl=self._tls,
            compression=None,  # audio in base64: deflating it takes longer than sending it
            open_timeout=None,
            close_timeout=_CLOSE_MS / 1_000,
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


# --- the session -----------------------------------------------------------------------------------------------------


class _Session:
    """One WebSocket; fulfils `SpeechSession`."""

    def __init__(
        self,
        model: str,
        socket: ClientConnection,
        protocol: RealtimeProtocol,
        post: Callable[[SpeechModelEvent], None],
        *,
        answer_ms: int,
    ) -> None:
        self._model = model
        self._answer_ms = answer_ms
        self._socket = socket
        self._protocol = protocol
        self._post = post
        self._over = False
        self._unsent: deque[str] = deque()
        self._unsent_chars = 0
        self._has_unsent = asyncio.Event()
        self._asking_again: asyncio.TimerHandle | None = None
        self._awaits: tuple[str, str] | None = None
        self._answer_due: asyncio.TimerHandle | None = None
        self._tasks = (
            asyncio.create_task(self._read(), name="realtime session, reading"),
            asyncio.create_task(self._write(), name="realtime session, writing"),
        )

    @property
    def counts(self) -> Mapping[str, int]:
        """Frames that nothing was made of, and errors, by their kind."""
        return self._protocol.counts

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
        """End the session, at most a second later; what is queued is not sent any more."""
        self._over = True
        self._stop()
        try:
            async with asyncio.timeout(_CLOSE_MS / 1_000):
                await asyncio.gather(*self._tasks, return_exceptions=True)
                await self._socket.close()
        except TimeoutError:
            _log.debug("%s did not say goodbye in time", self._model)
        finally:
            self._socket.transport.abort()

    # --- out ---------------------------------------------------------------------------------------------------------

    def _send(self, frames: Sequence[str]) -> None:
        if self._over:
            return
        for frame in frames:
            self._unsent.append(frame)
            self._unsent_chars += len(frame)
        if self._unsent_chars > _MAX_UNSENT_CHARS:
            self._unsent.clear()
            self._unsent_chars = 0
            # Not from in here: whoever sends does not expect an event before it returns.
            asyncio.get_running_loop().call_soon(self._lose, "takes too little of what is sent")
        elif self._unsent:
            self._has_unsent.set()
        self._watch()

    def _watch(self) -> None:
        """Give the provider its time for the answer that it owes now."""
        if (awaits := self._protocol.awaits) == self._awaits:
            return
        self._awaits = awaits
        if self._answer_due is not None:
            self._answer_due.cancel()
        if awaits is not None:
            late = f"did not confirm {awaits[0]} within {self._answer_ms} ms"
            self._answer_due = asyncio.get_running_loop().call_later(self._answer_ms / 1_000, self._lose, late)

    async def _write(self) -> None:
        with suppress(ConnectionClosed):  # the reader knows why
            while await self._has_unsent.wait():
                self._has_unsent.clear()
                while self._unsent:
                    frame = self._unsent.popleft()
                    self._unsent_chars -= len(frame)
                    try:
                        async with asyncio.timeout(_SEND_MS / 1_000):
                            await self._socket.send(frame)
                    except TimeoutError:
                        self._lose(f"took nothing for {_SEND_MS} ms")

    # --- in ----------------------------------------------------------------------------------------------------------

    async def _read(self) -> None:
        try:
            while True:
                self._take(await self._socket.recv())
        except ConnectionClosed as exc:
            self._lose(*_closed(exc))
        except Exception as exc:  # noqa: BLE001 - adapter boundary: whatever it was, the call must hear of it
            _log.warning("%s: a frame could not be taken (%s)", self._model, type(exc).__name__)
            self._lose("sent what could not be taken")

    def _take(self, message: str | bytes) -> None:
        received = self._protocol.receive(message)
        self._send(received.frames)
        for event in received.events:
            if self._over:
                return
            if isinstance(event, SessionLost):
                self._end(event)
            else:
                self._post(event)
        if self._protocol.waits_to_ask and self._asking_again is None and not self._over:
            loop = asyncio.get_running_loop()
            self._asking_again = loop.call_later(_ASK_AGAIN_MS / 1_000, self._ask_again)

    def _ask_again(self) -> None:
        self._asking_again = None
        self._send(self._protocol.ask_again())

    # --- the end -----------------------------------------------------------------------------------------------------

    def _lose(self, reason: str, permanent: bool = False) -> None:  # noqa: FBT001, FBT002 - `_closed` gives the pair
        self._end(SessionLost(f"{self._model} {reason}", permanent=permanent))

    def _end(self, lost: SessionLost) -> None:
        if self._over:
            return
        self._over = True
        self._stop()
        self._socket.transport.abort()
        self._post(lost)

    def _stop(self) -> None:
        for timer in (self._asking_again, self._answer_due):
            if timer is not None:
                timer.cancel()
        for task in self._tasks:
            task.cancel()


# --- failures --------------------------------------------------------------------------------------------------------


def _closed(exc: ConnectionClosed) -> tuple[str, bool]:
    """Return why a socket was closed, and whether another one would be too."""
    if exc.rcvd is None:
        return "is gone without a word", False
    # A reason is the provider's text; of OpenAI's form only the plain code in it is passed on.
    named = _CLOSE_REASON.fullmatch(exc.rcvd.reason)
    code = f"{exc.rcvd.code} {named[1]}" if named is not None else f"{exc.rcvd.code}"
    expired = named is not None and named[1] == "session_expired"
    permanent = exc.rcvd.code in _REFUSED_CLOSES and not expired
    return f"closed the session ({code})", permanent


@contextmanager
def _own_words(model: str, *, late: str) -> Generator[None]:
    """Turn what the library raises into words that may be recorded."""
    try:
        yield
    except VoiceFailed:
        raise
    except TimeoutError as exc:
        raise ModelUnavailable(f"{model} {late}") from exc
    except InvalidStatus as exc:
        raise _refusal(model, exc) from None  # its response may repeat the key
    except ConnectionClosed as exc:
        reason, permanent = _closed(exc)
        raise ModelUnavailable(f"{model} {reason}", permanent=permanent) from None
    except OSError as exc:
        raise ModelUnavailable(f"the connection to {model} failed", retry_after_ms=0) from exc
    except Exception as exc:  # noqa: BLE001 - adapter boundary; without its cause, since a refused header is the key
        raise ModelUnavailable(f"{model} is not a realtime server ({type(exc).__name__})") from None


def _refusal(model: str, exc: InvalidStatus) -> ModelUnavailable:
    status = exc.response.status_code
    reason = f"{model} answered HTTP {status}"
    # When the money is used up OpenAI answers 429 too, and goes on doing so.
    if status in _LOCKED_OUT or b"insufficient_quota" in (exc.response.body or b""):
        return ModelUnavailable(reason, permanent=True)
    wait_ms = _retry_after_ms(exc)
    if wait_ms is None and status >= 500:
        wait_ms = 0
    return ModelUnavailable(reason, retry_after_ms=wait_ms)


def _retry_after_ms(exc: InvalidStatus) -> int | None:
    """Return what the server asks us to wait, where it says so in seconds or milliseconds."""
    for header, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        value = exc.response.headers.get(header, "")
        if re.fullmatch(r"\d{1,6}(\.\d+)?", value):
            return int(float(value) * unit_ms)
    return None
