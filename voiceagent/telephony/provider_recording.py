"""A call's recording at its provider: begun once, paused wherever nothing may be recorded, and gone on with.

What was begun is noted where workers share state, so that a call that goes on elsewhere is not recorded twice.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from voiceagent.errors import CallLost, StateUnavailable
from voiceagent.logs import log_failure
from voiceagent.ports import SharedState
from voiceagent.telephony.call_control import CallControl

__all__ = ["ProviderRecording"]

_log = logging.getLogger(__name__)

_KEPT_MS = 24 * 3_600_000
_GIVEN_UP = "given up"


class ProviderRecording:
    """One call's. Nothing that a provider refuses touches the call."""

    def __init__(
        self, call: str, control: CallControl, state: SharedState | None, *, count: Callable[[str], None]
    ) -> None:
        self._call = call
        self._control = control
        self._state = state
        self._count = count
        self._recording: str | None = None
        """The provider's id of what has been begun; None as long as that is nothing."""
        self._looked_up = state is None
        self._wanted = self._is = False
        self._changing: asyncio.Task[None] | None = None

    def want(self, *, on: bool) -> None:
        """Have the call recorded from now on, or not. Returns at once."""
        self._wanted = on
        if self._changing is None or self._changing.done():
            self._changing = asyncio.ensure_future(self._change())

    @property
    def changing(self) -> Collection[asyncio.Task[None]]:
        """What asks the provider for what is wanted, while it does."""
        return () if self._changing is None or self._changing.done() else (self._changing,)

    @property
    def wanted(self) -> bool:
        """Whether the call is to be recorded now."""
        return self._wanted

    async def settled(self) -> None:
        """Return when the provider has answered to what is wanted."""
        if self._changing is not None:
            await self._changing

    async def _change(self) -> None:
        try:
            await self._do_what_is_wanted()
        except Exception as exc:  # noqa: BLE001 - whatever is wrong with a provider's interface, the call goes on
            self._count("request refused")
            log_failure(_log, exc, "the recording of call %s at its provider is in doubt", self._call)

    async def _do_what_is_wanted(self) -> None:
        await self._look_up()
        while self._is != self._wanted and self._recording != _GIVEN_UP:
            self._is = self._wanted
            if not self._is:
                await self._pause()
            elif self._recording is None:
                await self._begin()
            else:
                await self._go_on(self._recording)

    async def _look_up(self) -> None:
        if self._looked_up or self._state is None:
            return
        self._looked_up = True
        try:
            self._recording = await self._state.noted(_key(self._call))
        except StateUnavailable as exc:
            self._give_up(f"nobody knows whether it was begun before: {exc}")
        # What went on before may still do so: it is paused for certain where nothing may be recorded.
        self._is = self._recording is not None and not self._wanted

    async def _begin(self) -> None:
        try:
            self._recording = await self._control.start_recording(self._call)
        except CallLost as exc:
            self._give_up(str(exc))
        else:
            await self._note()

    async def _go_on(self, recording: str) -> None:
        try:
            await self._control.resume_recording(self._call, recording)
        except CallLost as exc:
            self._count("request refused")
            _log.warning("the recording of call %s at its provider does not go on: %s", self._call, exc)

    async def _pause(self) -> None:
        if self._recording is None:
            return
        try:
            await self._control.pause_recording(self._call, self._recording)
        except CallLost as exc:
            self._count("request refused")
            await self._stop(self._recording, exc)

    async def _stop(self, recording: str, why: CallLost) -> None:
        """What cannot be paused is ended: better no recording than one of what must not be in it."""
        self._recording = _GIVEN_UP
        try:
            await self._control.stop_recording(self._call, recording)
        except CallLost as exc:
            self._count("request refused")
            _log.error("call %s is recorded at its provider though it must not be: %s; %s", self._call, why, exc)
        else:
            _log.error("the recording of call %s is stopped: it could not be paused: %s", self._call, why)
        await self._note()

    def _give_up(self, reason: str) -> None:
        self._recording = _GIVEN_UP
        self._count("request refused")
        _log.warning("call %s is not recorded at its provider: %s", self._call, reason)

    async def _note(self) -> None:
        if self._state is None or self._recording is None:
            return
        try:
            await self._state.note(_key(self._call), self._recording, ttl_ms=_KEPT_MS)
        except StateUnavailable as exc:
            _log.warning("that call %s is recorded is known to this worker alone: %s", self._call, exc)


def _key(call: str) -> str:
    return f"recording:{call}"
