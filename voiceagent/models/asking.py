"""Asks a provider for a reply: once more where that may be had at once, and never longer than a caller waits.

The SDKs' own retries are off, since a caller waits: what may be had at once, or within a second where the provider says
so, is asked for a second time before the first word, and never after it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, Protocol, TypeVar

from voiceagent.backoff import Backoff
from voiceagent.core.effects import Message, ModelRequest
from voiceagent.errors import VoiceFailed
from voiceagent.models.failures import FailureOf, ModelUnavailable, ReplyRefused, own_words
from voiceagent.models.reply_assembly import Called, Crumb, Ended, ReplyAssembly, Tokens, Writing
from voiceagent.models.shown import Shown, shown
from voiceagent.ports import ReplyPiece, SentText
from voiceagent.spec.flow import Flow
from voiceagent.zones import zone_of

__all__ = ["AskedModel", "Asking", "Events", "Patience", "Reader"]

_log = logging.getLogger(__name__)
_TRAILER_WAIT_MS = 200
"""How long a complete reply may wait for its token count, which may come after it."""
_ATTEMPTS = 2
_MOST_WAIT_MS = 1_000
"""A provider that asks for more patience than this is not waited for: the next model is asked meanwhile."""
_backoff = Backoff(first_ms=200)

EventT = TypeVar("EventT")
EventT_co = TypeVar("EventT_co", covariant=True)
EventT_contra = TypeVar("EventT_contra", contravariant=True)


class Events(Protocol[EventT_co]):
    """A provider's events as its SDK streams them."""

    async def __anext__(self) -> EventT_co:
        """Return the next event. Raises StopAsyncIteration after the last, and the SDK's own errors."""
        ...

    async def close(self) -> None:
        """Close the HTTP request."""
        ...


