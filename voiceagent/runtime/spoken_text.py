"""Spoken text: what a model wrote as what a caller hears, without markup, without data, and not without an end."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence

from voiceagent.language import Language, spoken_as
from voiceagent.ports import SynthesizerHandle, WordsSpoken

__all__ = ["LONGEST_CLAUSE", "LONGEST_REPLY", "PlainVoice", "ReplyText", "between_words"]

LONGEST_REPLY = 4_000
"""Characters of one reply: four minutes of speech, which nobody listens to."""
LONGEST_CLAUSE = 1_000
"""Characters that are given to a synthesizer at once."""


class ReplyText:
    """The words of one reply as they stream in; takes out JSON objects, and everything beyond the longest reply.

    A model that writes down the result of a tool as it got it would have it read out, braces and keys and all.
    """

    def __init__(self) -> None:
        self._room = LONGEST_REPLY
        self._depth = 0
        self._in_string = False
        self._escaped = False

    def take(self, text: str) -> str:
        """Return what of the next piece is to be said."""
        said = "".join(char for char in text if self._is_said(char))[: self._room]
        self._room -= len(said)
        return said

    def _is_said(self, char: str) -> bool:
        if not self._depth:
            self._depth = int(char == "{")
            return not self._depth
        if self._escaped:
            self._escaped = False
        elif self._in_string and char == "\\":
            self._escaped = True
        elif char == '"':
            self._in_string = not self._in_string
        elif not self._in_string:
            self._depth += (char == "{") - (char == "}")
        return False


def between_words(clause: str, longest: int = LONGEST_CLAUSE) -> Iterator[str]:
    """Yield a clause in parts that are not too long, cut between words where it has any."""
    while len(clause) > longest:
        cut = clause.rfind(" ", 1, longest + 1)
        part, clause = (clause[:cut], clause[cut + 1 :]) if cut > 0 else (clause[:longest], clause[longest:])
        yield part
    yield clause


class PlainVoice:
    """A synthesizer that is given plain words only, whatever it makes of markup itself.

    When words end is told of those that were written, and once: after all the audio.
    """

    def __init__(self, synthesizer: SynthesizerHandle, language: Language) -> None:
        self._synthesizer = synthesizer
        self._language = language

    async def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes | WordsSpoken]:
        """Yield the audio of the words, and then the words, where the synthesizer knows when they end."""
        text = text[:LONGEST_CLAUSE]
        words: list[str] = []
        ends_ms: list[int] = []
        pieces = self._synthesizer.speak(self._language.speakable(text)[:LONGEST_CLAUSE], softly=softly)
        try:
            async for piece in pieces:
                if isinstance(piece, WordsSpoken):
                    words += piece.words
                    ends_ms += piece.ends_ms
                else:
                    yield piece
        finally:
            if isinstance(pieces, AsyncGenerator):  # left to the garbage collector it would go on
                await pieces.aclose()
        if words:
            yield _as_written(text.split(" "), words, ends_ms)

    def close(self) -> None:
        """Forget this call."""
        self._synthesizer.close()


def _as_written(written: Sequence[str], words: Sequence[str], ends_ms: Sequence[int]) -> WordsSpoken:
    """Return when the words that were written end, from those that were spoken for them."""
    ends: list[int] = []
    at = 0
    for spoken in spoken_as(written, words):
        at += len(spoken)
        ends.append(ends_ms[at - 1] if at else 0)
    return WordsSpoken(tuple(written), tuple(ends))
