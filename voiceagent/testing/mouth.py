"""The caller's mouth: what is said, as one frame after the other."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from voiceagent.audio import FRAME_MS, MULAW_SILENCE
from voiceagent.testing.playout import FRAME_BYTES
from voiceagent.testing.timeline import CallerUtteranceEnded, CallerUtteranceStarted, TimelineEvent
from voiceagent.testing.utterance import Utterance

__all__ = ["Mouth"]

_SILENCE = bytes([MULAW_SILENCE]) * FRAME_BYTES


class Mouth:
    """Turns what the caller says into one frame after the other, silence included."""

    __slots__ = ("_frame", "_queue")

    def __init__(self) -> None:
        self._queue: deque[Utterance] = deque()
        self._frame = 0

    def say(self, utterance: Utterance) -> None:
        """Say this after what is being said; the silence at the end of that gives way."""
        if len(self._queue) == 1 and self._frame * FRAME_MS >= self._queue[0].voiced_until_ms:
            self._finish()
        self._queue.append(utterance)

    def next_frame(self, at_ms: int) -> tuple[bytes, Sequence[TimelineEvent]]:
        """Return the frame (µ-law, 20 ms) that begins at `at_ms`, and whether the voice in it begins or ends."""
        if not self._queue:
            return _SILENCE, ()
        speaking, said_ms = self._queue[0], self._frame * FRAME_MS
        frame = speaking.frames[self._frame]
        self._frame += 1
        if self._frame == len(speaking.frames):
            self._finish()
        events: list[TimelineEvent] = []
        if said_ms == speaking.voiced_from_ms:
            events.append(CallerUtteranceStarted(at_ms, speaking.name))
        if said_ms + FRAME_MS == speaking.voiced_until_ms:
            events.append(CallerUtteranceEnded(at_ms + FRAME_MS, speaking.name))
        return frame, events

    def _finish(self) -> None:
        self._queue.popleft()
        self._frame = 0
