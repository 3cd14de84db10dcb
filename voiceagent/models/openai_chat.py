"""Answers the caller with a chat model behind an OpenAI-compatible endpoint, OpenAI's own or a local server's.

The official SDK does the talking. Its retries are off, since a caller waits: what may be had at once is asked for a
second time before the first word, and never after it.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import AsyncGenerator, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING

from voiceagent.core.effects import ModelRequest
from voiceagent.errors import MissingExtra, OperatorError, VoiceFailed
from voiceagent.models.chat_messages import functions_for, messages_for
from voiceagent.models.chat_replies import ReplyAssembly
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.ports import ReplyPiece
from voiceagent.spec.flow import Flow
from voiceagent.zones import zone_of

if TYPE_CHECKING:
    from openai import APIStatusError, AsyncOpenAI, AsyncStream
    from openai.types.chat import ChatCompletionChunk, ChatCompletionFunctionToolParam, ChatCompletionMessageParam

__all__ = ["OpenAIChatModels"]

_log = logging.getLogger(__name__)
_OPENAI_URL = "https://api.openai.com/v1"
_NO_KEY = "none"
"""Sent to servers that ask for no key. Left out, the SDK would send them OpenAI's from the environment."""
_IDLE_CONNECTION_S = 60.0
"""The SDK's 5 s are shorter than most turns of a caller: nearly every reply would begin with a TLS handshake."""
_TRAILER_WAIT_MS = 200
"""How long a complete reply may wait for its token count, which comes after it."""
_ATTEMPTS = 2
_REFUSED = frozenset({400, 413, 422})
"""HTTP statuses that are about this request."""
_LOCKED_OUT = frozenset({401, 403, 404})
"""HTTP statuses that are about the key or the model's name."""
_PLAIN_CODE = re.compile(r"^[a-z][a-z_]{0,63}$")


class OpenAIChatModels:
    """One model of one endpoint, for every call of the process; fulfils `ReplyModelEngine`."""

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        api_key: str | None = None,
        first_piece_ms: int = 5_000,
        request_timeout_ms: int = 30_000,
    ) -> None:
        """Prepare connections; nothing is sent. Blocks for half a second: the SDK is loaded, certificates are read.

        Without `base_url` it is OpenAI's own endpoint, which needs a key. A reply fails that has not begun after
        `first_piece_ms`, a second attempt included, or that is not complete after `request_timeout_ms`. Raises
        MissingExtra, OperatorError.
        """
        if not api_key and not base_url:
            raise OperatorError(f"the model {model!r} needs a key: set OPENAI_API_KEY, or name another server")
        self._endpoint = _Endpoint(
            client=_client(base_url or _OPENAI_URL, api_key or _NO_KEY, request_timeout_ms),
            model=model,
            first_piece_ms=first_piece_ms,
            request_timeout_ms=request_timeout_ms,
            # Templates of local models refuse a second system message: https://github.com/vllm-project/vllm/issues/41114
            one_system_message=bool(base_url),
        )

    def open(self, flow: Flow, *, locale: str, time_zone: str) -> _ChatModel:
        """Return a handle for one call of this flow; its prompts decide which language is spoken."""
        return _ChatModel(self._endpoint, flow, time_zone)

    async def close(self) -> None:
        """Close the connections."""
        await self._endpoint.client.close()


class _ChatModel:
    """The model as one call sees it. It remembers no reply: every request carries all it needs."""

    def __init__(self, endpoint: _Endpoint, flow: Flow, time_zone: str) -> None:
        self._endpoint = endpoint
        self._flow = flow
        self._time_zone = time_zone

    async def reply(self, request: ModelRequest) -> AsyncGenerator[ReplyPiece]:
        """Stream one reply. Raises ModelUnavailable or ReplyRefused; closing the generator closes the request."""
        today = datetime.fromtimestamp(request.unix_ms / 1_000, zone_of(self._time_zone)).date()
        messages = messages_for(request, today=today, one_system_message=self._endpoint.one_system_message)
        stream = await self._endpoint.begin(messages, functions_for(self._flow, request))
        reply = ReplyAssembly(request.history)
        try:
            while not reply.finished:
                for piece in reply.take(await stream.next()):
                    yield piece
            for chunk in await stream.trailer():
                reply.count(chunk)
        finally:
            await stream.close()
        if reply.empty:
            raise ReplyRefused(f"{self._endpoint.model} said nothing")
        yield reply.done

    async def close(self) -> None:
        """Nothing is held."""


