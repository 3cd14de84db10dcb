"""The file of shared state: one thread has the connection, so that the event loop waits for no disk."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import time
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from voiceagent.errors import OperatorError, StateUnavailable

__all__ = ["SqliteFile"]

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


class SqliteFile:
    """A file that workers share. It is made, private, by the first thing that is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="shared-state")
        self._connection: sqlite3.Connection | None = None
        self._waiting = 0
        self._sweep_at_ms = 0

    async def do(self, work: Callable[[sqlite3.Connection], Result], *, now_ms: int) -> Result:
        """Have the thread do this in one transaction; what has run out by `now_ms` is removed now and then.

        Raises StateUnavailable, and OperatorError where the file cannot be opened or is something else.
        """
        if self._waiting >= _MOST_WAITING:
            raise StateUnavailable(f"{self._path.name}: {_MOST_WAITING} are waiting already")
        self._waiting += 1
        try:
            async with asyncio.timeout(_WITHIN_S):
                return await asyncio.get_running_loop().run_in_executor(self._thread, self._in_thread, work, now_ms)
        except TimeoutError as exc:
            raise StateUnavailable(f"{self._path.name} has not answered within {_WITHIN_S:.0f} s") from exc
        finally:
            self._waiting -= 1

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

    def _in_thread(self, work: Callable[[sqlite3.Connection], Result], now_ms: int) -> Result:
        try:
            if self._connection is None:
                self._connection = _open(self._path)
            with _transaction(self._connection) as db:
                self._sweep(db, now_ms)
                return work(db)
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
        _write_ahead(db)
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


def _write_ahead(db: sqlite3.Connection) -> None:
    """Have readers and the writer not wait for each other. Of workers that begin at once SQLite refuses all but one."""
    give_up_s = time.monotonic() + _BUSY_S
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError:
            if time.monotonic() >= give_up_s:
                raise
            time.sleep(0.02)
        else:
            return


@contextmanager
def _transaction(db: sqlite3.Connection) -> Generator[sqlite3.Connection]:
    db.execute("BEGIN IMMEDIATE")
    try:
        yield db
        db.commit()
    except BaseException:
        db.rollback()
        raise
