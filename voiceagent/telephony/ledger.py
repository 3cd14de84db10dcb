"""The playout ledger: how much of what was said the caller has really heard.

Everything sent lies on one line, counted in bytes. Where the far side is on that line is known whenever a mark comes
back; in between it moves with the clock, never past what was sent. A clear begins a new epoch: marks of an older one
come back too (Twilio echoes what it drops), and none of them means that anything was heard.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from voiceagent.core.events import PlayoutReached, PlayoutStarted, PlayoutStopped
from voiceagent.core.ids import UtteranceId

__all__ = ["PlayoutLedger"]

_MARK = re.compile(r"([0-9]{1,9})\.[0-9]{1,9}")


@dataclass(slots=True)
class _Spoken:
    """An unfinished utterance: the stretches of the line that are its own."""

    spans: list[tuple[int, int]] = field(default_factory=list[tuple[int, int]])
    started: bool = False

    def bytes_before(self, position: int) -> int:
        return sum(min(end, position) - start for start, end in self.spans if start < position)


@dataclass(slots=True)
class _Pending:
    """A mark that has not come back; `clause` is None for one that only says the line is empty."""

    at: int
    due_ms: int
    utterance: UtteranceId | None
    clause: int
    last: bool


class PlayoutLedger:
    """What one leg has sent and what of it was heard. `now_ms` never runs backwards."""

    __slots__ = (
        "_acknowledged",
        "_anchor",
        "_bytes_per_ms",
        "_epoch",
        "_number",
        "_pending",
        "_sent",
        "_spoken",
        "_unheard",
    )

    def __init__(self, *, bytes_per_ms: int) -> None:
        self._bytes_per_ms = bytes_per_ms
        self._epoch = 0
        self._number = 0
        self._sent = 0
        self._acknowledged = 0
        self._anchor = (0, 0)  # this byte was being played at that time
        self._spoken: dict[UtteranceId, _Spoken] = {}
        self._unheard: dict[UtteranceId, _Spoken] = {}
        """Of these something was sent, and nothing has been heard."""
        self._pending: dict[str, _Pending] = {}

    # --- what is known -----------------------------------------------------------------------------------------------

    @property
    def waiting(self) -> bool:
        """Whether marks are still to come back, or an utterance that was sent is still to be heard."""
        return bool(self._pending or self._unheard)

    def backlog_ms(self, now_ms: int) -> int:
        """Return how much audio lies unplayed at the far side."""
        return -(-(self._sent - self._position(now_ms)) // self._bytes_per_ms)

    def heard_ms(self, utterance: UtteranceId, now_ms: int) -> int:
        """Return how much of an unfinished utterance has been heard; 0 for one that is unknown."""
        spoken = self._spoken.get(utterance)
        return spoken.bytes_before(self._position(now_ms)) // self._bytes_per_ms if spoken else 0

    def _position(self, now_ms: int) -> int:
        at, since_ms = self._anchor
        return min(self._sent, at + max(0, now_ms - since_ms) * self._bytes_per_ms)

    # --- what was sent -----------------------------------------------------------------------------------------------

    def begin(self, utterance: UtteranceId) -> None:
        """Note that an utterance is on its way, though nothing of it has been sent."""
        self._spoken.setdefault(utterance, _Spoken())

    def sent(self, utterance: UtteranceId, audio_bytes: int, *, padding_bytes: int = 0, now_ms: int) -> None:
        """Note audio of an utterance, and the silence after it that fills a frame."""
        start = self._sent
        self._play_next(audio_bytes + padding_bytes, now_ms)
        spoken = self._spoken.setdefault(utterance, _Spoken())
        if not spoken.started:
            self._unheard[utterance] = spoken
        spans = spoken.spans
        if spans and spans[-1][1] == start:
            spans[-1] = (spans[-1][0], start + audio_bytes)
        else:
            spans.append((start, start + audio_bytes))

    def sent_silence(self, size_bytes: int, *, now_ms: int) -> None:
        """Note silence that belongs to no utterance."""
        self._play_next(size_bytes, now_ms)

    def _play_next(self, size_bytes: int, now_ms: int) -> None:
        if self._position(now_ms) == self._sent:
            self._anchor = (self._sent, now_ms)  # the far side had run dry: it plays this at once
        self._sent += size_bytes

    def end_clause(self, utterance: UtteranceId, clause: int, *, last: bool, now_ms: int) -> str:
        """Return the name of the mark that ends a clause here."""
        self.begin(utterance)
        return self._mark(utterance, clause, last=last, now_ms=now_ms)

    def end_line(self, now_ms: int) -> str:
        """Return the name of a mark that says only that everything before it has been heard."""
        return self._mark(None, 0, last=False, now_ms=now_ms)

    def _mark(self, utterance: UtteranceId | None, clause: int, *, last: bool, now_ms: int) -> str:
        self._number += 1
        name = f"{self._epoch}.{self._number}"
        due_ms = now_ms + self.backlog_ms(now_ms)
        self._pending[name] = _Pending(self._sent, due_ms, utterance, clause, last)
        return name

    # --- what was heard ----------------------------------------------------------------------------------------------

    def started(self, now_ms: int) -> list[PlayoutStarted]:
        """Return the utterances whose first sound has been heard by now and were not told of before."""
        if not self._unheard:
            return []
        position = self._position(now_ms)
        told: list[PlayoutStarted] = []
        for utterance, spoken in tuple(self._unheard.items()):
            if (first := spoken.spans[0][0]) <= position:
                self._start(utterance, spoken)
                told.append(PlayoutStarted(utterance, now_ms - (position - first) // self._bytes_per_ms))
        return told

    def _start(self, utterance: UtteranceId, spoken: _Spoken) -> None:
        spoken.started = True
        del self._unheard[utterance]

    def acknowledge(self, mark: str, now_ms: int) -> list[PlayoutStarted | PlayoutReached] | None:
        """Take a mark that came back; it stands for all before it.

        None for a mark that says nothing: of an older epoch, repeated, or never sent.
        """
        returned = self._pending.get(mark)
        if returned is None:
            return None
        self._anchor = (returned.at, now_ms)
        self._acknowledged = returned.at
        late_ms = max(0, now_ms - returned.due_ms)
        told = self._pass_marks(mark, now_ms)
        for pending in self._pending.values():
            pending.due_ms += late_ms  # the far side is behind our reckoning: so it is with what follows
        return told

    def took_back(self, mark: str) -> bool:
        """Return whether a mark is of an epoch that a clear has ended: some carriers send those back as well."""
        named = _MARK.fullmatch(mark)
        return named is not None and int(named[1]) < self._epoch

    def overdue(self, now_ms: int, *, grace_ms: int) -> list[PlayoutStarted | PlayoutReached]:
        """Return what must have been heard although no mark came back: it was due `grace_ms` ago."""
        latest = None
        for name, pending in self._pending.items():
            if pending.due_ms + grace_ms > now_ms:
                break
            latest = name
        return self._pass_marks(latest, now_ms) if latest is not None else []

    def _pass_marks(self, latest: str, now_ms: int) -> list[PlayoutStarted | PlayoutReached]:
        told: list[PlayoutStarted | PlayoutReached] = [*self.started(now_ms)]
        for name in list(self._pending):
            told += self._pass_mark(self._pending.pop(name), now_ms)
            if name == latest:
                break
        return told

    def _pass_mark(self, mark: _Pending, now_ms: int) -> list[PlayoutStarted | PlayoutReached]:
        spoken = self._spoken.get(mark.utterance) if mark.utterance is not None else None
        if mark.utterance is None or spoken is None:
            return []
        told: list[PlayoutStarted | PlayoutReached] = []
        heard_ms = spoken.bytes_before(mark.at) // self._bytes_per_ms
        if heard_ms and not spoken.started:
            self._start(mark.utterance, spoken)
            told.append(PlayoutStarted(mark.utterance, now_ms))
        if mark.last:
            del self._spoken[mark.utterance]
            self._unheard.pop(mark.utterance, None)
        return [*told, PlayoutReached(mark.utterance, mark.clause, heard_ms, finished=mark.last)]

    def clear(self, now_ms: int) -> list[PlayoutStopped]:
        """Begin a new epoch: return how much of every unfinished utterance was heard.

        It is exact where nothing of it was sent, or where the far side has said that all sent of it was played.
        """
        position = self._position(now_ms)
        stopped = [
            PlayoutStopped(
                utterance,
                heard_ms=spoken.bytes_before(position) // self._bytes_per_ms,
                exact=not spoken.spans or spoken.spans[-1][1] <= self._acknowledged,
            )
            for utterance, spoken in self._spoken.items()
        ]
        self._epoch += 1
        self._spoken.clear()
        self._unheard.clear()
        self._pending.clear()
        self._anchor = (self._sent, now_ms)
        return stopped
