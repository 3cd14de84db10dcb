"""Where the workers' shared state is: named by one word or address."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Protocol

from voiceagent.errors import OperatorError, StateUnavailable, nearest
from voiceagent.ports import Clock, SharedStore
from voiceagent.stores.memory import MemoryStore
from voiceagent.stores.shown import shown
from voiceagent.stores.terms import Terms

__all__ = ["open_store", "require_store"]

_SCHEMES = ("memory", "sqlite", "redis", "rediss", "unix")


class _Elsewhere(SharedStore, Protocol):
    async def require(self) -> None: ...


async def open_store(name: str, *, clock: Clock, keep_days: int | None = None) -> SharedStore:
    """Return the store of this name: `memory`, `sqlite:///file`, or an address of Redis.

    `keep_days` is for how long journals are kept: no copy of one outlives that.

    Raises OperatorError for a name nobody knows and for a store that cannot be had, MissingExtra.
    """
    scheme = require_store(name)
    if scheme == "memory":
        return MemoryStore(clock)
    terms = Terms.where_journals_are_kept(keep_days)
    store = await asyncio.to_thread(_elsewhere, scheme, name, clock, terms)  # a library takes a while to import
    try:
        await store.require()
    except StateUnavailable as exc:
        await store.close()
        raise OperatorError(f"shared state cannot be had: {exc}") from exc
    except OperatorError:
        await store.close()
        raise
    return store


def require_store(name: str) -> str:
    """Return the scheme of a store's name. Raises OperatorError where there is none of this name."""
    scheme, colon, place = name.partition(":")
    if scheme not in _SCHEMES:
        raise OperatorError(f"--state is {shown(name)}{nearest(scheme, _SCHEMES)}; {_WAYS}")
    named = place.startswith("///") and len(place) > len("///") if scheme == "sqlite" else place.startswith("//")
    if (scheme == "memory" and colon) or (scheme != "memory" and not named):
        raise OperatorError(f"--state is {shown(name)}; {_WAYS}")
    return scheme


_WAYS = "name 'memory', 'sqlite:///state.db' (four slashes before a path from the root) or 'redis://host:6379/0'"


def _elsewhere(scheme: str, name: str, clock: Clock, terms: Terms) -> _Elsewhere:
    if scheme == "sqlite":
        from voiceagent.stores.sqlite import SqliteStore

        return SqliteStore(Path(name.removeprefix("sqlite:///")), clock=clock, terms=terms)
    from voiceagent.stores.redis import RedisStore

    return RedisStore(name, terms=terms)
