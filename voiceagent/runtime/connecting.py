"""Connecting: sessions with a speech model's provider, from the first attempt until each of them has ended."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from voiceagent.backoff import Backoff
from voiceagent.errors import VoiceFailed
from voiceagent.in_time import within
from voiceagent.ports import AudioFormat, Clock, SessionSetup, SpeechModelEngine, SpeechModelEvent
from voiceagent.runtime.call_tasks import CallTasks
from voiceagent.runtime.model_session import LiveSession
from voiceagent.runtime.mouth import recordable

__all__ = ["Connections"]

_log = logging.getLogger(__name__)
_CONNECT_WITHIN_MS = 4_000
"""The caller waits in silence, but for a filler; the cascade speaks after this."""
_ENDED_WITHIN_MS = 2_000
"""After the call; a provider that does not say goodbye in time is left without."""


class Connections:
    """All model sessions of one call."""

    def __init__(
        self,
        engine: SpeechModelEngine,
        *,
        audio_in: AudioFormat,
        clock: Clock,
        tasks: CallTasks,
        happened: Callable[[LiveSession, SpeechModelEvent], None],
        backoff: Backoff,
    ) -> None:
        """`audio_in` is the leg's; `happened` is told what happens in any session, `backoff` parts two attempts."""
        self._engine = engine
        self._name = engine.capabilities.name
        self._audio_in = audio_in
        self._clock = clock
        self._tasks = tasks
        self._happened = happened
        self._backoff = backoff
        self._ending: dict[asyncio.Task[None], None] = {}
        """Sessions that are being closed: a call is not over before its connections are."""

    async def open(self, phase: str, setup: SessionSetup) -> LiveSession:
        """Return a session in which the setup is in force. Raises VoiceFailed."""
        try:
            async with within(_CONNECT_WITHIN_MS, self._clock):
                live = await LiveSession.connect(
                    self._engine, phase, setup, audio_in=self._audio_in, heard=self._happened
                )
        except TimeoutError as exc:
            raise VoiceFailed(f"{self._name} could not be connected within {_CONNECT_WITHIN_MS} ms") from exc
        except VoiceFailed:
            raise
        except Exception as exc:  # adapter boundary: an engine may raise anything
            raise VoiceFailed(recordable(exc)) from exc
        live.since_ms = self._clock.now_ms()
        return live

    async def open_trying_twice(self, phase: str, setup: SessionSetup) -> LiveSession:
        """The same, where the caller can wait for a second attempt. Raises VoiceFailed."""
        try:
            return await self.open(phase, setup)
        except VoiceFailed as exc:
            if exc.permanent or isinstance(exc.__cause__, TimeoutError):
                raise  # a second wait as long as the first is more than a caller has patience for
            _log.info("%s; it is tried once more", exc)
            await self._clock.sleep(self._backoff.before(0))
            return await self.open(phase, setup)

    def end(self, session: LiveSession) -> None:
        """Nobody wants this session any more."""
        task = self._tasks.start(session.session.close())
        self._ending[task] = None
        task.add_done_callback(lambda _: self._ending.pop(task, None))

    async def all_ended(self, change: asyncio.Task[None] | None) -> None:
        """Wait until no session is left: a change that is broken off may have one of its own."""
        if change is not None:
            change.cancel()
            await self._tasks.wait((change,), at_most_ms=_ENDED_WITHIN_MS)
        await self._tasks.wait(tuple(self._ending), at_most_ms=_ENDED_WITHIN_MS)
