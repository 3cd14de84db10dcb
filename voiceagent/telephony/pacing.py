"""Pacing: speech goes out a little ahead of the ear, enough not to stutter, little enough to be taken back."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from voiceagent.audio import ALAW_SILENCE, FRAME_MS, MULAW_SILENCE
from voiceagent.core.events import Event
from voiceagent.core.ids import UtteranceId
from voiceagent.nobody import to_nobody
from voiceagent.ports import AudioFormat
from voiceagent.telephony.codec import ClearAudio, Command, PlayAudio, SetMark
from voiceagent.telephony.ledger import PlayoutLedger

__all__ = ["BURST_MS", "CATCH_UP_MS", "MAX_QUEUED_MS", "Pacer", "silence_byte"]

BURST_MS = 100
"""Audio goes out in pieces of about this length: five frames in one message cost little more than one. Shorter where
little may be ahead of the ear: half of that, so that the next piece comes before the last is over."""
CATCH_UP_MS = 200
"""Sent at once, at most: what a stall has held up follows at twice real time, not in a burst that may be dropped."""
_CATCH_UP_SPEED = 2
MAX_QUEUED_MS = 120_000
"""Speech that may wait here to be sent (a megabyte); what goes beyond is dropped and counted."""
_TELEPHONE_HZ = 8_000
MARK_GRACE_MS = 2_000
"""A mark that is so late has been lost; the clause counts as heard."""
_STOPPED_KEPT = 64


def silence_byte(audio: AudioFormat) -> bytes:
    """Return the byte of which silence is made in a format."""
    codes = {"mulaw": MULAW_SILENCE, "alaw": ALAW_SILENCE, "pcm16": 0}
    return bytes([codes[audio.encoding]])


@dataclass(slots=True)
class _Audio:
    """Audio of one utterance that waits to be sent; the last `padding` bytes are silence that fills a frame."""

    utterance: UtteranceId
    waiting: bytearray = field(default_factory=bytearray)
    taken: int = 0
    padding: int = 0

    @property
    def left(self) -> int:
        return len(self.waiting) - self.taken


@dataclass(frozen=True, slots=True)
class _ClauseEnd:
    utterance: UtteranceId
    clause: int
    last: bool


@dataclass(frozen=True, slots=True)
class _LineEnd:
    """Somebody waits for everything before this to have been heard."""


class Pacer:
    """The outgoing half of a leg: a queue, the ledger behind it, and the rule of how far ahead it may run.

    It gives commands to `send` at the moment they are due and events to `post`; time is an argument.
    """

    __slots__ = (
        "_burst_bytes",
        "_bytes_per_ms",
        "_clearable",
        "_credit_bytes",
        "_credit_since_ms",
        "_dry_at_ms",
        "_due_ms",
        "_frame_bytes",
        "_grace_ms",
        "_lead_ms",
        "_ledger",
        "_marks",
        "_post",
        "_push_bytes",
        "_queue",
        "_queued_bytes",
        "_send",
        "_silence",
        "_stopped",
        "_taking_ms",
        "held",
        "passed_over_ms",
    )

    def __init__(
        self,
        audio: AudioFormat,
        *,
        lead_ms: int,
        marks: bool,
        send: Callable[[Command], None],
        post: Callable[[Event], None],
        frame_ms: int = FRAME_MS,
    ) -> None:
        self._bytes_per_ms = audio.bytes_per_ms
        self._frame_bytes = audio.bytes_per_ms * frame_ms
        self._silence = silence_byte(audio)
        # What makes a telephone's rate of ours keeps a few milliseconds until more comes (Asterisk: five).
        self._push_bytes = self._frame_bytes if audio.rate_hz > _TELEPHONE_HZ else 0
        self._lead_ms = lead_ms
        self._burst_bytes = min(BURST_MS, lead_ms // 2) * audio.bytes_per_ms
        self._marks = marks
        # Where the clock alone says what was heard, it is said on the beat that is nearest, and not on the one after.
        self._grace_ms = MARK_GRACE_MS if marks else -frame_ms // 2
        self._send: Callable[[Command], None] = send
        self._post: Callable[[Event], None] = post
        self._ledger = PlayoutLedger(bytes_per_ms=audio.bytes_per_ms)
        self._queue: deque[_Audio | _ClauseEnd | _LineEnd] = deque()
        self._queued_bytes = 0
        self._stopped: deque[UtteranceId] = deque(maxlen=_STOPPED_KEPT)
        self._clearable = False
        self._credit_bytes = CATCH_UP_MS * self._bytes_per_ms
        self._credit_since_ms = 0
        self._due_ms = 0
        """Until then there is no room for more at the far side, unless a clear or a mark makes some."""
        self._taking_ms: int | None = 0
        """When the socket last took what is due; None once it does not, and speech is passed over."""
        self._dry_at_ms = 0
        """When the far side has played all that it was given, by our reckoning; kept while speech is passed over."""
        self.passed_over_ms = 0
        """Speech that was dropped because the socket took nothing while it should have been heard."""
        self.held = False
        """The far side has asked for a pause: it has seconds to play, and what waits here is late for nobody."""

    # --- what waits --------------------------------------------------------------------------------------------------

    @property
    def busy(self) -> bool:
        """Whether something is still to be sent, or to be heard of."""
        return bool(self._queue) or self._ledger.waiting

    def unheard_ms(self, now_ms: int) -> int:
        """Return how long it takes until everything queued has been heard."""
        return self._queued_bytes // self._bytes_per_ms + self._ledger.backlog_ms(now_ms)

    # --- what is to be said ------------------------------------------------------------------------------------------

    def play(self, utterance: UtteranceId, audio: bytes) -> bool:
        """Queue audio; False where it was dropped: its utterance was stopped, or too much waits already."""
        if utterance in self._stopped or self._queued_bytes > MAX_QUEUED_MS * self._bytes_per_ms:
            return False
        if not audio:
            return True
        self._ledger.begin(utterance)
        self._tail_of(utterance).waiting += audio
        self._queued_bytes += len(audio)
        return True

    def _tail_of(self, utterance: UtteranceId) -> _Audio:
        tail = self._queue[-1] if self._queue else None
        if isinstance(tail, _Audio) and tail.utterance == utterance:
            return tail
        self._fill_frame()
        tail = _Audio(utterance)
        self._queue.append(tail)
        return tail

    def _fill_frame(self) -> None:
        """Fill the last frame queued with silence: nothing more joins it, and carriers drop partial frames."""
        tail = self._queue[-1] if self._queue else None
        if isinstance(tail, _Audio) and (over := tail.left % self._frame_bytes):
            tail.padding = self._frame_bytes - over
            tail.waiting += self._silence * tail.padding
            self._queued_bytes += tail.padding

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool) -> bool:
        """Queue the end of a clause; False where its utterance was stopped."""
        if utterance in self._stopped:
            return False
        self._ledger.begin(utterance)
        self._fill_frame()
        self._queue.append(_ClauseEnd(utterance, clause, last))
        return True

    def end_line(self) -> None:
        """Queue a mark after everything, to the last sample: once `busy` is False, all of it has been heard."""
        self._fill_frame()
        self._queue.append(_LineEnd())

    def clear(self, now_ms: int) -> None:
        """Take back all that has not been heard: the far side is told first, then the call."""
        if self._clearable:
            self._clearable = False
            self._send(ClearAudio())
            self.held = False  # nothing is left there that it could be full of
        self._account(now_ms)

    def abandon(self, now_ms: int) -> None:
        """Account for what was heard, without asking the far side for anything: nobody is told anything after that."""
        self._account(now_ms)
        self._send = self._post = to_nobody  # who was told has this, and shall not be kept by it

    def _account(self, now_ms: int) -> None:
        self._queue.clear()
        self._queued_bytes = self._due_ms = 0
        for stopped in self._ledger.clear(now_ms):
            self._stopped.append(stopped.utterance)
            self._post(stopped)

    # --- what happens ------------------------------------------------------------------------------------------------

    def mark_returned(self, mark: str, now_ms: int) -> bool:
        """Take a mark from the far side; False where it cannot be one of ours, or has come before."""
        told = self._ledger.acknowledge(mark, now_ms)
        self._due_ms = 0  # the far side may be further than by our reckoning
        self._tell(told or ())
        return told is not None or self._ledger.took_back(mark)

    def advance(self, now_ms: int, *, may_send: bool = True) -> None:
        """Send what is due and tell what has been heard by now.

        Without `may_send` nothing goes out: speech whose time passes meanwhile is dropped, as a live line would.
        """
        if may_send:
            if not self.held and now_ms >= self._due_ms:
                self._send_due(now_ms)
            self._taking_ms = now_ms
        else:
            self._pass_over(now_ms)
        self._tell(self._ledger.started(now_ms))
        self._tell(self._ledger.overdue(now_ms, grace_ms=self._grace_ms))

    def _tell(self, told: Sequence[Event]) -> None:
        for event in told:
            self._post(event)

    def _pass_over(self, now_ms: int) -> None:
        """Drop what would be playing by now, had it been taken; a clause that ends meanwhile is over for the call."""
        if self._taking_ms is not None:
            self._dry_at_ms = self._taking_ms + self._ledger.backlog_ms(self._taking_ms)
            self._taking_ms = None
        while self._queue and self._dry_at_ms < now_ms:
            head = self._queue[0]
            if isinstance(head, _Audio):
                passed = min(head.left, (now_ms - self._dry_at_ms) * self._bytes_per_ms)
                passed = passed // self._frame_bytes * self._frame_bytes
                head.taken += passed
                self._queued_bytes -= passed
                self._dry_at_ms += passed // self._bytes_per_ms
                self.passed_over_ms += passed // self._bytes_per_ms
                if head.left:
                    return
            else:
                self._note_mark(head, now_ms)
            self._queue.popleft()
        if not self._queue:
            self._dry_at_ms = max(self._dry_at_ms, now_ms)

    def _send_due(self, now_ms: int) -> None:
        refilled = self._credit_bytes + (now_ms - self._credit_since_ms) * self._bytes_per_ms * _CATCH_UP_SPEED
        self._credit_bytes = min(refilled, CATCH_UP_MS * self._bytes_per_ms)
        self._credit_since_ms = now_ms
        ahead = (self._lead_ms - self._ledger.backlog_ms(now_ms)) * self._bytes_per_ms
        if ahead < self._burst_bytes <= ahead + self._frame_bytes // 2:
            ahead = self._burst_bytes  # a beat that is a little early would have to leave it to the next one
        room = min(ahead, self._credit_bytes)
        while self._queue:
            head = self._queue[0]
            if isinstance(head, _Audio):
                if room < self._burst_bytes:
                    self._due_ms = self._due_at(ahead, now_ms)
                    return
                sent_bytes = self._send_audio(head, room, now_ms)
                room, ahead = room - sent_bytes, ahead - sent_bytes
                if head.left:
                    self._due_ms = self._due_at(ahead, now_ms)
                    return
            else:
                self._send_mark(head, now_ms)
            self._queue.popleft()

    def _due_at(self, ahead_bytes: int, now_ms: int) -> int:
        """Return when there is room for a burst at the earliest, if nothing but time changes that."""
        wanted = max(
            (self._burst_bytes - self._frame_bytes // 2 - ahead_bytes) // self._bytes_per_ms,
            (self._burst_bytes - self._credit_bytes) // (self._bytes_per_ms * _CATCH_UP_SPEED),
        )
        return now_ms + wanted

    def _send_audio(self, head: _Audio, room: int, now_ms: int) -> int:
        """Send as many whole frames as there are and as there is room for; return their bytes."""
        taking = min(head.left, room) // self._frame_bytes * self._frame_bytes
        if not taking:
            return 0
        piece = bytes(memoryview(head.waiting)[head.taken : head.taken + taking])
        head.taken += taking
        self._queued_bytes -= taking
        self._credit_bytes -= taking
        padding = head.padding if not head.left else 0
        self._ledger.sent(head.utterance, taking - padding, padding_bytes=padding, now_ms=now_ms)
        self._clearable = True
        self._send(PlayAudio(piece))
        return taking

    def _note_mark(self, end: _ClauseEnd | _LineEnd, now_ms: int) -> str:
        if isinstance(end, _LineEnd):
            return self._ledger.end_line(now_ms)
        return self._ledger.end_clause(end.utterance, end.clause, last=end.last, now_ms=now_ms)

    def _send_mark(self, end: _ClauseEnd | _LineEnd, now_ms: int) -> None:
        if isinstance(end, _LineEnd) and self._push_bytes:
            self._ledger.sent_silence(self._push_bytes, now_ms=now_ms)
            self._send(PlayAudio(self._silence * self._push_bytes))
        name = self._note_mark(end, now_ms)
        if self._marks:
            self._clearable = True
            self._send(SetMark(name))
