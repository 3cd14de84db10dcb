"""A change of prompt and tools that a live model session was sent, until the session says that it is in force."""

from __future__ import annotations

import asyncio

from voiceagent.core.ids import Epoch
from voiceagent.in_time import within
from voiceagent.ports import Clock, SessionSetup
from voiceagent.runtime.model_session import LiveSession

__all__ = ["SetupChange"]

_CONFIRM_WITHIN_MS = 2_000
"""A change of prompt and tools takes a provider some 50 ms (pipecat-flows PR 229)."""


class SetupChange:
    """The last change of one call's live session; there is one at a time."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._sent: tuple[Epoch, asyncio.Future[bool]] | None = None

    def send(self, live: LiveSession, setup: SessionSetup) -> asyncio.Future[bool]:
        """Send a setup; the future says whether it came into force."""
        confirmed: asyncio.Future[bool] = asyncio.get_running_loop().create_future()
        self._sent = (setup.epoch, confirmed)
        live.session.update(setup)
        return confirmed

    async def confirmed(self, live: LiveSession, setup: SessionSetup) -> bool:
        """Have the setup in force, and sent if it was not yet; False where the session is lost over it.

        Raises TimeoutError.
        """
        sent = self._sent
        confirmed = self.send(live, setup) if sent is None else sent[1]
        try:
            async with within(_CONFIRM_WITHIN_MS, self._clock):
                return await confirmed
        finally:
            if self._sent is not None and self._sent[1] is confirmed:
                self._sent = None

    def in_force(self, epoch: Epoch) -> None:
        """The session confirms the setup of this epoch."""
        if self._sent is not None and self._sent[0] == epoch:
            self._decide(in_force=True)

    def session_lost(self) -> None:
        """Nothing will be confirmed."""
        self._decide(in_force=False)

    def forget(self) -> None:
        """What was sent is not wanted any more."""
        self._sent = None

    def _decide(self, *, in_force: bool) -> None:
        if self._sent is not None and not self._sent[1].done():
            self._sent[1].set_result(in_force)
