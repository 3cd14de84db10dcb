"""A store that does not answer says so in bounded time, and serves again when it is back."""

from __future__ import annotations

import asyncio
import sqlite3
import stat
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from tests.stores.conftest import RedisServer, closed_after
from voiceagent.core.ids import CallId
from voiceagent.errors import MissingExtra, OperatorError, StateUnavailable
from voiceagent.runtime.clock import SystemClock
from voiceagent.stores import open_store, require_store
from voiceagent.stores import redis as redis_store
from voiceagent.stores.memory import MemoryStore
from voiceagent.stores.redis import RedisStore
from voiceagent.stores.sqlite import SqliteStore
from voiceagent.stores.terms import Terms
from voiceagent.testing.manual_clock import ManualClock

CALL = CallId("CA1")


# --- Redis -----------------------------------------------------------------------------------------------------------


def test_a_redis_that_answers_nothing_is_told_in_bounded_time_and_used_again_when_it_does(
    own_redis: RedisServer,
) -> None:
    async def scenario() -> None:
        store = RedisStore(own_redis.url)
        async with closed_after(store):
            lease = await store.begin(CALL)
            assert lease is not None
            own_redis.freeze()
            began = time.monotonic()
            asked = (
                store.once("n", ttl_ms=60_000),
                store.append(lease, 0, [b"0"]),
                store.read(CALL),
                store.counted("c"),
            )
            answers = await asyncio.gather(*asked, return_exceptions=True)
            assert [type(answer) for answer in answers] == [StateUnavailable] * 4
            assert time.monotonic() - began < 10
            own_redis.thaw()
            length = await store.append(lease, 0, [b"0"])
            assert length == 1, "whether or not the first attempt was done, it is done once"
            recorded = await store.read(CALL)
            assert recorded is not None
            assert recorded.lines == (b"0",)

    asyncio.run(scenario())


def test_a_redis_that_was_restarted_is_found_again_with_all_that_it_had(own_redis: RedisServer) -> None:
    async def scenario() -> None:
        store = RedisStore(own_redis.url)
        async with closed_after(store):
            lease = await store.begin(CALL)
            assert lease is not None
            await store.append(lease, 0, [b"0"])
            own_redis.stop()
            with pytest.raises(StateUnavailable):
                await store.append(lease, 1, [b"1"])
            await asyncio.to_thread(own_redis.start)
            assert await store.append(lease, 1, [b"1"]) == 2, "also the scripts it has never seen"

    asyncio.run(scenario())


