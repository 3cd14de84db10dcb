"""One bidirectional stream to Amazon Bedrock, by AWS's own SDK: events as bytes in, events as bytes out.

What the SDK (aws_sdk_bedrock_runtime 0.12, smithy-http 0.6, awscrt 0.32) leaves to its user, read in its source:

- only the CRT transport can send and receive at once, and only over HTTP/2;
- an identity that cannot be resolved hangs the call for ever, so it is resolved before; it is asked for again for
  every event, and another answer breaks the signature's chain, so a stream keeps the one it began with;
- what waits for the response hangs for ever where the connection is lost before its head has come, so nobody waits
  without a deadline;
- cancelling what waits for the CRT makes its thread complete a cancelled future, so nothing is cancelled here before
  the connection is shut down.
"""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import import_module
from typing import Any, Protocol

from voiceagent.errors import MissingExtra
from voiceagent.models.failures import ModelUnavailable

__all__ = ["AwsCredentials", "BedrockStreams", "NovaStream", "crt_transport"]

_log = logging.getLogger(__name__)
_CHATTY = ("aws_sdk_bedrock_runtime", "smithy_aws_core", "smithy_aws_event_stream", "smithy_core", "smithy_http")
"""At DEBUG the SDK logs every event whole: the caller's voice and words."""
_SETTLE_S = 1.0
"""For each of the steps in which a connection is let go."""
_CONNECTING_S = 15.0
"""The CRT gives up a connection by itself after 3 s of TCP and 10 s of TLS; it cannot be told to before."""

_LOCKED_OUT = frozenset({401, 403, 404})
"""HTTP statuses that are about the credentials or the model's name."""
_KNOWN = {
    "AccessDeniedException": True,
    "ResourceNotFoundException": True,
    "UnrecognizedClientException": True,
    "InvalidSignatureException": True,
    "IncompleteSignatureException": True,
    "ExpiredTokenException": True,
    "InternalServerException": False,
    "ModelErrorException": False,
    "ModelNotReadyException": False,
    "ModelStreamErrorException": False,
    "ModelTimeoutException": False,
    "ServiceQuotaExceededException": False,
    "ServiceUnavailableException": False,
    "ThrottlingException": False,
    "ValidationException": False,
}
"""What AWS calls its failures → whether another session would fare the same."""
_IDLE = "InternalErrorCode=531"
"""Stands in a ValidationException after about 175 s without speech."""


@dataclass(frozen=True, slots=True)
class AwsCredentials:
    """What requests to AWS are signed with."""

    access_key: str
    secret_key: str = field(repr=False)
    session_token: str | None = field(default=None, repr=False)
    expires_at: datetime | None = None
    """With a time zone; None is never."""


class NovaStream(Protocol):
    """What a session needs of a connection. Only `abort` may be called while another call is waiting."""

    async def opened(self, *, patience_ms: int) -> None:
        """Return once the provider has answered, or has taken all that was sent and not refused it for so long.

        Raises ModelUnavailable.
        """
        ...

    async def send(self, payload: bytes) -> None:
        """Send one event; waits while the provider takes none. Raises ModelUnavailable."""
        ...

    async def receive(self) -> bytes | None:
        """Return the next event, or None after the last. Raises ModelUnavailable."""
        ...

    async def finish(self) -> None:
        """Say that nothing more will be sent."""
        ...

    async def abort(self) -> None:
        """Let the connection go, in bounded time; whoever waits in `receive` is told that it is over."""
        ...


def crt_transport() -> Any:
    """Return what carries the SDK's requests: the CRT's HTTP client, which refuses anything but HTTP/2."""
    crt = import_module("smithy_http.aio.crt")
    return crt.AWSCRTHTTPClient(client_config=crt.AWSCRTHTTPClientConfig(force_http_2=True))


