"""Microphone and loudspeaker as a leg: a caller who sits at this machine and talks."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from voiceagent.audio import SILENCE_DBFS, level_dbfs
from voiceagent.core import events as ev
from voiceagent.core.ids import LegId, UtteranceId
from voiceagent.devices.loudspeaker import Block, Passed, PlayoutQueue
from voiceagent.in_time import within
from voiceagent.ports import Announcement, AudioFormat, Clock, LegEvents, LegFeatures

__all__ = ["MICROPHONE_FEATURES", "MicrophoneLeg"]

MICROPHONE_FEATURES = LegFeatures(
    dialect="microphone",
    clear=True,
    marks=True,
    marks_return_on_clear=False,
    digits_out="no",
    transfer="in_band",
    hang_up="close",
    digits_in="no",
    position="marks",
    stop_reason=False,
)
_DRAINED_WITHIN_MS = 30_000
_LOOK_EVERY_MS = 20


class MicrophoneLeg:
    """The connection to whoever sits here; fulfils `Leg`, and `SoundUser` for the threads of the devices.

    What the sound card has taken is heard: it cannot be taken back, so a position is exact to the sample. Events are
    posted when their moment is heard, not when it is handed over.
    """

    def __init__(self, leg: LegId, audio: AudioFormat, clock: Clock) -> None:
        """Made on the event loop that the call runs on."""
        self.id = leg
        self.features = MICROPHONE_FEATURES
        self.audio_in = self.audio_out = audio
        self.heard_dbfs = self.said_dbfs = SILENCE_DBFS
        """How loud it was last, on either side."""
        self.gone: str | None = None
        """Why a device was lost."""
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._queue = PlayoutQueue(bytes_per_ms=audio.bytes_per_ms)
        self._events: LegEvents | None = None
        self._due: dict[UtteranceId, list[Callable[[], None]]] = {}
        """What calls off the events of an utterance that are to be posted once they are heard."""

    # --- what the devices' threads do ---

    def heard(self, audio: bytes) -> None:
        """Hand it to the call."""
        self._soon(lambda: self._heard(audio))

    def take(self, size_bytes: int) -> Block:
        """Return what is said next."""
        return self._queue.take(size_bytes)

    def handed_over(self, block: Block, in_ms: int) -> None:
        """Have the call told when each moment of it is heard."""
        begins_ms = self._clock.now_ms() + in_ms
        self._soon(lambda: self._begins(block, begins_ms))

    def lost(self, reason: str) -> None:
        """The call has no caller any more."""
        self._soon(lambda: self._lost(reason))

    def _soon(self, callback: Callable[[], None]) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    # --- what comes of it, on the event loop ---

    def _heard(self, audio: bytes) -> None:
        self.heard_dbfs = level_dbfs(audio)
        if self._events is not None:
            self._events.audio_arrived(audio)

    def _begins(self, block: Block, begins_ms: int) -> None:
        self.said_dbfs = level_dbfs(block.audio)
        for passed in block.passed:
            self._tell_when_heard(passed, begins_ms + passed.at_ms)

    def _tell_when_heard(self, passed: Passed, at_ms: int) -> None:
        def due() -> None:
            if passed.clause is None:
                self._post(ev.PlayoutStarted(passed.utterance, at_ms))
                return
            if passed.last:
                self._queue.finished(passed.utterance)
                self._due.pop(passed.utterance, None)
            self._post(ev.PlayoutReached(passed.utterance, passed.clause, passed.heard_ms, passed.last))

        if not self._queue.speaks(passed.utterance):
            return  # it was cut off while the card took it
        self._due.setdefault(passed.utterance, []).append(self._clock.call_at(at_ms, due))

    def _lost(self, reason: str) -> None:
        self.gone = reason
        self._post(ev.LegLost(self.id, reason))

    def _post(self, event: ev.Event) -> None:
        if self._events is not None:
            self._events.post(event)

    # --- what the session does ---

    def attach(self, events: LegEvents) -> None:
        """Let the caller be heard from now on."""
        self._events = events
        if self.gone is not None:
            self._post(ev.LegLost(self.id, self.gone))

    def play(self, utterance: UtteranceId, audio: bytes) -> None:
        """Queue audio of an utterance."""
        self._queue.add(utterance, audio)

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        """Have it told when a clause has been heard."""
        self._queue.end_clause(utterance, clause, last=last)

    def clear(self) -> None:
        """Say no more."""
        heard_ms = self._queue.clear()
        for call_off in [call_off for due in self._due.values() for call_off in due]:
            call_off()
        self._due.clear()
        for utterance, ms in heard_ms.items():
            self._post(ev.PlayoutStopped(utterance, ms, exact=True))

    def send_digits(self, digits: str) -> None:
        """Nobody is there who would hear keys; whoever looks on sees that they were pressed."""

    def record(self, *, on: bool) -> None:
        """There is no provider who could record."""

    async def transfer(
        self, target: str, announcement: Announcement | None = None, *, sorry: Announcement | None = None
    ) -> bool:
        """Let the caller hear what has been said; they would be somebody else's from then on."""
        await self._drained()
        return False

    async def hang_up(self, *, drain: bool) -> None:
        """End the leg; with `drain` after everything has been heard."""
        if drain:
            await self._drained()
        self.clear()
        self._events = None

    async def _drained(self) -> None:
        with suppress(TimeoutError):
            async with within(_DRAINED_WITHIN_MS, self._clock):
                while not self._queue.silent and self.gone is None:
                    await self._clock.sleep(_LOOK_EVERY_MS)
