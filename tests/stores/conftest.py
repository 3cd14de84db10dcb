"""Every place where workers share state: memory, a file, and a real Redis."""

from __future__ import annotations

import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Protocol

import pytest

from voiceagent.ports import SharedStore
from voiceagent.stores.memory import MemoryStore
from voiceagent.stores.redis import RedisStore
from voiceagent.stores.sqlite import SqliteStore
from voiceagent.testing.manual_clock import ManualClock


class RedisServer:
    """A redis-server of one's own on a free port, that can be stopped, frozen and started again with what it had."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        with closing(socket.socket()) as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self._process = subprocess.Popen(  # noqa: S603
            [
                *("redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self._directory)),
                *("--save", "", "--appendonly", "yes", "--appendfsync", "always", "--daemonize", "no"),
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        until = time.monotonic() + 20
        while not self._answers():
            assert self._process.poll() is None, "redis-server has ended"
            assert time.monotonic() < until, "redis-server does not answer"
            time.sleep(0.02)

    def _answers(self) -> bool:
        try:
            with closing(socket.create_connection(("127.0.0.1", self.port), 1)) as connection:
                connection.settimeout(1)
                connection.sendall(b"PING\r\n")
                return connection.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def freeze(self) -> None:
        """Have it take connections and answer nothing."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait(20)
            self._process = None


@pytest.fixture(scope="session")
def redis_for_all(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for the tests that only use it."""
    yield from _redis(tmp_path_factory.mktemp("redis"))


@pytest.fixture
def own_redis(tmp_path: Path) -> Iterator[RedisServer]:
    """A Redis that a test may do anything to."""
    yield from _redis(tmp_path)


def _redis(directory: Path) -> Iterator[RedisServer]:
    if shutil.which("redis-server") is None:
        pytest.skip("there is no redis-server here (Debian: apt install redis-server)")
    pytest.importorskip("redis.asyncio", reason="the extra 'redis' is not installed")
    server = RedisServer(directory)
    server.start()
    try:
        yield server
    finally:
        server.stop()


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
