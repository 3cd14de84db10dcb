"""Word lengths: when each word of a sentence is over, as it is written and as it is spoken."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from difflib import SequenceMatcher
from typing import NamedTuple

__all__ = ["WordLength", "lengths_of", "spoken_as", "word_ends"]

_PAUSES_MS = {".": 300, "!": 300, "?": 300, "…": 300, ",": 100, ";": 100, ":": 100, "-": 80}


class WordLength(NamedTuple):
    """How long a word takes at a usual pace."""

    said_ms: int
    pause_ms: int
    """What follows it of silence: punctuation."""


def lengths_of(written: str, spoken: str, said_ms: Callable[[str], int]) -> list[WordLength]:
    """Return how long each word takes of what is written, as it stands between its spaces, with the pause after it.

    `spoken` is the same in plain words; `said_ms` tells how long one of them takes, without what follows it.
    """
    words = written.split(" ")
    return [_length(parts, said_ms) for parts in spoken_as(words, spoken.split())]


def _length(spoken: Sequence[str], said_ms: Callable[[str], int]) -> WordLength:
    if not spoken:
        return WordLength(0, 0)
    within_ms = sum(said_ms(word) + _pause_ms(word) for word in spoken[:-1])
    return WordLength(within_ms + said_ms(spoken[-1]), _pause_ms(spoken[-1]))


def _pause_ms(word: str) -> int:
    return _PAUSES_MS.get(word.rstrip("\"'”’)]")[-1:], 0)


def spoken_as(written: Sequence[str], spoken: Sequence[str]) -> list[list[str]]:
    """Return for each written word the words that are spoken for it, in order, none left out: "$5" is two.

    Words that are the same in both hold the two together; what stands between them is shared out.
    """
    if len(written) == len(spoken):
        return [[word] for word in spoken]
    found: list[list[str]] = [[] for _ in written]
    pairs = SequenceMatcher(None, [_bare(word) for word in written], [_bare(word) for word in spoken], autojunk=False)
    for _, from_written, to_written, from_spoken, to_spoken in pairs.get_opcodes():
        count, more = to_written - from_written, to_spoken - from_spoken
        for number in range(more):
            at = from_written + number * count // more if count else max(0, from_written - 1)
            found[at].append(spoken[from_spoken + number])
    return found


def word_ends(lengths: Sequence[WordLength], whole_ms: int | None = None) -> list[int]:
    """Return when each word's last sound is over, where all of them, the last pause included, take `whole_ms`."""
    total_ms = sum(said_ms + pause_ms for said_ms, pause_ms in lengths)
    whole_ms = total_ms if whole_ms is None else whole_ms
    ends: list[int] = []
    at_ms = 0
    for said_ms, pause_ms in lengths:
        ends.append((at_ms + said_ms) * whole_ms // total_ms if total_ms else 0)
        at_ms += said_ms + pause_ms
    return ends


def _bare(word: str) -> str:
    return "".join(char for char in word.casefold() if char.isalnum()) or word