class BedrockStreams:
    """Opens streams to one model in one region."""

    def __init__(
        self,
        model: str,
        *,
        region: str,
        credentials: AwsCredentials | Callable[[], Awaitable[AwsCredentials]] | None,
        endpoint: str | None,
    ) -> None:
        """Load the SDK, which takes a second or so. Raises MissingExtra."""
        self._model = model
        self._region = region
        self._credentials = credentials
        self._endpoint = endpoint
        try:
            self._sdk = import_module("aws_sdk_bedrock_runtime.client")
            self._shapes = import_module("aws_sdk_bedrock_runtime.models")
            self._config_class: Any = import_module("aws_sdk_bedrock_runtime.config").AsyncBedrockRuntimeConfig
            self._identities = import_module("smithy_aws_core.identity")
            self._transport = crt_transport()
        except ImportError as exc:
            raise MissingExtra("Amazon Nova (which also needs Python 3.12 or newer)", extra="nova") from exc
        for name in _CHATTY:
            if logging.getLogger(name).level == logging.NOTSET:
                logging.getLogger(name).setLevel(logging.INFO)
        self._lock = asyncio.Lock()
        self._config: Any = None
        self._letting_go: set[asyncio.Task[None]] = set()

    @property
    def fixed(self) -> bool:
        """Whether every stream is signed with the same credentials: once expired, they stay so."""
        return isinstance(self._credentials, AwsCredentials)

    async def identity(self) -> AwsCredentials:
        """Return what a stream that is opened now would be signed with. Raises ModelUnavailable."""
        given = self._credentials
        if isinstance(given, AwsCredentials):
            return given
        try:
            found: Any = await (given() if given is not None else self._found())
        except Exception as exc:  # the adapter boundary: it may have asked files, programs and metadata services
            reason = f"no credentials for {self._model} ({type(exc).__name__})"
            raise ModelUnavailable(reason, permanent=given is None) from exc
        if given is not None:
            return found
        return AwsCredentials(
            found.access_key_id, found.secret_access_key, found.session_token, _in_utc(found.expiration)
        )

    async def _found(self) -> Any:
        # The SDK searches sys.path for finders of credentials and reads files, on the loop: it is given another one.
        transport = await self._own_transport()
        finding = self._identities.IdentityChain.create(
            self._identities.AWSCredentialsIdentity, region_override=self._region, http_client=transport
        )
        try:
            chain = await asyncio.to_thread(asyncio.run, finding)
            return await asyncio.to_thread(asyncio.run, chain.get_identity(properties={}))
        finally:
            await transport.close()

    async def _own_transport(self) -> Any:
        """Return a transport that shares the CRT's thread with the others, and no connection."""
        # It reads the system's certificates, which takes 20 ms: no call is to wait for that.
        return await asyncio.to_thread(copy.deepcopy, self._transport)

    async def open(self, credentials: AwsCredentials) -> NovaStream:
        """Begin a request; it is not known yet whether it can be had. Raises ModelUnavailable."""
        async with self._lock:
            if self._config is None:
                self._config = await self._config_class.resolve(
                    region=self._region,
                    transport=self._transport,
                    aws_access_key_id="unused",
                    aws_secret_access_key="unused",  # noqa: S106 - a stream brings its own
                    **({"endpoint_uri": self._endpoint} if self._endpoint else {}),
                )
        carrier = _Carrier(await self._own_transport())
        identity = self._identities.AWSCredentialsIdentity(
            access_key_id=credentials.access_key,
            secret_access_key=credentials.secret_key,
            session_token=credentials.session_token,
        )

        def own(config: Any) -> None:
            config.transport = carrier
            config.aws_credentials_identity_resolver = _Pinned(identity)

        client = self._sdk.AsyncBedrockRuntimeClient(config=self._config, plugins=[own])
        beginning = asyncio.create_task(self._begin(client, carrier))
        try:
            return await asyncio.shield(beginning)
        except asyncio.CancelledError:
            self.let_go(_abandon(beginning))
            raise

    async def _begin(self, client: Any, carrier: _Carrier) -> _Stream:
        operation = self._shapes.InvokeModelWithBidirectionalStreamOperationInput(model_id=self._model)
        try:
            duplex = await client.invoke_model_with_bidirectional_stream(operation)
        except Exception as exc:  # the adapter boundary
            raise _failure(self._model, exc, heard=False, fixed=self.fixed) from exc
        return _Stream(self._model, duplex=duplex, carrier=carrier, shapes=self._shapes, streams=self)

    def let_go(self, ending: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something ended that its owner does not wait for."""
        task = asyncio.create_task(ending)
        self._letting_go.add(task)
        task.add_done_callback(self._letting_go.discard)
        return task

    async def close(self) -> None:
        """Wait for connections that are being let go, in bounded time."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_CONNECTING_S):
                while self._letting_go:  # one of them may begin another
                    await asyncio.wait(self._letting_go)
        for task in self._letting_go:
            task.cancel()
        await self._transport.close()


async def _abandon(beginning: asyncio.Task[_Stream]) -> None:
    with suppress(Exception):  # there is nobody to tell
        stream = await asyncio.wait_for(beginning, _SETTLE_S)
        await stream.abort()


class _Pinned:
    """The identity that a stream began with, for all of its events."""

    def __init__(self, identity: Any) -> None:
        self._identity = identity

    async def get_identity(self, *, properties: Any) -> Any:
        """Return it, whatever is asked."""
        del properties
        return self._identity

    async def invalidate(self) -> None:
        """Keep it all the same."""


class _Carrier:
    """The transport of one stream: the CRT's, and what it does not tell, whether it has a connection yet."""

    SUPPORTS_DUPLEX_STREAMING = True

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.connected = asyncio.Event()
        self.sending: asyncio.Task[Any] | None = None
        self.writing: asyncio.Task[Any] | None = None
        """The CRT's own, which nobody asks how it ended."""
        self._body: Any = None
        self._taken = 0
        self._progress = asyncio.Event()

    @property
    def TIMEOUT_EXCEPTIONS(self) -> Any:  # noqa: N802 - the SDK's name
        """Exceptions that the SDK takes for a time-out."""
        return self._inner.TIMEOUT_EXCEPTIONS

    async def send(self, request: Any, *, request_config: Any = None) -> Any:
        """Send a request. Cancelling this does not cancel what the CRT is doing."""
        self._body = request.body
        watched = copy.copy(request)
        watched.body = self._watched(request.body)
        self.sending = asyncio.create_task(self._inner.send(watched, request_config=request_config))
        return await asyncio.shield(self.sending)

    async def _watched(self, body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        # The body is asked for once there is a connection to write it to.
        self.writing = asyncio.current_task()
        self.connected.set()
        async for chunk in body:
            yield chunk
            self._taken += 1
            self._progress.set()

    async def taken(self, events: int) -> None:
        """Return once so many events have been written to the connection."""
        while self._taken < events:
            self._progress.clear()
            await self._progress.wait()

    async def stop_sending(self) -> None:
        """Drop what has not been sent."""
        if self._body is not None:
            await self._body.close(flush=False)

    async def close(self) -> None:
        """Shut the connection down."""
        await self._inner.close()


class _Stream:
    """A `NovaStream` on the SDK's duplex stream."""

    def __init__(self, model: str, *, duplex: Any, carrier: _Carrier, shapes: Any, streams: BedrockStreams) -> None:
        self._model = model
        self._duplex = duplex
        self._carrier = carrier
        self._chunk = shapes.InvokeModelWithBidirectionalStreamInputChunk
        self._part = shapes.BidirectionalInputPayloadPart
        self._streams = streams
        self._opening: asyncio.Task[Any] = asyncio.create_task(duplex.await_output())
        self._sent = 0
        self._heard = False
        self._gone = asyncio.Event()

    async def opened(self, *, patience_ms: int) -> None:
        await self._first_of(self._carrier.taken(self._sent))
        if not self._opening.done():
            await asyncio.wait({self._opening}, timeout=patience_ms / 1_000)
        if self._opening.done():
            self._output()

    async def _first_of(self, other: Coroutine[Any, Any, object]) -> None:
        """Wait for the response's head or for something else, whichever comes first."""
        waiting = asyncio.create_task(other)
        try:
            await asyncio.wait({self._opening, waiting}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            waiting.cancel()

    def _output(self) -> Any:
        try:
            _, output = self._opening.result()
        except (Exception, asyncio.CancelledError) as exc:  # the adapter boundary
            raise self._failure(exc) from exc
        return output

    def _failure(self, exc: BaseException) -> ModelUnavailable:
        return _failure(self._model, exc, heard=self._heard, fixed=self._streams.fixed)

    async def send(self, payload: bytes) -> None:
        try:
            await self._duplex.input_stream.send(self._chunk(value=self._part(bytes_=payload)))
        except Exception as exc:  # the adapter boundary
            raise self._failure(exc) from exc
        self._sent += 1

    async def receive(self) -> bytes | None:
        if not self._opening.done():
            await self._first_of(self._gone.wait())
        while self._opening.done():
            output = self._output()
            try:
                event: Any = await output.receive()
            except Exception as exc:  # the adapter boundary
                if self._gone.is_set():
                    return None
                raise self._failure(exc) from exc
            if event is None:
                return None
            self._heard = True
            payload: object = getattr(getattr(event, "value", None), "bytes_", None)
            if isinstance(payload, bytes):
                return payload
        return None

    async def finish(self) -> None:
        with suppress(Exception):  # what cannot be finished is aborted
            await self._duplex.input_stream.close()

    async def abort(self) -> None:
        if not self._gone.is_set():
            self._gone.set()
            ending = self._streams.let_go(self._let_go())
            if self._connected:
                await asyncio.wait({ending}, timeout=3 * _SETTLE_S)

    @property
    def _connected(self) -> bool:
        sending = self._carrier.sending
        return self._carrier.connected.is_set() or sending is None or sending.done()

    async def _let_go(self) -> None:
        sending = self._carrier.sending
        if sending is not None and not self._connected:
            connected = asyncio.create_task(self._carrier.connected.wait())
            await asyncio.wait({sending, connected}, timeout=_CONNECTING_S, return_when=asyncio.FIRST_COMPLETED)
            connected.cancel()
        for step in (self._carrier.stop_sending, self._carrier.close):
            try:
                async with asyncio.timeout(_SETTLE_S):
                    await step()
            except Exception as exc:  # noqa: BLE001 - whatever it was, the next step is due
                _log.debug("letting go of a connection: %s", type(exc).__name__)
        # With the connection gone the CRT's thread calls nobody any more.
        for task in (self._carrier.writing, self._opening, self._carrier.sending):
            if task is not None:
                await _put_to_rest(task, patient=task is self._carrier.writing)


async def _put_to_rest(task: asyncio.Task[Any], *, patient: bool) -> None:
    """End a task, and hear how it ended so that nobody complains that nobody did."""
    if patient:
        await asyncio.wait({task}, timeout=_SETTLE_S)
    task.cancel()
    await asyncio.wait({task}, timeout=_SETTLE_S)
    if task.done() and not task.cancelled():
        task.exception()


# --- failures --------------------------------------------------------------------------------------------------------


def _failure(model: str, exc: BaseException, *, heard: bool, fixed: bool) -> ModelUnavailable:
    """Return the failure in words that may be recorded; AWS's own may repeat a key, or what the caller has said."""
    if type(exc).__name__ == "SmithyError" and exc.__cause__ is not None:
        exc = exc.__cause__
    name = type(exc).__name__
    status = getattr(getattr(exc, "response_metadata", None), "http_status_code", None)
    message = str(getattr(exc, "message", ""))
    if name == "ValidationException" and _IDLE in message:
        return ModelUnavailable(f"{model} ended a session in which nobody spoke", retry_after_ms=0)
    if name == "ModelTimeoutException":
        return ModelUnavailable(f"{model} ended a session that had reached its limit", retry_after_ms=0)
    code = next((known for known in _KNOWN if known == name or known in message), None)
    if code is None and status is None:
        return ModelUnavailable(f"the connection to {model} failed ({name})", retry_after_ms=0)
    # Before anything was heard it is the setup that is not valid: a prompt, a tool, a voice, the model's name.
    permanent = (
        (code is not None and _KNOWN[code]) or status in _LOCKED_OUT or (code == "ValidationException" and not heard)
    )
    how = " and ".join(part for part in (f"HTTP {status}" if status is not None else "", code or "") if part)
    wait_s = getattr(exc, "retry_after", None)
    wait_ms = int(wait_s * 1_000) if isinstance(wait_s, int | float) else None
    throttled = status == 429 or code in ("ThrottlingException", "ServiceQuotaExceededException")
    if wait_ms is None and not permanent and not throttled:
        wait_ms = 0
    return ModelUnavailable(f"{model} answered {how}", permanent=permanent, retry_after_ms=wait_ms)


def _in_utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment is not None and moment.tzinfo is None else moment
