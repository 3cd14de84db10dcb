"""Shared state in one SQLite file: for several workers on one machine.

Time is the wall clock as each worker found it when it began, which is all that the workers of a machine have in common
after a restart; it goes on from there by itself, so that a clock that is set in the middle of calls ends none of them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from voiceagent.core.ids import CallId
from voiceagent.errors import LeaseLost
from voiceagent.ports import CallLease, Clock, RecordedCall
from voiceagent.stores.sqlite_file import SqliteFile
from voiceagent.stores.terms import Terms

__all__ = ["SqliteStore"]

Result = TypeVar("Result")


class SqliteStore:
    """The `SharedStore` port in a file."""

    def __init__(self, path: Path, *, clock: Clock, terms: Terms | None = None) -> None:
        """Nothing is opened yet: the file is made, private, by what is asked first."""
        self._file = SqliteFile(path)
        self._clock = clock
        self._began_unix_ms = clock.unix_ms() - clock.now_ms()
        """The wall clock at the beginning of this worker's own time."""
        self._terms = terms or Terms()

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

    async def join(self, key: str, member: str, *, most: int, ttl_ms: int) -> bool:
        """Have one more member."""
        group = f"member:{key}"

        def work(db: sqlite3.Connection, now_ms: int) -> bool:
            others = "SELECT count(*) FROM kept WHERE kind = ? AND key <> ? AND expires_ms > ?"
            if db.execute(others, (group, member, now_ms)).fetchone()[0] >= most:
                return False
            _keep(db, group, member, now_ms + ttl_ms)
            return True

        return await self._do(work)

    async def leave(self, key: str, member: str) -> None:
        """Have one member less."""
        await self._do(lambda db, _now_ms: _drop(db, f"member:{key}", member))

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

    async def end(self, lease: CallLease, *, keep: bool = False) -> None:
        """Mark the end."""

        def work(db: sqlite3.Connection, now_ms: int) -> None:
            _owned(db, lease, now_ms)
            self._touch(db, lease.call, now_ms)
            db.execute("UPDATE calls SET ended = 1, leased_until_ms = 0 WHERE call = ?", (lease.call,))
            if not keep:
                db.execute("DELETE FROM lines WHERE call = ?", (lease.call,))
                db.execute("UPDATE calls SET length = 0 WHERE call = ?", (lease.call,))

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

    async def recorded(self) -> tuple[CallId, ...]:
        """Return the calls of which something is recorded."""

        def work(db: sqlite3.Connection, now_ms: int) -> tuple[CallId, ...]:
            rows = db.execute("SELECT call FROM calls WHERE expires_ms > ? ORDER BY call", (now_ms,))
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

    async def close(self) -> None:
        """Close the file."""
        await self._file.close()

    async def _do(self, work: Callable[[sqlite3.Connection, int], Result]) -> Result:
        """Have this done in one transaction, which is told the time."""
        now_ms = self._began_unix_ms + self._clock.now_ms()
        return await self._file.do(lambda db: work(db, now_ms), now_ms=now_ms)


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
