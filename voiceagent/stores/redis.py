"""Shared state in Redis: for workers on many machines.

What must not be torn is a script that Redis runs in one piece. A command is sent once: whether one whose answer was
lost has been done, nobody knows, and those who ask again know how to. One Redis, or one with replicas; no cluster.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Sequence
from typing import TYPE_CHECKING, Any, cast

from voiceagent.core.ids import CallId
from voiceagent.errors import LeaseLost, MissingExtra, OperatorError, StateUnavailable
from voiceagent.ports import CallLease, RecordedCall
from voiceagent.stores.redis_scripts import SCRIPTS
from voiceagent.stores.shown import shown
from voiceagent.stores.terms import Terms

if TYPE_CHECKING:
    from redis.asyncio import Redis

__all__ = ["RedisStore"]

_PREFIX = "voiceagent:"
_CONNECT_S = 1.0
_ANSWER_S = 1.5
_WITHIN_S = 2.0
"""How long anything may take, waiting for a connection included."""
_MOST_CONNECTIONS = 20
_LOST = -1
"""What a script answers to whoever does not own the call."""


class RedisStore:
    """The `SharedStore` port behind a `redis://` address."""

    def __init__(self, url: str, *, terms: Terms | None = None) -> None:
        """Import the library; nothing is connected yet. Raises MissingExtra, and OperatorError where `url` is none."""
        self._terms = terms or Terms()
        self._redis, self._failures = _client(url)
        self._scripts = {name: self._redis.register_script(text) for name, text in SCRIPTS.items()}

    async def require(self) -> None:
        """Connect. Raises OperatorError where nobody answers, or lets us in."""
        try:
            await self._asked(self._redis.exists(_PREFIX))
        except StateUnavailable as exc:
            raise OperatorError(f"shared state cannot be had: {exc}") from exc

    # --- small things ---

    async def once(self, key: str, *, ttl_ms: int) -> bool:
        """Return True to the first who asks, False to everybody after."""
        return bool(await self._asked(self._redis.set(f"{_PREFIX}once:{key}", "", px=ttl_ms, nx=True)))

    async def note(self, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a value."""
        await self._asked(self._redis.set(f"{_PREFIX}note:{key}", value.encode(), px=ttl_ms))

    async def noted(self, key: str) -> str | None:
        """Return a value."""
        return _text(await self._asked(self._redis.get(f"{_PREFIX}note:{key}")))

    async def take(self, key: str) -> str | None:
        """Return a value, once."""
        return _text(await self._asked(self._redis.getdel(f"{_PREFIX}note:{key}")))

    async def count(self, key: str, *, window_ms: int) -> int:
        """Count one more."""
        return int(cast("int", await self._run("count", [f"{_PREFIX}count:{key}"], window_ms)))

    async def counted(self, key: str) -> int:
        """Return how many were counted."""
        return int(await self._asked(self._redis.get(f"{_PREFIX}count:{key}")) or 0)

    async def reset(self, key: str) -> None:
        """Begin to count anew."""
        await self._asked(self._redis.delete(f"{_PREFIX}count:{key}"))

    async def join(self, key: str, member: str, *, most: int, ttl_ms: int) -> bool:
        """Have one more member."""
        return bool(await self._run("join", [f"{_PREFIX}member:{key}"], member, most, ttl_ms))

    async def leave(self, key: str, member: str) -> None:
        """Have one member less."""
        await self._asked(self._redis.zrem(f"{_PREFIX}member:{key}", member))

    # --- journals ---

    async def begin(self, call: CallId) -> CallLease | None:
        """Own a call that nothing is recorded of."""
        return _lease(call, await self._run("begin", _keys(call), call, *self._spans))

    async def take_over(self, call: CallId, *, seize: bool = False) -> CallLease | None:
        """Own a call that was interrupted."""
        return _lease(call, await self._run("take_over", _keys(call), int(seize), *self._spans))

    async def renew(self, lease: CallLease) -> None:
        """Own the call for another while."""
        self._must_own(lease, await self._run("renew", _keys(lease.call), lease.fence, *self._spans))

    async def append(self, lease: CallLease, at: int, lines: Sequence[bytes]) -> int:
        """Append lines if `at` is the length."""
        length = await self._run("append", _keys(lease.call), lease.fence, *self._spans, at, *lines)
        return self._must_own(lease, length)

    async def read(self, call: CallId, *, start: int = 0) -> RecordedCall | None:
        """Return what is recorded of a call."""
        found = await self._run("read", _keys(call), start)
        if found is None:
            return None
        ended, lines = cast("tuple[int, list[bytes]]", found)
        return RecordedCall(tuple(lines), ended=bool(ended))

    async def end(self, lease: CallLease, *, keep: bool = False) -> None:
        """Mark the end."""
        ended = await self._run("end", _keys(lease.call), lease.fence, *self._spans, lease.call, int(keep))
        self._must_own(lease, ended)

    async def release(self, lease: CallLease) -> None:
        """Give the call up."""
        await self._run("release", _keys(lease.call), lease.fence)

    async def interrupted(self) -> tuple[CallId, ...]:
        """Return the calls that nobody owns."""
        found = cast("list[bytes]", await self._run("interrupted", [f"{_PREFIX}open"], f"{_PREFIX}call:"))
        return tuple(CallId(call.decode()) for call in sorted(found))

    async def recorded(self) -> tuple[CallId, ...]:
        """Return the calls of which something is recorded."""
        found: dict[str, None] = {}
        cursor = 0
        while True:
            asked = self._redis.scan(cursor, match=f"{_PREFIX}call:*", count=1_000, _type="hash")  # pyright: ignore[reportUnknownMemberType] - it is typed too loosely
            cursor, keys = cast("tuple[int, list[bytes]]", await self._asked(asked))
            found |= dict.fromkeys(key.decode().removeprefix(f"{_PREFIX}call:") for key in keys)
            if cursor == 0:
                return tuple(CallId(call) for call in sorted(found))

    async def erase(self, call: CallId) -> None:
        """Remove all that is recorded of a call."""
        await self._run("erase", _keys(call), call)

    @property
    def _spans(self) -> tuple[int, int]:
        return self._terms.lease_ms, self._terms.retention_ms

    def _must_own(self, lease: CallLease, answer: object) -> int:
        number = int(cast("int", answer))
        if number == _LOST:
            raise LeaseLost(f"call {lease.call} is over, or another worker has it")
        return number

    # --- the connection ---

    async def close(self) -> None:
        """Close the connections."""
        try:
            async with asyncio.timeout(_WITHIN_S):
                await self._redis.aclose()
        except TimeoutError:
            pass  # they are closed with the process

    async def _run(self, script: str, keys: Sequence[str], *arguments: object) -> object:
        return await self._asked(self._scripts[script](keys, cast("Any", arguments)))

    async def _asked(self, answer: Awaitable[Any]) -> Any:
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await answer
        except TimeoutError as exc:
            raise StateUnavailable(f"Redis has not answered within {_WITHIN_S:.0f} s") from exc
        except (self._failures, OSError) as exc:
            raise StateUnavailable(f"Redis: {exc}") from exc


