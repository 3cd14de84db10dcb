"""Confirmations: what cannot be undone is read back, and done only after a clear yes to exactly that."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import SequenceMatcher

from pydantic import JsonValue

from voiceagent.core.ids import Epoch, ToolCallId, UtteranceId

__all__ = ["Confirmation", "digest_of", "pressed_answer", "without_echo"]

_YES_KEY = "1"
_NO_KEY = "2"
_ECHO_WORDS = 6
"""More than are said in the time that a line delays, and in that time again."""
_ALIKE = 0.6
"""From here on two words are near enough to be misheard for each other: `that` and `that's`, `right` and `alright`."""
_ECHO_WITHIN_MS = 1_000
"""So long after the last word of a read-back the line may still carry it back; carriers delay by a few hundred ms."""


@dataclass(slots=True)
class Confirmation:
    """One read-back that waits for its answer."""

    number: int
    """Counter within the call; with the call's id it makes the idempotency key."""
    call: ToolCallId
    read_back: UtteranceId
    epoch: Epoch
    deadline_ms: int
    words: str
    """What is read back."""
    digest: str
    """Of the tool and exactly the arguments that are read back: nothing else is consented to."""
    heard: bool = False
    """The caller has heard the whole of it: only then is a yes an answer to it."""
    heard_ms: int = 0
    """When they had."""

    def key(self, call_id: str) -> str:
        """Return the idempotency key of the confirmed intent."""
        return f"{call_id}:{self.number}"

    def answer_in(self, said: str, *, ended_ms: int) -> str:
        """Return what was said in answer: the read-back's own last words, come back over the line, are none."""
        may_be_echo = ended_ms - self.heard_ms <= _ECHO_WITHIN_MS
        return without_echo(said, self.words) if may_be_echo else said


def digest_of(tool: str, arguments: Mapping[str, JsonValue]) -> str:
    """Return what stands for one request in all its parts; the order of the arguments does not matter."""
    text = json.dumps([tool, dict(arguments)], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def without_echo(said: str, read_back: str) -> str:
    """Return what was said without the words that sound like one of the last of the read-back.

    A recognizer mishears what a line carries back: what may be an echo is no consent, and the caller is asked again.
    """
    ending = [_bare(word) for word in read_back.split()][-_ECHO_WORDS:]
    return " ".join(word for word in said.split() if not any(_sounds_like(_bare(word), heard) for heard in ending))


def _sounds_like(word: str, other: str) -> bool:
    return SequenceMatcher(None, word, other).ratio() >= _ALIKE


def _bare(word: str) -> str:
    return "".join(letter for letter in word.casefold() if letter.isalnum())


def pressed_answer(digits: str) -> bool | None:
    """Read keys as an answer: 1 is yes, 2 is no."""
    return {_YES_KEY: True, _NO_KEY: False}.get(digits)
