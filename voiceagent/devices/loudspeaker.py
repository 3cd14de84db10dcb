"""What the loudspeaker is given to say, and what of it the caller has heard.

Two sides meet here: the call puts speech in, a thread takes it out as the sound card wants it. What has been taken can
not be taken back: it is heard some milliseconds later, whatever happens meanwhile.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from threading import Lock

from voiceagent.core.ids import UtteranceId

__all__ = ["Block", "Passed", "PlayoutQueue"]


@dataclass(frozen=True, slots=True)
class Passed:
    """A moment of the call that lies in a block of sound: an utterance begins, or a clause of it ends."""

    utterance: UtteranceId
    at_ms: int
    """Since the beginning of the block."""
    heard_ms: int
    """Of the utterance, up to there."""
    clause: int | None
    """The clause that ends here; None where the utterance begins."""
    last: bool = False
    """Nothing follows of the utterance."""


@dataclass(frozen=True, slots=True)
class Block:
    """Sound of the length that was asked for, silence where there was nothing to say."""

    audio: bytes
    passed: tuple[Passed, ...] = ()


@dataclass(slots=True)
class _Piece:
    utterance: UtteranceId
    audio: memoryview


@dataclass(frozen=True, slots=True)
class _Mark:
    utterance: UtteranceId
    clause: int
    last: bool


class PlayoutQueue:
    """Speech in the order in which it is said. Every method may be called from any thread and returns at once."""

    def __init__(self, *, bytes_per_ms: int) -> None:
        self._bytes_per_ms = bytes_per_ms
        self._lock = Lock()
        self._queue: deque[_Piece | _Mark] = deque()
        self._taken_bytes: dict[UtteranceId, int] = {}
        """Of every utterance that is not known to have been heard to its end."""

    @property
    def silent(self) -> bool:
        """Whether everything has been heard."""
        with self._lock:
            return not self._queue and not self._taken_bytes

    def speaks(self, utterance: UtteranceId) -> bool:
        """Whether an utterance was begun, and has neither been heard to its end nor been cut off."""
        with self._lock:
            return utterance in self._taken_bytes

    def add(self, utterance: UtteranceId, audio: bytes) -> None:
        """Queue audio of an utterance."""
        with self._lock:
            self._taken_bytes.setdefault(utterance, 0)
            self._queue.append(_Piece(utterance, memoryview(audio)))

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> None:
        """A clause ends behind what has been queued."""
        with self._lock:
            self._taken_bytes.setdefault(utterance, 0)
            self._queue.append(_Mark(utterance, clause, last))

    def take(self, size_bytes: int) -> Block:
        """Return the next block for the sound card."""
        audio, passed = bytearray(), list[Passed]()
        with self._lock:
            while self._queue:
                head = self._queue[0]
                if isinstance(head, _Mark):
                    passed.append(self._mark(head, len(audio)))
                    self._queue.popleft()
                    continue
                if len(audio) == size_bytes:
                    break
                if not self._taken_bytes[head.utterance]:
                    passed.append(Passed(head.utterance, len(audio) // self._bytes_per_ms, 0, clause=None))
                piece = head.audio[: size_bytes - len(audio)]
                audio += piece
                self._taken_bytes[head.utterance] += len(piece)
                head.audio = head.audio[len(piece) :]
                if not head.audio:
                    self._queue.popleft()
        return Block(bytes(audio.ljust(size_bytes, b"\0")), tuple(passed))

    def finished(self, utterance: UtteranceId) -> None:
        """An utterance has been heard to its end."""
        with self._lock:
            self._taken_bytes.pop(utterance, None)

    def clear(self) -> dict[UtteranceId, int]:
        """Forget everything; return every unfinished utterance with the milliseconds of it that are heard anyway."""
        with self._lock:
            heard_ms = {utterance: taken // self._bytes_per_ms for utterance, taken in self._taken_bytes.items()}
            self._queue.clear()
            self._taken_bytes.clear()
        return heard_ms

    def _mark(self, mark: _Mark, at_bytes: int) -> Passed:
        heard_ms = self._taken_bytes[mark.utterance] // self._bytes_per_ms
        return Passed(mark.utterance, at_bytes // self._bytes_per_ms, heard_ms, mark.clause, mark.last)