class Reader(Protocol[EventT_contra]):
    """Understands the events of one reply."""

    def read(self, event: EventT_contra, /) -> Iterable[Crumb]:
        """Return what an event adds. Raises VoiceFailed where it says that the reply has failed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long a model is waited for."""

    first_piece_ms: int = 5_000
    """A reply that has not begun by then has failed, a second attempt included."""
    pause_ms: int = 5_000
    """A reply that has begun has failed when nothing more of it comes for so long."""
    request_timeout_ms: int = 30_000
    """A reply that is not complete by then has failed."""
    shared_by: int = 1
    """How many models may be asked one after the other while the caller waits."""

    def for_flow(self, flow: Flow) -> Patience:
        """Return one model's share, so that all of them have been asked before the flow gives the reply up."""
        most_ms = min(self.first_piece_ms, flow.limits.model_timeout_ms * 4 // 5)
        return replace(self, first_piece_ms=most_ms // self.shared_by, shared_by=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking(Generic[EventT]):
    """One request to a provider, ready to be sent, and sent again."""

    model: str
    send: Callable[[], Awaitable[Events[EventT]]]
    reader: Callable[[], Reader[EventT]]
    failure_of: FailureOf


class AskedModel(Generic[EventT]):
    """A provider's model as one call sees it. It remembers no reply: every request carries all it needs."""

    def __init__(
        self, asking: Callable[[Shown], Asking[EventT]], flow: Flow, *, time_zone: str, patience: Patience
    ) -> None:
        self._asking = asking
        self._flow = flow
        self._time_zone = time_zone
        self._patience = patience.for_flow(flow)

    def reply(self, request: ModelRequest) -> AsyncGenerator[ReplyPiece]:
        """Stream one reply. Raises ModelUnavailable or ReplyRefused; closing the generator closes the request."""
        today = datetime.fromtimestamp(request.unix_ms / 1_000, zone_of(self._time_zone)).date()
        return _replied(self._asking(shown(self._flow, request, today=today)), request.history, self._patience)

    async def close(self) -> None:
        """Nothing is held."""


async def _replied(
    asking: Asking[EventT], history: Sequence[Message], patience: Patience
) -> AsyncGenerator[ReplyPiece]:
    stream = await _begin(asking, patience)
    reply = ReplyAssembly(history)
    try:
        while not reply.finished:
            for piece in reply.take(await stream.next()):
                yield piece
        for tokens in await stream.trailer():
            reply.count(tokens)
    finally:
        await stream.close()
    if reply.empty:
        raise ReplyRefused(f"{asking.model} said nothing")
    yield reply.done


# --- the beginning ---------------------------------------------------------------------------------------------------


async def _begin(asking: Asking[EventT], patience: Patience) -> _Stream[EventT]:
    """Return the stream of a reply whose first words have come. Raises ModelUnavailable, ReplyRefused."""
    asked_at = asyncio.get_running_loop().time()
    with own_words(asking.model, asking.failure_of, late=f"did not begin within {patience.first_piece_ms} ms"):
        async with asyncio.timeout_at(asked_at + patience.first_piece_ms / 1_000):
            begun = await _first_words(asking)
    return _Stream(begun, asking, patience, done_by=asked_at + patience.request_timeout_ms / 1_000)


async def _first_words(asking: Asking[EventT]) -> _Begun[EventT]:
    for _ in range(_ATTEMPTS - 1):
        try:
            return await _attempt(asking)
        except ModelUnavailable as failure:
            if failure.retry_after_ms is None or failure.retry_after_ms > _MOST_WAIT_MS:
                raise
            _log.info("%s; it is asked once more", failure)
            await asyncio.sleep(max(failure.retry_after_ms, _backoff.before(0)) / 1_000)
    return await _attempt(asking)


async def _attempt(asking: Asking[EventT]) -> _Begun[EventT]:
    with own_words(asking.model, asking.failure_of, late="did not answer in time"):
        events = await asking.send()
        reader = asking.reader()
        crumbs: list[Crumb] = []
        try:
            while (event := await anext(events, None)) is not None:
                # Models like to begin with an empty line; nobody hears it, so another model may still take over.
                crumbs += (crumb for crumb in reader.read(event) if _begins(crumb) or isinstance(crumb, Tokens))
                if any(map(_begins, crumbs)):
                    return _Begun(crumbs, events, reader)
        except BaseException:  # cancellation too: a request left open goes on costing
            await events.close()
            raise
    raise ModelUnavailable(f"{asking.model} hung up before its first word", retry_after_ms=0)


def _begins(crumb: Crumb) -> bool:
    match crumb:
        case SentText(text):
            return bool(text.strip())
        case Called() | Writing() | Ended():
            return True
        case Tokens():
            return False


@dataclass(frozen=True, slots=True)
class _Begun(Generic[EventT]):
    """A stream of which the first words have been read."""

    crumbs: list[Crumb]
    rest: Events[EventT]
    reader: Reader[EventT]


# --- what follows ----------------------------------------------------------------------------------------------------


class _Stream(Generic[EventT]):
    """The crumbs of a reply under its deadlines."""

    def __init__(self, begun: _Begun[EventT], asking: Asking[EventT], patience: Patience, *, done_by: float) -> None:
        self._first: list[Crumb] | None = begun.crumbs
        self._rest = begun.rest
        self._reader = begun.reader
        self._asking = asking
        self._patience = patience
        self._done_by = done_by

    async def next(self) -> Sequence[Crumb]:
        """Return what comes next. Raises ModelUnavailable where there is nothing: the reply is not complete."""
        if self._first is not None:
            first, self._first = self._first, None
            return first
        pause_until = asyncio.get_running_loop().time() + self._patience.pause_ms / 1_000
        if pause_until < self._done_by:
            late = f"paused for {self._patience.pause_ms} ms in mid-reply"
        else:
            late = f"did not finish within {self._patience.request_timeout_ms} ms"
        with own_words(self._asking.model, self._asking.failure_of, late=late):
            async with asyncio.timeout_at(min(pause_until, self._done_by)):
                event = await anext(self._rest, None)
            if event is not None:
                return list(self._reader.read(event))
        raise ModelUnavailable(f"{self._asking.model} hung up in mid-reply")

    async def trailer(self) -> list[Tokens]:
        """Return what follows a complete reply, and so free the connection; none of it is worth a failure."""
        tokens: list[Tokens] = []
        with (
            suppress(VoiceFailed),
            own_words(self._asking.model, self._asking.failure_of, late="did not count its tokens in time"),
        ):
            async with asyncio.timeout(_TRAILER_WAIT_MS / 1_000):
                while (event := await anext(self._rest, None)) is not None:
                    tokens += (crumb for crumb in self._reader.read(event) if isinstance(crumb, Tokens))
        return tokens

    async def close(self) -> None:
        """Close the HTTP request."""
        await self._rest.close()
