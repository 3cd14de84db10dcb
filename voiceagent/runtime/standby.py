"""Standby: model sessions that are connected and primed before they are needed, so that nobody hears them begin."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from voiceagent.core import events as ev
from voiceagent.core.ids import Epoch
from voiceagent.errors import VoiceFailed
from voiceagent.ports import Clock, SessionSetup
from voiceagent.runtime.call_tasks import CallTasks
from voiceagent.runtime.model_session import LiveSession

__all__ = ["Standbys"]

_log = logging.getLogger(__name__)
_NO_EPOCH = Epoch(0)


@dataclass(slots=True)
class _Standby:
    setup: SessionSetup
    since_ms: int
    connecting: asyncio.Task[None] | None = None
    session: LiveSession | None = None
    """None while it is being connected, and where that has failed."""


class Standbys:
    """The sessions that wait, one per phase."""

    def __init__(
        self,
        connect: Callable[[str, SessionSetup], Awaitable[LiveSession]],
        end: Callable[[LiveSession], object],
        *,
        clock: Clock,
        tasks: CallTasks,
        post: Callable[[ev.Event], None],
        oldest_ms: int | None,
    ) -> None:
        """`oldest_ms` is for how long a session may wait; None is for as long as it takes."""
        self._connect = connect
        self._end = end
        self._clock = clock
        self._tasks = tasks
        self._post = post
        self._oldest_ms = oldest_ms
        self._waiting: dict[str, _Standby] = {}

    def prime(self, phase: str, setup: SessionSetup) -> None:
        """Have a session ready for this phase from as soon as possible."""
        known = self._waiting.get(phase)
        if known is not None and _fits(known.setup, setup):
            return
        self.drop(phase)
        standby = _Standby(setup, self._clock.now_ms())
        self._waiting[phase] = standby
        standby.connecting = self._tasks.start(self._open(phase, standby))

    async def _open(self, phase: str, standby: _Standby) -> None:
        try:
            standby.session = await self._connect(phase, standby.setup)
        except VoiceFailed as exc:
            # It would only have been sooner: the swap connects another.
            _log.warning("no standby for phase %s: %s", phase, exc)
        if self._waiting.get(phase) is not standby and standby.session is not None:
            self._end(standby.session)

    async def opened(self, phase: str) -> None:
        """Wait until the session for this phase is there, or is known not to come."""
        standby = self._waiting.get(phase)
        if standby is not None and standby.connecting is not None:
            await asyncio.wait([standby.connecting])

    def take(self, phase: str, setup: SessionSetup) -> LiveSession | None:
        """Return the session that is ready for the phase and fits; all others are closed. None where there is none."""
        standby = self._waiting.get(phase)
        ready = standby is not None and standby.session is not None and not self._old(standby)
        if standby is None or not ready or not _fits(standby.setup, setup):
            self.close()
            return None
        del self._waiting[phase]
        self.close()
        self._closed(phase, standby, used=True)
        return standby.session

    def lost(self, session: LiveSession) -> None:
        """One of them was ended by the provider, or soon will be."""
        for phase, standby in tuple(self._waiting.items()):
            if standby.session is session:
                self.drop(phase)

    def close(self) -> None:
        """The call has moved on, or is over: nothing that waits is wanted any more."""
        for phase in tuple(self._waiting):
            self.drop(phase)

    def drop(self, phase: str) -> None:
        """Close what waits for this phase, if anything does."""
        standby = self._waiting.pop(phase, None)
        if standby is None:
            return
        self._closed(phase, standby, used=False)
        if standby.session is not None:
            self._end(standby.session)
        elif standby.connecting is not None:
            standby.connecting.cancel()

    def _old(self, standby: _Standby) -> bool:
        return self._oldest_ms is not None and self._clock.now_ms() - standby.since_ms > self._oldest_ms

    def _closed(self, phase: str, standby: _Standby, *, used: bool) -> None:
        self._post(ev.StandbyClosed(phase, self._clock.now_ms() - standby.since_ms, used))


def _fits(ahead: SessionSetup, wanted: SessionSetup) -> bool:
    """Whether a session that was given the one needs nothing but what is known late to be the other."""
    late = {"epoch": _NO_EPOCH, "late_facts": "", "known": ""}
    return replace(ahead, **late) == replace(wanted, **late)  # pyright: ignore[reportArgumentType] - fields of its own
