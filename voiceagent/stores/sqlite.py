"""Shared state in one SQLite file: for several workers on one machine.

One thread has the connection, so that the event loop waits for no disk. Time is the wall clock, which is all that the
workers of a machine have in common after a restart.
"""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from voiceagent.core.ids import CallId
from voiceagent.errors import LeaseLost, OperatorError, StateUnavailable
from voiceagent.ports import CallLease, Clock, RecordedCall
from voiceagent.stores.terms import Terms

__all__ = ["SqliteStore"]

_SCHEMA = 1
_TABLES = (
    """CREATE TABLE kept (
        kind TEXT NOT NULL, key TEXT NOT NULL, value TEXT NOT NULL, count INTEGER NOT NULL, expires_ms INTEGER NOT NULL,
        PRIMARY KEY (kind, key)
    ) WITHOUT ROWID""",
    "CREATE INDEX kept_expires ON kept (expires_ms)",
    """CREATE TABLE calls (
        call TEXT PRIMARY KEY, fence INTEGER NOT NULL, leased_until_ms INTEGER NOT NULL, length INTEGER NOT NULL,
        ended INTEGER NOT NULL, expires_ms INTEGER NOT NULL
    ) WITHOUT ROWID""",
    "CREATE INDEX calls_expires ON calls (expires_ms)",
    """CREATE TABLE lines (
        call TEXT NOT NULL, number INTEGER NOT NULL, line BLOB NOT NULL, PRIMARY KEY (call, number)
    ) WITHOUT ROWID""",
    "CREATE TRIGGER lines_of_call AFTER DELETE ON calls BEGIN DELETE FROM lines WHERE call = old.call; END",
    "CREATE TABLE fences (newest INTEGER NOT NULL)",
    "INSERT INTO fences VALUES (0)",
    f"PRAGMA user_version = {_SCHEMA}",
)
_BUSY_S = 2.0
"""How long another worker may keep the file."""
_WITHIN_S = 3.0
"""How long anything may take, waiting for the thread included."""
_MOST_WAITING = 1_000
_SWEPT_EVERY_MS = 60_000

Result = TypeVar("Result")


