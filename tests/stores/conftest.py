"""Every place where workers share state: memory, a file, and a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

import pytest

from tests.stores.redis_server import RedisServer, redis_server
from voiceagent.ports import SharedStore
from voiceagent.stores.memory import MemoryStore
from voiceagent.stores.redis import RedisStore
from voiceagent.stores.sqlite import SqliteStore
from voiceagent.testing.manual_clock import ManualClock


@pytest.fixture(scope="session")
def redis_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the tests that only use it."""
    with redis_server(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may do anything to."""
    with redis_server(tmp_path) as server:
        yield server


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


# --- places ----------------------------------------------------------------------------------------------------------


class Place(Protocol):
    """Where state is shared, and its time."""

    def worker(self) -> SharedStore:
        """Return the store of one more worker."""
        ...

    async def pass_time(self, ms: int) -> None: ...


class Memory:
    def __init__(self) -> None:
        self._clock = ManualClock()
        self._store = MemoryStore(self._clock)

    def worker(self) -> MemoryStore:
        return self._store

    async def pass_time(self, ms: int) -> None:
        self._clock.advance(ms)


class File:
    def __init__(self, directory: Path) -> None:
        self._clock = ManualClock()
        self._path = directory / "state.db"

    def worker(self) -> SqliteStore:
        return SqliteStore(self._path, clock=self._clock)

    async def pass_time(self, ms: int) -> None:
        self._clock.advance(ms)


class InRedis:
    """Time passes by what is left to everything that runs out: that is the only time Redis knows."""

    def __init__(self, server: RedisServer) -> None:
        self._url = server.url

    def worker(self) -> RedisStore:
        return RedisStore(self._url)

    async def pass_time(self, ms: int) -> None:
        from redis.asyncio import Redis

        async with Redis.from_url(self._url) as redis:
            for key in await redis.keys("*"):
                left_ms = await redis.pttl(key)
                if 0 <= left_ms <= ms:
                    await redis.delete(key)
                elif left_ms > ms:
                    await redis.pexpire(key, left_ms - ms)
            for key in await redis.keys("voiceagent:member:*"):
                for member, until_ms in await redis.zrange(key, 0, -1, withscores=True):
                    await redis.zadd(key, {member: until_ms - ms})

    async def forget_everything(self) -> None:
        from redis.asyncio import Redis

        async with Redis.from_url(self._url) as redis:
            await redis.flushall()


@asynccontextmanager
async def closed_after(*stores: SharedStore) -> AsyncIterator[None]:
    try:
        yield
    finally:
        for store in stores:
            await store.close()


@pytest.fixture(params=["memory", "sqlite", "redis"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    match request.param:
        case "memory":
            return Memory()
        case "sqlite":
            return File(tmp_path)
        case _:
            shared = InRedis(request.getfixturevalue("redis_for_all"))
            import asyncio

            asyncio.run(shared.forget_everything())
            return shared
