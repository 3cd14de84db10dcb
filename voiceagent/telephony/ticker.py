"""The tick: one clock beat of 20 ms for all calls of the process, and none while nobody needs it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from voiceagent.audio import FRAME_MS
from voiceagent.logs import log_failure
from voiceagent.ports import Clock

__all__ = ["Ticker"]

_log = logging.getLogger(__name__)


class Ticker:
    """Calls its members once per frame for as long as each says that it wants to be called again."""

    def __init__(self, clock: Clock, *, late: Callable[[int], None] = lambda _: None) -> None:
        """`late` is told of every beat how many milliseconds late it was."""
        self._clock = clock
        self._late = late
        self._members: dict[Callable[[int], bool], Callable[[], None]] = {}
        self._due_ms = 0
        self._cancel: Callable[[], None] | None = None

    @property
    def running(self) -> bool:
        """Whether a tick is due."""
        return self._cancel is not None

    def join(self, member: Callable[[int], bool], *, failed: Callable[[], None]) -> None:
        """Call `member(now_ms)` from the next tick on, until it returns False; joining twice is joining once.

        A member that raises is told so by `failed` and called no more.
        """
        self._members[member] = failed
        if self._cancel is None:
            self._arm(self._clock.now_ms() + FRAME_MS)

    def leave(self, member: Callable[[int], bool]) -> None:
        """Call this member no more."""
        self._members.pop(member, None)

    def _arm(self, due_ms: int) -> None:
        self._due_ms = due_ms
        self._cancel = self._clock.call_at(due_ms, self._tick)

    def _tick(self) -> None:
        now_ms = self._clock.now_ms()
        self._late(now_ms - self._due_ms)
        for member, failed in tuple(self._members.items()):
            if member not in self._members:
                continue  # it has left in this beat
            try:
                again = member(now_ms)
            except Exception as exc:  # noqa: BLE001 - one call's fault must not take the beat from all the others
                log_failure(_log, exc, "a leg failed in its tick")
                failed()
                again = False
            if not again:
                self._members.pop(member, None)
        self._cancel = None
        if self._members:
            # After a stall the beats that were missed are left out, the rhythm is kept where it can be.
            next_ms = self._due_ms + FRAME_MS
            self._arm(next_ms if next_ms > now_ms else now_ms + FRAME_MS)
