"""What the caller said, as OpenAI Realtime writes it down: item by item, in pieces and then as a whole."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from voiceagent.models.openai_realtime.reading import Fields, identity, text
from voiceagent.ports import CallerTranscribed, SpeechModelEvent

__all__ = ["Transcripts"]

_MOST_REMEMBERED = 16
"""Items whose words are under way or known."""


@dataclass(slots=True)
class _Item:
    """One item of the caller."""

    words: str = ""
    """Those that have come so far."""
    final: bool = False
    began_ms: int | None = None
    """From when on of the audio that the session was given, its padding included."""
    ended_ms: int | None = None
    """The same, with the silence that ended it."""

    @property
    def lasted(self) -> tuple[int, int] | None:
        """From when to when; None where the server has not said so, or said nonsense."""
        if self.began_ms is None or self.ended_ms is None or self.began_ms >= self.ended_ms:
            return None
        return self.began_ms, self.ended_ms


class Transcripts:
    """The transcripts of one session, frame by frame."""

    def __init__(self, events: list[SpeechModelEvent], counts: Counter[str]) -> None:
        """What there is to be posted is appended to `events`; failures are counted."""
        self._events = events
        self._counts = counts
        self._items: dict[str, _Item] = {}

    def speech_began(self, fields: Fields) -> None:
        """Take from when on of the audio an item is; not every server says."""
        item = text(fields.get("item_id"))
        if item:
            self._of(item).began_ms = _moment(fields.get("audio_start_ms"))

    def speech_ended(self, fields: Fields) -> None:
        """Take until when of the audio an item is; not every server says."""
        item = text(fields.get("item_id"))
        if item:
            self._of(item).ended_ms = _moment(fields.get("audio_end_ms"))

    def piece(self, fields: Fields) -> None:
        """Take more words of an item: a partial has all of them so far."""
        item = self._of(identity(fields, "item_id"))
        more = text(fields.get("delta"))
        if item.final or not more:
            return
        item.words += more
        if item.words.strip():
            self._events.append(CallerTranscribed(item.words.strip(), final=False))

    def whole(self, fields: Fields) -> None:
        """Take the words of an item as they will stay."""
        self._finish(self._of(identity(fields, "item_id")), text(fields.get("transcript")))

    def failure(self, fields: Fields) -> None:
        """End an item that could not be transcribed: what had come of it is all there will be."""
        item = self._of(identity(fields, "item_id"))
        self._counts["unneeded transcription failure"] += 1
        self._finish(item, item.words)

    def _finish(self, item: _Item, words: str) -> None:
        if item.final:
            return
        item.final = True
        if words.strip():
            self._events.append(CallerTranscribed(words.strip(), final=True, heard_ms=item.lasted))

    def _of(self, item: str) -> _Item:
        known = self._items.setdefault(item, _Item())
        while len(self._items) > _MOST_REMEMBERED:
            del self._items[next(iter(self._items))]
        return known


def _moment(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
