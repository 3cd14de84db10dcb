"""The leg of a call that is recorded: what the agent is about to say is noted on its way."""

from __future__ import annotations

from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.ports import Announcement, AudioFormat, Leg, LegEvents, LegFeatures
from voiceagent.runtime.recording import Recording

__all__ = ["RecordedLeg"]


class RecordedLeg:
    """A leg whose speech is recorded as it is queued; fulfils the port `Leg`."""

    def __init__(self, leg: Leg, recording: Recording) -> None:
        self._leg = leg
        self._recording = recording

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
        self._leg.attach(events)

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        """Queue audio, and note it."""
        self._recording.queued(utterance, audio)
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

    def record(self, *, on: bool) -> None:
        """Have the provider record the call as well, or not."""
        self._leg.record(on=on)

    async def transfer(
        self, target: str, announcement: Announcement | None = None, *, sorry: Announcement | None = None
    ) -> bool:
        """Hand the caller over."""
        return await self._leg.transfer(target, announcement, sorry=sorry)

    async def hang_up(self, *, drain: bool) -> None:
        """End the leg."""
        await self._leg.hang_up(drain=drain)