class SqliteStore:
    """The `SharedStore` port in a file."""

    def __init__(self, path: Path, *, clock: Clock, terms: Terms | None = None) -> None:
        """Nothing is opened yet: the file is made, private, by what is asked first."""
        self._path = path
        self._clock = clock
        self._terms = terms or Terms()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shared-state")
        self._connection: sqlite3.Connection | None = None
        self._waiting = 0
        self._sweep_at_ms = 0

    async def require(self) -> None:
        """Open the file. Raises OperatorError where that is not possible, or it is something else."""
        await self._do(lambda _db, _now_ms: None)

    # --- small things ---

    async def once(self, key: str, *, ttl_ms: int) -> bool:
        """Return True to the first who asks, False to everybody after."""

        def work(db: sqlite3.Connection, now_ms: int) -> bool:
            if _alive(db, "once", key, now_ms) is not None:
                return False
            _keep(db, "once", key, now_ms + ttl_ms)
            return True

        return await self._do(work)

    async def note(self, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a value."""
        await self._do(lambda db, now_ms: _keep(db, "note", key, now_ms + ttl_ms, value=value))

    async def noted(self, key: str) -> str | None:
        """Return a value."""
        return await self._do(lambda db, now_ms: _value(db, key, now_ms))

    async def take(self, key: str) -> str | None:
        """Return a value, once."""

        def work(db: sqlite3.Connection, now_ms: int) -> str | None:
            value = _value(db, key, now_ms)
            _drop(db, "note", key)
            return value

        return await self._do(work)

    async def count(self, key: str, *, window_ms: int) -> int:
        """Count one more."""

        def work(db: sqlite3.Connection, now_ms: int) -> int:
            kept = _alive(db, "count", key, now_ms)
            count, expires_ms = (kept[1] + 1, kept[2]) if kept is not None else (1, now_ms + window_ms)
            _keep(db, "count", key, expires_ms, count=count)
            return count

        return await self._do(work)

    async def counted(self, key: str) -> int:
        """Return how many were counted."""

        def work(db: sqlite3.Connection, now_ms: int) -> int:
            kept = _alive(db, "count", key, now_ms)
            return kept[1] if kept is not None else 0

        return await self._do(work)

    async def reset(self, key: str) -> None:
        """Begin to count anew."""
        await self._do(lambda db, _now_ms: _drop(db, "count", key))

    # --- journals ---

    async def begin(self, call: CallId) -> CallLease | None:
        """Own a call that nothing is recorded of."""

        def work(db: sqlite3.Connection, now_ms: int) -> CallLease | None:
            if _recorded(db, call, now_ms) is not None:
                return None
            db.execute("DELETE FROM calls WHERE call = ?", (call,))  # what is left of one whose retention is over
            fence = _next_fence(db)
            db.execute(
                "INSERT INTO calls VALUES (?, ?, ?, 0, 0, ?)",
                (call, fence, now_ms + self._terms.lease_ms, now_ms + self._terms.retention_ms),
            )
            return CallLease(call, fence)

        return await self._do(work)

    async def take_over(self, call: CallId, *, seize: bool = False) -> CallLease | None:
        """Own a call that was interrupted."""

        def work(db: sqlite3.Connection, now_ms: int) -> CallLease | None:
            recorded = _recorded(db, call, now_ms)
            if recorded is None:
                return None
            _, _, ended, leased_until_ms = recorded
            if ended or (leased_until_ms > now_ms and not seize):
                return None
            fence = _next_fence(db)
            db.execute("UPDATE calls SET fence = ? WHERE call = ?", (fence, call))
            self._touch(db, call, now_ms)
            return CallLease(call, fence)

        return await self._do(work)

    async def renew(self, lease: CallLease) -> None:
        """Own the call for another while."""

        def work(db: sqlite3.Connection, now_ms: int) -> None:
            _owned(db, lease, now_ms)
            self._touch(db, lease.call, now_ms)

        await self._do(work)

    async def append(self, lease: CallLease, at: int, lines: Sequence[bytes]) -> int:
        """Append lines if `at` is the length."""

        def work(db: sqlite3.Connection, now_ms: int) -> int:
            length = _owned(db, lease, now_ms)
            if at != length:
                return length
            numbered = [(lease.call, number, line) for number, line in enumerate(lines, start=length)]
            db.executemany("INSERT INTO lines VALUES (?, ?, ?)", numbered)
            db.execute("UPDATE calls SET length = ? WHERE call = ?", (length + len(lines), lease.call))
            self._touch(db, lease.call, now_ms)
            return length + len(lines)

        return await self._do(work)

    async def read(self, call: CallId, *, start: int = 0) -> RecordedCall | None:
        """Return what is recorded of a call."""

        def work(db: sqlite3.Connection, now_ms: int) -> RecordedCall | None:
            recorded = _recorded(db, call, now_ms)
            if recorded is None:
                return None
            rows = db.execute("SELECT line FROM lines WHERE call = ? AND number >= ? ORDER BY number", (call, start))
            return RecordedCall(tuple(bytes(row[0]) for row in rows), ended=bool(recorded[2]))

        return await self._do(work)

    async def end(self, lease: CallLease) -> None:
        """Mark the end."""

        def work(db: sqlite3.Connection, now_ms: int) -> None:
            _owned(db, lease, now_ms)
            self._touch(db, lease.call, now_ms)
            db.execute("UPDATE calls SET ended = 1, leased_until_ms = 0 WHERE call = ?", (lease.call,))

        await self._do(work)

    async def release(self, lease: CallLease) -> None:
        """Give the call up."""

        def work(db: sqlite3.Connection, _now_ms: int) -> None:
            db.execute("UPDATE calls SET leased_until_ms = 0 WHERE call = ? AND fence = ?", (lease.call, lease.fence))

        await self._do(work)

    async def interrupted(self) -> tuple[CallId, ...]:
        """Return the calls that nobody owns."""

        def work(db: sqlite3.Connection, now_ms: int) -> tuple[CallId, ...]:
            rows = db.execute(
                "SELECT call FROM calls WHERE NOT ended AND leased_until_ms <= ? AND expires_ms > ? ORDER BY call",
                (now_ms, now_ms),
            )
            return tuple(CallId(row[0]) for row in rows)

        return await self._do(work)

    async def erase(self, call: CallId) -> None:
        """Remove all that is recorded of a call."""

        def work(db: sqlite3.Connection, _now_ms: int) -> None:
            db.execute("DELETE FROM calls WHERE call = ?", (call,))

        await self._do(work)

    def _touch(self, db: sqlite3.Connection, call: CallId, now_ms: int) -> None:
        db.execute(
            "UPDATE calls SET leased_until_ms = ?, expires_ms = ? WHERE call = ?",
            (now_ms + self._terms.lease_ms, now_ms + self._terms.retention_ms, call),
        )

    # --- the thread ---

    async def close(self) -> None:
        """Close the file."""

        def work() -> None:
            if self._connection is not None:
                self._connection.close()

        try:
            async with asyncio.timeout(_WITHIN_S):
                await asyncio.get_running_loop().run_in_executor(self._thread, work)
        except TimeoutError:
            pass  # the file is held by whoever holds it; the operating system closes it
        self._thread.shutdown(wait=False)

    async def _do(self, work: Callable[[sqlite3.Connection, int], Result]) -> Result:
        """Have the thread do this in one transaction."""
        if self._waiting >= _MOST_WAITING:
            raise StateUnavailable(f"{self._path.name}: {_MOST_WAITING} are waiting already")
        now_ms = self._clock.unix_ms()
        self._waiting += 1
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_thread, work, now_ms)
        except TimeoutError as exc:
            raise StateUnavailable(f"{self._path.name} has not answered within {_WITHIN_S:.0f} s") from exc
        finally:
            self._waiting -= 1

    def _in_thread(self, work: Callable[[sqlite3.Connection, int], Result], now_ms: int) -> Result:
        try:
            if self._connection is None:
                self._connection = _open(self._path)
            with _transaction(self._connection) as db:
                self._sweep(db, now_ms)
                return work(db, now_ms)
        except sqlite3.Error as exc:
            raise StateUnavailable(f"{self._path.name}: {exc}") from exc

    def _sweep(self, db: sqlite3.Connection, now_ms: int) -> None:
        if now_ms >= self._sweep_at_ms:
            self._sweep_at_ms = now_ms + _SWEPT_EVERY_MS
            db.execute("DELETE FROM kept WHERE expires_ms <= ?", (now_ms,))
            db.execute("DELETE FROM calls WHERE expires_ms <= ?", (now_ms,))


def _open(path: Path) -> sqlite3.Connection:
    """Return a connection to the file, which is made where there is none. Raises OperatorError."""
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite's own files beside it take its mode
    except OSError as exc:
        raise OperatorError(f"{path} cannot be opened: {exc.strerror}") from exc
    db = sqlite3.connect(path, timeout=_BUSY_S, isolation_level=None, check_same_thread=False)
    try:
        _prepare(db, path)
    except BaseException:
        db.close()
        raise
    return db


def _prepare(db: sqlite3.Connection, path: Path) -> None:
    try:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA synchronous = NORMAL")  # survives every end of a process; the files of the calls are synced
        db.execute("PRAGMA secure_delete = ON")
        with _transaction(db):
            schema = int(db.execute("PRAGMA user_version").fetchone()[0])
            if schema == 0 and db.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0:
                for statement in _TABLES:
                    db.execute(statement)
                schema = _SCHEMA
    except sqlite3.OperationalError:
        raise  # busy, full, or gone: that may pass
    except sqlite3.DatabaseError as exc:
        raise OperatorError(f"{path} is no SQLite file: {exc}") from exc
    if schema != _SCHEMA:
        raise OperatorError(f"{path} is not shared state of this version of voiceagent; name another file")


@contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
    except BaseException:
        db.rollback()
        raise
    db.commit()


# --- rows ------------------------------------------------------------------------------------------------------------


def _alive(db: sqlite3.Connection, kind: str, key: str, now_ms: int) -> tuple[str, int, int] | None:
    """Return value, count and end of what is kept."""
    return db.execute(
        "SELECT value, count, expires_ms FROM kept WHERE kind = ? AND key = ? AND expires_ms > ?", (kind, key, now_ms)
    ).fetchone()


def _value(db: sqlite3.Connection, key: str, now_ms: int) -> str | None:
    kept = _alive(db, "note", key, now_ms)
    return kept[0] if kept is not None else None


def _keep(db: sqlite3.Connection, kind: str, key: str, expires_ms: int, *, value: str = "", count: int = 0) -> None:
    db.execute("INSERT OR REPLACE INTO kept VALUES (?, ?, ?, ?, ?)", (kind, key, value, count, expires_ms))


def _drop(db: sqlite3.Connection, kind: str, key: str) -> None:
    db.execute("DELETE FROM kept WHERE kind = ? AND key = ?", (kind, key))


def _recorded(db: sqlite3.Connection, call: CallId, now_ms: int) -> tuple[int, int, int, int] | None:
    """Return fence, length, whether it has ended, and the end of the lease."""
    return db.execute(
        "SELECT fence, length, ended, leased_until_ms FROM calls WHERE call = ? AND expires_ms > ?", (call, now_ms)
    ).fetchone()


def _owned(db: sqlite3.Connection, lease: CallLease, now_ms: int) -> int:
    """Return the length of a journal that the lease is good for. Raises LeaseLost."""
    recorded = _recorded(db, lease.call, now_ms)
    if recorded is None or recorded[0] != lease.fence or recorded[2]:
        raise LeaseLost(f"call {lease.call} is over, or another worker has it")
    return recorded[1]


def _next_fence(db: sqlite3.Connection) -> int:
    """Return a number that no lease has had, not even one of a call that was erased since."""
    db.execute("UPDATE fences SET newest = newest + 1")
    return int(db.execute("SELECT newest FROM fences").fetchone()[0])