# --- the endpoint ----------------------------------------------------------------------------------------------------


@dataclass(slots=True, kw_only=True)
class _Endpoint:
    """Where replies come from."""

    client: AsyncOpenAI
    model: str
    first_piece_ms: int
    request_timeout_ms: int
    one_system_message: bool
    counts_tokens: bool = True
    """Until the server refuses `stream_options`."""

    async def begin(
        self, messages: Sequence[ChatCompletionMessageParam], tools: Sequence[ChatCompletionFunctionToolParam]
    ) -> _Stream:
        """Return the stream of a reply whose first words have come. Raises ModelUnavailable, ReplyRefused."""
        asked_at = asyncio.get_running_loop().time()
        with _own_words(self.model, late=f"did not begin within {self.first_piece_ms} ms"):
            async with asyncio.timeout_at(asked_at + self.first_piece_ms / 1_000):
                chunks = await self._first_words(messages, tools)
        return _Stream(chunks, self, done_by=asked_at + self.request_timeout_ms / 1_000)

    async def _first_words(
        self, messages: Sequence[ChatCompletionMessageParam], tools: Sequence[ChatCompletionFunctionToolParam]
    ) -> _Begun:
        for _ in range(_ATTEMPTS - 1):
            try:
                return await self._attempt(messages, tools)
            except ModelUnavailable as failure:
                if failure.retry_after_ms != 0:
                    raise
                _log.info("%s; it is asked once more", failure)
        return await self._attempt(messages, tools)

    async def _attempt(
        self, messages: Sequence[ChatCompletionMessageParam], tools: Sequence[ChatCompletionFunctionToolParam]
    ) -> _Begun:
        with _own_words(self.model, late="did not answer in time"):
            chunks = await self._ask(messages, tools)
            try:
                async for chunk in chunks:
                    if _has_words(chunk):
                        return _Begun(chunk, chunks)
            except BaseException:  # cancellation too: a request left open goes on costing
                await chunks.close()
                raise
        raise ModelUnavailable(f"{self.model} hung up before its first word", retry_after_ms=0)

    async def _ask(
        self, messages: Sequence[ChatCompletionMessageParam], tools: Sequence[ChatCompletionFunctionToolParam]
    ) -> AsyncStream[ChatCompletionChunk]:
        from openai import APIStatusError, omit

        counts_tokens = self.counts_tokens
        try:
            return await self.client.chat.completions.create(
                model=self.model,
                messages=messages,
                tools=tools or omit,
                stream=True,
                stream_options={"include_usage": True} if counts_tokens else omit,
            )
        except APIStatusError as exc:
            if not counts_tokens or exc.status_code not in _REFUSED or "stream_options" not in exc.message:
                raise
            self.counts_tokens = False
            return await self._ask(messages, tools)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A stream of which one chunk has been read."""

    first: ChatCompletionChunk
    rest: AsyncStream[ChatCompletionChunk]


class _Stream:
    """The chunks of a reply under its deadline."""

    def __init__(self, begun: _Begun, endpoint: _Endpoint, *, done_by: float) -> None:
        self._first: ChatCompletionChunk | None = begun.first
        self._rest = begun.rest
        self._model = endpoint.model
        self._late = f"did not finish within {endpoint.request_timeout_ms} ms"
        self._done_by = done_by

    async def next(self) -> ChatCompletionChunk:
        """Return the next chunk. Raises ModelUnavailable where there is none: the reply is not complete."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        with _own_words(self._model, late=self._late):
            async with asyncio.timeout_at(self._done_by):
                chunk = await anext(self._rest, None)
        if chunk is None:
            raise ModelUnavailable(f"{self._model} hung up in mid-reply")
        return chunk

    async def trailer(self) -> list[ChatCompletionChunk]:
        """Return what follows a complete reply, and so free the connection; none of it is worth a failure."""
        chunks: list[ChatCompletionChunk] = []
        with suppress(ModelUnavailable), _own_words(self._model, late="did not count its tokens in time"):
            async with asyncio.timeout(_TRAILER_WAIT_MS / 1_000):
                chunks += [chunk async for chunk in self._rest]
        return chunks

    async def close(self) -> None:
        """Close the HTTP request."""
        await self._rest.close()