def _client(url: str) -> tuple[Redis, type[Exception]]:
    """Return a client, and what it raises."""
    try:
        from redis.asyncio import BlockingConnectionPool, Redis
        from redis.asyncio.retry import Retry
        from redis.backoff import NoBackoff
        from redis.exceptions import RedisError
    except ImportError as exc:
        raise MissingExtra("--state redis://…", extra="redis") from exc
    if _has_a_torn_password(url):
        raise _no_address(url)
    try:
        pool = BlockingConnectionPool.from_url(  # pyright: ignore[reportUnknownMemberType] - it takes anything
            url,
            max_connections=_MOST_CONNECTIONS,
            timeout=_WITHIN_S,
            socket_connect_timeout=_CONNECT_S,
            socket_timeout=_ANSWER_S,
            protocol=2,
            driver_info=None,  # else each new connection looks the version of the library up on disk
            retry=Retry(NoBackoff(), 0),
        )
    except ValueError:
        raise _no_address(url) from None  # its own words may quote a password
    return Redis.from_pool(pool), RedisError


def _has_a_torn_password(url: str) -> bool:
    """Whether a password ends the host's name early: a piece of it would be taken for the port, and told as such."""
    place = url.partition("://")[2]
    return not url.startswith("unix:") and "@" in place and "@" not in re.split("[/?#]", place, maxsplit=1)[0]


def _no_address(url: str) -> OperatorError:
    return OperatorError(
        f"--state is {shown(url)}, which is no address of Redis; in a password '/', '?', '#' and '@' are written "
        "%2F, %3F, %23 and %40"
    )


def _keys(call: CallId) -> list[str]:
    name = f"{_PREFIX}call:{call}"
    return [name, f"{name}:lines", f"{name}:lease", f"{_PREFIX}open", f"{_PREFIX}fence"]


def _lease(call: CallId, fence: object) -> CallLease | None:
    return CallLease(call, int(cast("int", fence))) if fence else None


def _text(value: bytes | None) -> str | None:
    return value.decode() if value is not None else None