def test_more_requests_than_connections_wait_for_their_turn(
    redis_for_all: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    for bound in ("_CONNECT_S", "_ANSWER_S", "_WITHIN_S"):  # how fast this machine is meanwhile is not the subject
        monkeypatch.setattr(redis_store, bound, 30.0)

    async def scenario() -> None:
        store = RedisStore(redis_for_all.url)
        async with closed_after(store):
            await store.reset("many")
            counts = await asyncio.gather(*(store.count("many", window_ms=60_000) for _ in range(300)))
            assert sorted(counts) == list(range(1, 301))

    asyncio.run(scenario())


def test_a_request_that_is_given_up_leaves_its_answer_to_nobody_else(redis_for_all: RedisServer) -> None:
    async def scenario() -> None:
        store = RedisStore(redis_for_all.url)
        async with closed_after(store):
            await store.note("mine", "mine", ttl_ms=60_000)
            await store.note("yours", "yours", ttl_ms=60_000)
            for _ in range(50):
                given_up = asyncio.ensure_future(store.noted("mine"))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                given_up.cancel()
                assert await store.noted("yours") == "yours"

    asyncio.run(scenario())


def test_a_redis_that_is_not_there_or_lets_nobody_in_is_told_before_the_first_call(redis_for_all: RedisServer) -> None:
    async def opened(url: str) -> None:
        await open_store(url, clock=SystemClock())

    with pytest.raises(OperatorError, match=r"shared state cannot be had: Redis: .*127\.0\.0\.1:1"):
        asyncio.run(opened("redis://127.0.0.1:1"))
    with pytest.raises(OperatorError) as refused:
        asyncio.run(opened(redis_for_all.url.replace("127.0.0.1", "someone:secret@127.0.0.1")))
    assert "secret" not in str(refused.value)


def test_a_call_that_nobody_ends_is_not_listed_for_ever(redis_for_all: RedisServer) -> None:
    async def scenario() -> None:
        from redis.asyncio import Redis

        store = RedisStore(redis_for_all.url, terms=Terms(lease_ms=1, retention_ms=1))
        async with closed_after(store), Redis.from_url(redis_for_all.url) as redis:
            await redis.flushall()
            for number in range(20):
                await store.begin(CallId(f"CA{number}"))
                await asyncio.sleep(0.005)
            assert await redis.zcard("voiceagent:open") < 10

    asyncio.run(scenario())


def test_redis_needs_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis.asyncio", None)
    with pytest.raises(MissingExtra, match=r"pip install 'voiceagent\[redis\]'"):
        RedisStore("redis://127.0.0.1")


# --- a file ----------------------------------------------------------------------------------------------------------


def test_the_file_and_those_beside_it_are_private(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = await open_store(f"sqlite:///{tmp_path}/state.db", clock=SystemClock())
        async with closed_after(store):
            await store.once("n", ttl_ms=60_000)
            modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in await asyncio.to_thread(_files, tmp_path)}
            assert modes == {"state.db": 0o600, "state.db-shm": 0o600, "state.db-wal": 0o600}

    asyncio.run(scenario())


def _files(directory: Path) -> list[Path]:
    return list(directory.iterdir())


def test_a_file_that_another_process_holds_is_told_in_bounded_time(tmp_path: Path) -> None:
    path = tmp_path / "state.db"

    async def scenario() -> None:
        store = SqliteStore(path, clock=SystemClock())
        async with closed_after(store):
            await store.once("n", ttl_ms=60_000)
            holder = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            holder.execute("BEGIN IMMEDIATE")
            answers = await asyncio.gather(
                *(store.once("m", ttl_ms=60_000) for _ in range(3)), store.counted("c"), return_exceptions=True
            )
            assert [type(answer) for answer in answers] == [StateUnavailable] * 4
            holder.rollback()
            holder.close()
            assert await store.counted("c") == 0

    asyncio.run(scenario())


def test_workers_that_begin_at_once_do_not_lock_each_other_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite says "database is locked" at once where two turn write-ahead logging on, and does not wait."""
    connect = sqlite3.connect

    class Locked(sqlite3.Connection):
        refusals = 2

        def execute(self, sql: str, *parameters: Any) -> sqlite3.Cursor:
            if "WAL" in sql and Locked.refusals:
                Locked.refusals -= 1
                raise sqlite3.OperationalError("database is locked")
            return super().execute(sql, *parameters)

    monkeypatch.setattr(sqlite3, "connect", lambda path, **given: connect(path, factory=Locked, **given))

    async def scenario() -> None:
        stores = [SqliteStore(tmp_path / "state.db", clock=SystemClock()) for _ in range(8)]
        async with closed_after(*stores):
            await asyncio.gather(*(store.require() for store in stores))

    asyncio.run(scenario())
    assert Locked.refusals == 0


def test_a_full_disk_is_told_and_what_was_there_before_stays(tmp_path: Path) -> None:
    async def scenario() -> None:
        store = SqliteStore(tmp_path / "state.db", clock=SystemClock())
        async with closed_after(store):
            lease = await store.begin(CALL)
            assert lease is not None
            await store.append(lease, 0, [b"0"])
            await store._file.do(lambda db: db.execute("PRAGMA max_page_count = 1"), now_ms=0)
            with pytest.raises(StateUnavailable, match="full"):
                await store.append(lease, 1, [b"x" * 10_000_000])
            await store._file.do(lambda db: db.execute("PRAGMA max_page_count = 100000"), now_ms=0)
            assert await store.append(lease, 1, [b"1"]) == 2

    asyncio.run(scenario())


def test_what_is_no_shared_state_is_told_before_the_first_call(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("hello" * 100)
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.commit()
    other.close()

    async def opened(path: Path) -> None:
        await open_store(f"sqlite:///{path}", clock=SystemClock())

    for name, why in (
        ("text.db", "is no SQLite file"),
        ("other.db", "is not shared state of this version"),
        ("missing/state.db", "cannot be opened: No such file or directory"),
    ):
        with pytest.raises(OperatorError, match=why):
            asyncio.run(opened(tmp_path / name))


def test_what_has_run_out_is_removed_from_the_file(tmp_path: Path) -> None:
    async def scenario() -> None:
        clock = ManualClock()
        store = SqliteStore(tmp_path / "state.db", clock=clock)
        async with closed_after(store):
            lease = await store.begin(CALL)
            assert lease is not None
            await store.append(lease, 0, [b"the caller's words"])
            await store.note("n", "a caller's number", ttl_ms=60_000)
            clock.advance(24 * 60 * 60 * 1_000)
            await store.counted("anything")

    asyncio.run(scenario())
    db = sqlite3.connect(tmp_path / "state.db")
    left = db.execute(
        "SELECT (SELECT count(*) FROM kept) + (SELECT count(*) FROM calls) + (SELECT count(*) FROM lines)"
    )
    assert left.fetchone() == (0,)
    db.close()
    assert b"the caller's" not in (tmp_path / "state.db").read_bytes()


# --- memory and names ------------------------------------------------------------------------------------------------


def test_a_full_memory_forgets_nothing_that_was_promised_and_takes_nothing_more() -> None:
    async def scenario() -> None:
        clock = ManualClock()
        store = MemoryStore(clock, most=3)
        for name in "abc":
            assert await store.once(name, ttl_ms=60_000)
        with pytest.raises(StateUnavailable):
            await store.note("d", "d", ttl_ms=60_000)
        assert not await store.once("a", ttl_ms=60_000)
        clock.advance(60_000)
        assert await store.once("d", ttl_ms=60_000)

    asyncio.run(scenario())


@pytest.mark.parametrize(
    "name", ["memory", "sqlite:///state.db", "sqlite:////var/state.db", "redis://h:1/0", "rediss://h"]
)
def test_a_store_has_a_name(name: str) -> None:
    assert require_store(name) == name.partition(":")[0]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("reddis://h", "did you mean 'redis'"),
        ("memroy", "did you mean 'memory'"),
        ("memory://", "name 'memory'"),
        ("sqlite:state.db", "sqlite:///state.db"),
        ("sqlite:///", "sqlite:///state.db"),
        ("redis:h", "redis://host"),
        ("postgres://user:secret@h", "postgres://…'; name 'memory'"),
        ("", "name 'memory'"),
    ],
)
def test_a_name_that_is_none_is_told_with_what_may_be_meant(name: str, why: str) -> None:
    with pytest.raises(OperatorError) as refused:
        require_store(name)
    assert why in str(refused.value)
    assert "secret" not in str(refused.value)