def _has_words(chunk: ChatCompletionChunk) -> bool:
    # Models like to begin with an empty line; nobody hears it, so another model may still take over.
    return any(
        (choice.delta.content or "").strip() or choice.delta.refusal or choice.delta.tool_calls or choice.finish_reason
        for choice in chunk.choices
    )


def _client(base_url: str, api_key: str, request_timeout_ms: int) -> AsyncOpenAI:
    try:
        import httpx2
        from openai import AsyncOpenAI, DefaultAsyncHttpxClient
    except ImportError as exc:
        raise MissingExtra("an OpenAI-compatible model", extra="openai") from exc
    limits = httpx2.Limits(max_connections=1_000, max_keepalive_connections=100, keepalive_expiry=_IDLE_CONNECTION_S)
    return AsyncOpenAI(
        api_key=api_key,
        base_url=base_url,
        timeout=request_timeout_ms / 1_000,
        max_retries=0,
        http_client=DefaultAsyncHttpxClient(limits=limits),
    )


# --- failures --------------------------------------------------------------------------------------------------------


@contextmanager
def _own_words(model: str, *, late: str) -> Generator[None]:
    """Turn what the SDK raises into words that may be recorded: a provider's may repeat a key, or the caller."""
    from openai import APIConnectionError, APIError, APIStatusError, APITimeoutError

    try:
        yield
    except VoiceFailed:
        raise
    except (TimeoutError, APITimeoutError) as exc:
        raise ModelUnavailable(f"{model} {late}") from exc
    except APIStatusError as exc:
        raise _refusal(model, exc) from exc
    except APIConnectionError as exc:
        raise ModelUnavailable(f"the connection to {model} failed", retry_after_ms=0) from exc
    except APIError as exc:
        raise ModelUnavailable(f"{model} broke off{_code(exc.code)}", retry_after_ms=0) from exc
    except Exception as exc:  # the adapter boundary: a server may send anything
        raise ModelUnavailable(f"{model} sent what cannot be read ({type(exc).__name__})") from exc


def _refusal(model: str, exc: APIStatusError) -> ModelUnavailable | ReplyRefused:
    reason = f"{model} answered HTTP {exc.status_code}{_code(exc.code)}"
    if exc.status_code in _REFUSED:
        _log.debug("%s: %s", reason, exc.message)
        return ReplyRefused(reason)
    # When the money is used up OpenAI answers 429 too, and goes on doing so.
    if exc.status_code in _LOCKED_OUT or exc.code == "insufficient_quota":
        return ModelUnavailable(reason, permanent=True)
    wait_ms = _retry_after_ms(exc)
    if wait_ms is None and exc.status_code >= 500:
        wait_ms = 0
    return ModelUnavailable(reason, retry_after_ms=wait_ms)


def _code(code: str | None) -> str:
    return f" ({code})" if code is not None and _PLAIN_CODE.match(code) else ""


def _retry_after_ms(exc: APIStatusError) -> int | None:
    """Return what the server asks us to wait, where it says so in seconds or milliseconds."""
    for header, unit_ms in (("retry-after-ms", 1), ("retry-after", 1_000)):
        value: str = exc.response.headers.get(header, "")
        if re.fullmatch(r"\d{1,6}(\.\d+)?", value):
            return int(float(value) * unit_ms)
    return None
