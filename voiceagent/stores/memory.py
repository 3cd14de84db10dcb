"""Shared state in the memory of one process: all that a server needs that has no second worker."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from voiceagent.core.ids import CallId
from voiceagent.errors import LeaseLost, StateUnavailable
from voiceagent.ports import CallLease, Clock, RecordedCall
from voiceagent.stores.terms import Terms

__all__ = ["MemoryStore"]

_MOST_KEPT = 100_000
_SWEPT_EVERY_MS = 60_000


@dataclass(slots=True)
class _Kept:
    expires_ms: int
    value: str = ""
    count: int = 0


@dataclass(slots=True)
class _Call:
    expires_ms: int
    leased_until_ms: int
    fence: int
    ended: bool = False
    lines: list[bytes] = field(default_factory=list[bytes])


class MemoryStore:
    """The `SharedStore` port for one process."""

    def __init__(self, clock: Clock, *, terms: Terms | None = None, most: int = _MOST_KEPT) -> None:
        """Keep at most so many things, journals not counted; more are refused."""
        self._clock = clock
        self._terms = terms or Terms()
        self._most = most
        self._kept: dict[tuple[str, str], _Kept] = {}  # by kind and key
        self._members: dict[str, dict[str, int]] = {}
        """Key → member → when it is none any more."""
        self._calls: dict[CallId, _Call] = {}
        self._sweep_at_ms = 0
        self._newest_fence = 0

    # --- small things ---

    async def once(self, key: str, *, ttl_ms: int) -> bool:
        """Return True to the first who asks, False to everybody after."""
        if self._alive("once", key) is not None:
            return False
        self._keep("once", key, ttl_ms)
        return True

    async def note(self, key: str, value: str, *, ttl_ms: int) -> None:
        """Keep a value."""
        self._keep("note", key, ttl_ms).value = value

    async def noted(self, key: str) -> str | None:
        """Return a value."""
        kept = self._alive("note", key)
        return kept.value if kept is not None else None

    async def take(self, key: str) -> str | None:
        """Return a value, once."""
        kept = self._alive("note", key)
        if kept is None:
            return None
        del self._kept["note", key]
        return kept.value

    async def count(self, key: str, *, window_ms: int) -> int:
        """Count one more."""
        kept = self._alive("count", key) or self._keep("count", key, window_ms)
        kept.count += 1
        return kept.count

    async def counted(self, key: str) -> int:
        """Return how many were counted."""
        kept = self._alive("count", key)
        return kept.count if kept is not None else 0

    async def reset(self, key: str) -> None:
        """Begin to count anew."""
        self._kept.pop(("count", key), None)

    async def join(self, key: str, member: str, *, most: int, ttl_ms: int) -> bool:
        """Have one more member."""
        now_ms = self._clock.now_ms()
        if now_ms >= self._sweep_at_ms:
            self._sweep(now_ms)
        if key not in self._members and len(self._members) >= self._most:
            raise StateUnavailable(f"{self._most} groups are kept, and there is no room for more")
        others = {name: until_ms for name, until_ms in self._members.get(key, {}).items() if until_ms > now_ms}
        others.pop(member, None)
        if len(others) >= most:
            return False
        self._members[key] = {**others, member: now_ms + ttl_ms}
        return True

    async def leave(self, key: str, member: str) -> None:
        """Have one member less."""
        members = self._members.get(key, {})
        members.pop(member, None)
        if not members:
            self._members.pop(key, None)

    def _alive(self, kind: str, key: str) -> _Kept | None:
        kept = self._kept.get((kind, key))
        return kept if kept is not None and kept.expires_ms > self._clock.now_ms() else None

    def _keep(self, kind: str, key: str, ttl_ms: int) -> _Kept:
        now_ms = self._clock.now_ms()
        if now_ms >= self._sweep_at_ms or len(self._kept) >= self._most:
            self._sweep(now_ms)
        if len(self._kept) >= self._most and (kind, key) not in self._kept:
            raise StateUnavailable(f"{self._most} things are kept, and there is no room for more")
        kept = self._kept[kind, key] = _Kept(now_ms + ttl_ms)
        return kept

    def _sweep(self, now_ms: int) -> None:
        self._sweep_at_ms = now_ms + _SWEPT_EVERY_MS
        self._kept = {name: kept for name, kept in self._kept.items() if kept.expires_ms > now_ms}
        self._calls = {name: call for name, call in self._calls.items() if call.expires_ms > now_ms}
        self._members = {key: members for key, members in self._members.items() if max(members.values()) > now_ms}

    # --- journals ---

    async def begin(self, call: CallId) -> CallLease | None:
        """Own a call that nothing is recorded of."""
        if self._recorded(call) is not None:
            return None
        now_ms = self._clock.now_ms()
        if now_ms >= self._sweep_at_ms:
            self._sweep(now_ms)
        fence = self._next_fence()
        self._calls[call] = _Call(now_ms + self._terms.retention_ms, now_ms + self._terms.lease_ms, fence)
        return CallLease(call, fence)

    async def take_over(self, call: CallId, *, seize: bool = False) -> CallLease | None:
        """Own a call that was interrupted."""
        recorded = self._recorded(call)
        if recorded is None or recorded.ended:
            return None
        if recorded.leased_until_ms > self._clock.now_ms() and not seize:
            return None
        recorded.fence = self._next_fence()
        self._touch(recorded)
        return CallLease(call, recorded.fence)

    async def renew(self, lease: CallLease) -> None:
        """Own the call for another while."""
        self._touch(self._owned(lease))

    async def append(self, lease: CallLease, at: int, lines: Sequence[bytes]) -> int:
        """Append lines if `at` is the length."""
        recorded = self._owned(lease)
        if at == len(recorded.lines):
            recorded.lines += lines
            self._touch(recorded)
        return len(recorded.lines)

    async def read(self, call: CallId, *, start: int = 0) -> RecordedCall | None:
        """Return what is recorded of a call."""
        recorded = self._recorded(call)
        return RecordedCall(tuple(recorded.lines[start:]), recorded.ended) if recorded is not None else None

    async def end(self, lease: CallLease, *, keep: bool = False) -> None:
        """Mark the end."""
        recorded = self._owned(lease)
        self._touch(recorded)
        recorded.ended = True
        if not keep:
            recorded.lines = []
        recorded.leased_until_ms = 0

    async def release(self, lease: CallLease) -> None:
        """Give the call up."""
        recorded = self._recorded(lease.call)
        if recorded is not None and recorded.fence == lease.fence:
            recorded.leased_until_ms = 0

    async def interrupted(self) -> tuple[CallId, ...]:
        """Return the calls that nobody owns."""
        now_ms = self._clock.now_ms()
        return tuple(
            name
            for name, call in self._calls.items()
            if not call.ended and call.leased_until_ms <= now_ms < call.expires_ms
        )

    async def recorded(self) -> tuple[CallId, ...]:
        """Return the calls of which something is recorded."""
        now_ms = self._clock.now_ms()
        return tuple(name for name, call in self._calls.items() if call.expires_ms > now_ms)

    async def erase(self, call: CallId) -> None:
        """Remove all that is recorded of a call."""
        self._calls.pop(call, None)

    async def close(self) -> None:
        """Nothing is held."""

    def _recorded(self, call: CallId) -> _Call | None:
        recorded = self._calls.get(call)
        return recorded if recorded is not None and recorded.expires_ms > self._clock.now_ms() else None

    def _owned(self, lease: CallLease) -> _Call:
        recorded = self._recorded(lease.call)
        if recorded is None or recorded.ended or recorded.fence != lease.fence:
            raise LeaseLost(f"call {lease.call} is over, or another worker has it")
        return recorded

    def _next_fence(self) -> int:
        """Return a number that no lease has had, not even one of a call that was erased since."""
        self._newest_fence += 1
        return self._newest_fence

    def _touch(self, recorded: _Call) -> None:
        now_ms = self._clock.now_ms()
        recorded.leased_until_ms = now_ms + self._terms.lease_ms
        recorded.expires_ms = now_ms + self._terms.retention_ms
