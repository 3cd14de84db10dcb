"""Replies of a Gemini Live model, and what it has heard of the caller: where they begin and end.

The protocol gives replies no ids, marks no beginning, and sends what is said and what was heard in no order with the
audio. So the first audio, thought or request begins a reply, and the end of the turn or a request ends it; the caller's
words are whole when the model does something else.
"""

from __future__ import annotations

from typing import Literal

from voiceagent.ports import (
    CallerTranscribed,
    ModelInterrupted,
    ModelReplyAudio,
    ModelReplyBegan,
    ModelReplyEnded,
    ModelReplyText,
    SpeechModelEvent,
)

__all__ = ["MOST_AHEAD_CHARS", "Replies"]

MOST_AHEAD_CHARS = 4_000
"""Of words that came before anything is heard of their reply: the latest; the longest reply is shorter."""
_SAMPLE_BYTES = 2


class Replies:
    """The replies of one model session. What there is to be posted is appended to `events`."""

    def __init__(self, events: list[SpeechModelEvent]) -> None:
        self._events = events
        self._count = 0
        self._reply: str | None = None
        self._last: str | None = None
        self._awaited = False
        """A reply has been asked for and has not begun."""
        self._working = False
        """The turn is over and the model is not: it thinks on, and will speak again."""
        self._swallowed = False
        """Nobody wants the reply that is being made."""
        self._swallows_next = False
        self._interrupted = False
        self._tool_turn_ends = False
        """The end of a turn that was over with its request may still come, or may not: models differ."""
        self._words_ahead = ""
        self._half_sample = b""
        self._heard = ""
        self._input_tokens = 0
        self._cached_tokens = 0
        self._output_tokens = 0

    @property
    def busy(self) -> bool:
        """Whether a reply is being made, or is about to be."""
        return self._reply is not None or self._awaited or self._working

    @property
    def swallowed(self) -> bool:
        """Whether nobody wants the reply that is being made."""
        return self._swallowed

    # --- what we do --------------------------------------------------------------------------------------------------

    def asked(self) -> None:
        """Note that a reply has been asked for."""
        self._awaited = True

    def cancel(self) -> None:
        """Give up the reply that is being made or awaited; what still comes of it is swallowed."""
        if self._reply is not None and not self._swallowed:
            self._swallowed = True
            self._events.append(ModelReplyEnded(self._reply, "cancelled"))
        elif self._reply is None and self._awaited:
            self._swallows_next = True

    # --- what the model does -----------------------------------------------------------------------------------------

    def begin(self) -> str:
        """Return the reply that is being made; begin one where none is."""
        if self._interrupted:
            self._end("cancelled")
        if self._reply is not None:
            return self._reply
        self.finish_caller_words()
        self._count += 1
        self._reply = reply = f"g{self._count}"
        self._swallowed, self._swallows_next = self._swallows_next, False
        self._awaited = self._working = self._tool_turn_ends = False
        words, self._words_ahead, self._half_sample = self._words_ahead, "", b""
        if not self._swallowed:
            self._last = reply
            self._events.append(ModelReplyBegan(reply))
            if words:
                self._events.append(ModelReplyText(reply, words))
        return reply

    def play(self, audio: bytes) -> None:
        """Take the next audio: half a sample waits for its other half."""
        reply = self.begin()
        audio = self._half_sample + audio
        odd = len(audio) % _SAMPLE_BYTES
        audio, self._half_sample = audio[: len(audio) - odd], audio[len(audio) - odd :]
        if audio and not self._swallowed:
            self._events.append(ModelReplyAudio(reply, audio))

    def say(self, text: str) -> None:
        """Take the next words of what is said. They may come late, so by themselves they begin no reply."""
        if self._reply is None or self._interrupted:
            self._words_ahead = (self._words_ahead + text)[-MOST_AHEAD_CHARS:]
        elif not self._swallowed:
            self._events.append(ModelReplyText(self._reply, text))

    def requested(self) -> None:
        """End a reply that was over with its request: what is said after it is said knowing the result."""
        self.finish_caller_words()
        self._end("complete")
        self._tool_turn_ends = True

    def interrupted(self) -> None:
        """The caller has cut in, also on a reply that has been made and is still being heard."""
        self.finish_caller_words()
        self._words_ahead = ""
        self._awaited = self._working = self._swallows_next = False  # it answers the caller now, not what it was asked
        self._interrupted = self._reply is not None
        if self._last is not None and not self._swallowed:
            self._events.append(ModelInterrupted(self._last))
        self._last = None

    def turn_complete(self, failure: str | None, *, working: bool = False) -> None:
        """The turn is over; where it should have been a reply and was none, that is a reply that failed."""
        self.finish_caller_words()
        self._working = working
        late, self._tool_turn_ends = self._tool_turn_ends, False
        if self._reply is None and (failure is not None or (self._awaited and not late and not working)):
            self.begin()
            failure = failure or "the model said nothing"
        if failure is not None:
            self._end("failed", failure)
        else:
            self._end("cancelled" if self._interrupted else "complete")
        self._words_ahead = ""

    def count_tokens(self, *, taken: int, cached: int, made: int) -> None:
        """Count tokens of the reply whose end is posted next; `taken` includes those `cached`."""
        self._input_tokens += taken
        self._cached_tokens += cached
        self._output_tokens += made

    def _end(self, outcome: Literal["complete", "cancelled", "failed"], reason: str = "") -> None:
        reply, self._reply = self._reply, None
        swallowed, self._swallowed, self._interrupted = self._swallowed, False, False
        if reply is None or swallowed:
            return
        spent = (self._input_tokens, self._output_tokens, self._cached_tokens)
        self._events.append(ModelReplyEnded(reply, outcome, reason, *spent))
        self._input_tokens = self._cached_tokens = self._output_tokens = 0

    # --- what the caller says ----------------------------------------------------------------------------------------

    def hear(self, piece: str) -> None:
        """Take the next piece of the caller's words: a partial has all of them so far."""
        self._heard += piece
        if piece.strip():
            self._swallows_next = False  # what comes next is said to the caller
            self._events.append(CallerTranscribed(self._heard.strip(), final=False))

    def finish_caller_words(self) -> None:
        """Make the pieces a whole."""
        heard, self._heard = self._heard.strip(), ""
        if heard:
            self._events.append(CallerTranscribed(heard, final=True))
