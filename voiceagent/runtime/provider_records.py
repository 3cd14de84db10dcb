"""Recording at the provider: it is paused wherever our own recording would have nothing of the caller."""

from __future__ import annotations

from voiceagent.core import events as ev
from voiceagent.core.state import CallState
from voiceagent.ports import Leg
from voiceagent.runtime.recording import PAUSE, RESUME

__all__ = ["ProviderRecords"]


class ProviderRecords:
    """Has the provider of one call record what may be recorded."""

    def __init__(self, leg: Leg, state: CallState) -> None:
        self._leg = leg
        self._state = state
        self._paused = False
        self._on: bool | None = None

    def happened(self, event: ev.Event) -> None:
        """Follow the call: its phase has changed, or the host application wants a pause."""
        match event:
            case ev.HostEvent(name) if name in (PAUSE, RESUME):
                self._paused = name == PAUSE
            case _:
                pass
        phase = self._state.phase
        on = phase.record and not (phase.sensitive or self._paused)
        if on != self._on:
            self._on = on
            self._leg.record(on=on)
