"""Spoken text: what a model wrote as what a caller hears, without markup, without data, and not without an end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

from voiceagent.language import Language
from voiceagent.ports import SynthesizerHandle

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
    """A synthesizer that is given plain words only, whatever it makes of markup itself."""

    def __init__(self, synthesizer: SynthesizerHandle, language: Language) -> None:
        self._synthesizer = synthesizer
        self._language = language

    def speak(self, text: str, *, softly: bool = False) -> AsyncIterator[bytes]:
        """Yield the audio of the words."""
        words = self._language.speakable(text[:LONGEST_CLAUSE])[:LONGEST_CLAUSE]
        return self._synthesizer.speak(words, softly=softly)

    def close(self) -> None:
        """Forget this call."""
        self._synthesizer.close()
