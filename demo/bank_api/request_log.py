"""The request log: which questions reached the bank, so that a demo can prove that one did not."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass

__all__ = ["LoggedRequest", "RequestLog"]

_KEPT = 10_000
_PATH_CHARS = 256


@dataclass(frozen=True, slots=True)
class LoggedRequest:
    """One HTTP request as it arrived, before anybody decided whether to answer it."""

    number: int
    """1 for the first since the start; counts on when old entries are dropped."""
    method: str
    path: str
    """Without the query, cut to 256 characters."""
    at_ms: int
    """Milliseconds since the bank opened."""
    has_idempotency_key: bool


class RequestLog:
    """The last 10,000 requests; written by the server's thread, read by any."""

    def __init__(self) -> None:
        self._opened_at_ns = time.monotonic_ns()
        self._lock = threading.Lock()
        self._count = 0
        self._requests: deque[LoggedRequest] = deque(maxlen=_KEPT)

    def add(self, method: str, path: str, *, has_idempotency_key: bool) -> None:
        """Note a request that arrives now."""
        at_ms = (time.monotonic_ns() - self._opened_at_ns) // 1_000_000
        with self._lock:
            self._count += 1
            self._requests.append(LoggedRequest(self._count, method, path[:_PATH_CHARS], at_ms, has_idempotency_key))

    def requests(self) -> list[LoggedRequest]:
        """Return a copy, oldest first."""
        with self._lock:
            return list(self._requests)
