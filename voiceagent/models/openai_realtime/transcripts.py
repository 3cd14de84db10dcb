"""What the caller said, as OpenAI Realtime writes it down: item by item, in pieces and then as a whole."""

from __future__ import annotations

from collections import Counter

from voiceagent.models.openai_realtime.reading import Fields, identity, text
from voiceagent.ports import CallerTranscribed, SpeechModelEvent

__all__ = ["Transcripts"]

_MOST_REMEMBERED = 16
"""Transcripts that are under way or done."""


class Transcripts:
    """The transcripts of one session, frame by frame."""

    def __init__(self, events: list[SpeechModelEvent], counts: Counter[str]) -> None:
        """What there is to be posted is appended to `events`; failures are counted."""
        self._events = events
        self._counts = counts
        self._heard: dict[str, str | None] = {}
        """Item of the caller → its words so far, None once they are final."""

    def piece(self, fields: Fields) -> None:
        """Take more words of an item: a partial has all of them so far."""
        item = identity(fields, "item_id")
        so_far = self._heard.get(item, "")
        if so_far is None:
            return
        words = so_far + text(fields.get("delta"))
        self._remember(item, words)
        if words.strip() and words != so_far:
            self._events.append(CallerTranscribed(words.strip(), final=False))

    def whole(self, fields: Fields) -> None:
        """Take the words of an item as they will stay."""
        self._finish(identity(fields, "item_id"), text(fields.get("transcript")))

    def failure(self, fields: Fields) -> None:
        """End an item that could not be transcribed: what had come of it is all there will be."""
        item = identity(fields, "item_id")
        self._counts["unneeded transcription failure"] += 1
        self._finish(item, self._heard.get(item) or "")

    def _finish(self, item: str, words: str) -> None:
        if item in self._heard and self._heard[item] is None:
            return
        self._remember(item, None)
        if words.strip():
            self._events.append(CallerTranscribed(words.strip(), final=True))

    def _remember(self, item: str, words: str | None) -> None:
        self._heard[item] = words
        while len(self._heard) > _MOST_REMEMBERED:
            del self._heard[next(iter(self._heard))]
