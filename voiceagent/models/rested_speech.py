"""A speech model that cannot be connected is left alone for a while: callers are spoken to by the cascade meanwhile."""

from __future__ import annotations

from collections.abc import Callable

from voiceagent.breaker import Breaker
from voiceagent.errors import VoiceFailed
from voiceagent.models.failures import ModelUnavailable, ReplyRefused
from voiceagent.ports import (
    Clock,
    SessionSetup,
    SpeechCapabilities,
    SpeechModelEngine,
    SpeechModelEvent,
    SpeechSession,
)

__all__ = ["RestedSpeechModel"]


class RestedSpeechModel:
    """An engine with a circuit breaker that all calls share; fulfils `SpeechModelEngine`."""

    def __init__(self, engine: SpeechModelEngine, clock: Clock) -> None:
        """Take the engine over."""
        self.engine = engine
        self._breaker = Breaker(clock)

    @property
    def capabilities(self) -> SpeechCapabilities:
        """The engine's row."""
        return self.engine.capabilities

    async def connect(self, setup: SessionSetup, post: Callable[[SpeechModelEvent], None]) -> SpeechSession:
        """Return a session in which the setup is in force. Raises VoiceFailed, at once while the engine rests."""
        attempt = object()
        if not self._breaker.admits(attempt):
            raise ModelUnavailable(f"{self.engine.capabilities.name} rests after too many failures")
        try:
            session = await self.engine.connect(setup, post)
        except VoiceFailed as failure:
            self._learn(failure)
            raise
        else:
            self._breaker.answered()
            return session
        finally:
            self._breaker.leave(attempt)

    def _learn(self, failure: VoiceFailed) -> None:
        if isinstance(failure, ReplyRefused):
            return  # it works; another call's setup may well suit it
        if failure.permanent:
            self._breaker.failed_for_good()
        else:
            self._breaker.failed()

    async def close(self) -> None:
        """Close the engine."""
        await self.engine.close()
