"""Calls that can be told something: the host application says what has happened, and the call goes by it."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace

from pydantic import JsonValue

from voiceagent.core.events import HostEvent
from voiceagent.core.ids import CallId, LegId, UtteranceId
from voiceagent.ports import AudioFormat, IncomingCall, Leg, LegEvents, LegFeatures

__all__ = ["ToldCalls"]


class ToldCalls:
    """The live calls of this process, by the ids that their carrier gave them."""

    def __init__(self) -> None:
        self._legs: dict[CallId, _ToldLeg] = {}

    @contextmanager
    def listening(self, incoming: IncomingCall) -> Generator[IncomingCall]:
        """Give the call as it is to be taken: it can be told something for as long as the block lasts."""
        leg = _ToldLeg(incoming.leg)
        self._legs[incoming.call] = leg
        try:
            yield replace(incoming, leg=leg)
        finally:
            if self._legs.get(incoming.call) is leg:  # it may have been connected again meanwhile
                del self._legs[incoming.call]

    def tell(self, call: CallId, name: str, payload: Mapping[str, JsonValue] | None = None) -> bool:
        """Let a host event happen to a call; False where this process has none of this id that has begun."""
        leg = self._legs.get(call)
        if leg is None or leg.events is None:
            return False
        leg.events.post(HostEvent(name, payload))
        return True


class _ToldLeg:
    """A leg that remembers whom it reports to; fulfils the port `Leg`."""

    def __init__(self, leg: Leg) -> None:
        self._leg = leg
        self.events: LegEvents | None = None

    @property
    def id(self) -> LegId:
        """Unique within the process."""
        return self._leg.id

    @property
    def features(self) -> LegFeatures:
        """The dialect's row."""
        return self._leg.features

    @property
    def audio_in(self) -> AudioFormat:
        """Format of what the caller sends."""
        return self._leg.audio_in

    @property
    def audio_out(self) -> AudioFormat:
        """Format that `play` takes."""
        return self._leg.audio_out

    def attach(self, events: LegEvents) -> None:
        """Start reporting."""
        self.events = events
        self._leg.attach(events)

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        """Queue audio."""
        self._leg.play(utterance, audio)

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        """Mark the end of a clause."""
        self._leg.end_clause(utterance, clause, last=last)

    def clear(self) -> None:
        """Be silent."""
        self._leg.clear()

    def send_digits(self, digits: str) -> None:
        """Press keys towards the far side."""
        self._leg.send_digits(digits)

    async def transfer(self, target: str) -> None:
        """Hand the caller over."""
        await self._leg.transfer(target)

    async def hang_up(self, *, drain: bool) -> None:
        """End the leg."""
        await self._leg.hang_up(drain=drain)
