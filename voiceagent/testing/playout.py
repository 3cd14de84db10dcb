"""The carrier's playout buffer: what the agent has sent and the caller has not heard yet.

Facts from Twilio's documentation (`voice/media-streams/websocket-messages`, warning 31931): audio is played in the
order of arrival, whatever the size of its pieces; a mark is sent back when everything before it was played, at once
where nothing is; a clear empties the buffer and sends every pending mark back; beyond ten minutes audio is discarded.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from voiceagent.audio import FRAME_MS, MULAW_SILENCE, pad_to_multiple
from voiceagent.ports import MULAW_8K

__all__ = ["BUFFER_MS", "FRAME_BYTES", "PlayoutBuffer"]

FRAME_BYTES = MULAW_8K.bytes_per_ms * FRAME_MS
"""A frame of µ-law telephone audio."""
BUFFER_MS = 600_000
"""How far an agent may be ahead of the caller's ear."""

_BUFFER_BYTES = BUFFER_MS * MULAW_8K.bytes_per_ms
_SILENT_FRAME = bytes([MULAW_SILENCE]) * FRAME_BYTES


class PlayoutBuffer:
    """One call's buffer. Whoever owns it calls `play_frame` every 20 ms."""

    __slots__ = ("_appended", "_heard", "_marks", "_taken", "_waiting")

    def __init__(self) -> None:
        self._waiting = bytearray()
        self._marks: deque[tuple[int, str]] = deque()
        # Positions in bytes since the call began; heard <= taken <= appended.
        self._appended = 0
        self._taken = 0
        self._heard = 0

    @property
    def waiting_ms(self) -> int:
        """How much audio has still to be played; a frame that has begun is not counted."""
        return len(self._waiting) // MULAW_8K.bytes_per_ms

    def append(self, audio: bytes) -> bool:
        """Queue µ-law audio. False, and nothing happens, where the buffer would overflow."""
        if len(self._waiting) + len(audio) > _BUFFER_BYTES:
            return False
        self._waiting += audio
        self._appended += len(audio)
        return True

    def set_mark(self, name: str) -> bool:
        """Put a mark behind the audio so far. True where it is due at once, because nothing is playing."""
        if self._heard == self._appended and not self._marks:
            return True
        self._marks.append((self._appended, name))
        return False

    def clear(self) -> Sequence[str]:
        """Forget all audio and return the marks that were pending, in their order."""
        names = [name for _, name in self._marks]
        self._marks.clear()
        self._waiting.clear()
        # The frame that has begun is still heard to its end.
        self._appended = self._taken
        return names

    def play_frame(self) -> tuple[bytes, Sequence[str]]:
        """Begin the next frame: return it, always a whole one, and the marks whose audio was heard before it."""
        self._heard = self._taken
        due: list[str] = []
        while self._marks and self._marks[0][0] <= self._heard:
            due.append(self._marks.popleft()[1])
        frame = bytes(self._waiting[:FRAME_BYTES])
        del self._waiting[:FRAME_BYTES]
        self._taken += len(frame)
        return pad_to_multiple(frame, FRAME_BYTES, silence=MULAW_SILENCE) or _SILENT_FRAME, due
