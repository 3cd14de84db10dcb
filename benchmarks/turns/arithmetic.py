"""What is counted: cut-offs, delays, wrong words, words in the history that nobody heard; and who is tuned on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Literal

from benchmarks.figures import percentile

__all__ = [
    "ONES",
    "TENS",
    "Half",
    "TurnEnd",
    "Turns",
    "half_of",
    "per_hour",
    "truncation_error",
    "word_errors",
    "words_heard",
]

Half = Literal["tuning", "report"]

_TUNED_ON = 50
"""Of a hundred sentences."""


def half_of(speaker: str, sentence: str, *, whole_speakers: dict[str, Half]) -> Half:
    """Return which half a clip belongs to, for ever: that of its speaker, or else by its sentence.

    One sentence is in one half only, whoever says it and whatever noise is around it.
    """
    if speaker in whole_speakers:
        return whole_speakers[speaker]
    digest = hashlib.sha256(" ".join(_plain(sentence)).encode()).digest()
    return "tuning" if digest[0] * 100 < _TUNED_ON * 256 else "report"


# --- ends of turns ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TurnEnd:
    """How one clip was listened to."""

    clip: str
    speech_ends_ms: int
    """The true end: the last sound of the last word."""
    taken_ms: int | None
    """When the turn was taken for over; None: never."""

    @property
    def cut_off(self) -> bool:
        """Whether the caller was still going to say something."""
        return self.taken_ms is not None and self.taken_ms < self.speech_ends_ms

    @property
    def delay_ms(self) -> int | None:
        """How long the caller waited; None where they were cut off or never answered."""
        return None if self.taken_ms is None or self.cut_off else self.taken_ms - self.speech_ends_ms


@dataclass(frozen=True, slots=True)
class Turns:
    """Many of them, as one row of a table."""

    clips: int
    cut_off: int
    never: int
    p50_ms: float
    p95_ms: float

    @classmethod
    def of(cls, ends: Iterable[TurnEnd]) -> Turns:
        """Count them; delays are those of clips that were heard to their end."""
        ends = list(ends)
        delays = [end.delay_ms for end in ends if end.delay_ms is not None]
        return cls(
            len(ends),
            sum(end.cut_off for end in ends),
            sum(end.taken_ms is None for end in ends),
            percentile(delays, 0.5),
            percentile(delays, 0.95),
        )

    @property
    def cut_off_share(self) -> float:
        """The part that was cut off, between 0 and 1."""
        return self.cut_off / self.clips if self.clips else 0.0


def per_hour(count: int, lasted_ms: int) -> float:
    """Return how often something happens in an hour of it."""
    return count * 3_600_000 / lasted_ms if lasted_ms else 0.0


# --- words -----------------------------------------------------------------------------------------------------------

ONES = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
TENS = {20: "twenty", 30: "thirty", 40: "forty", 50: "fifty", 60: "sixty", 70: "seventy", 80: "eighty", 90: "ninety"}
_SPELLINGS = {"ok": "okay", "oh": "zero", "mister": "mr"}


def word_errors(reference: str, heard: str) -> tuple[int, int]:
    """Return how many words are wrong, missing or too many, and how many were said; numerals count as their words."""
    return _distance(_plain(reference), _plain(heard)), len(_plain(reference))


def _plain(text: str) -> list[str]:
    words = re.findall(r"[a-z']+|\d+", text.casefold().replace("’", "'"))
    return [_SPELLINGS.get(part, part) for word in words for part in _spoken(word)]


def _spoken(word: str) -> list[str]:
    if not word.isdigit():
        return [word]
    number = int(word)
    if word[0] == "0" or number > 99:
        return [ONES[int(digit)] for digit in word]
    if number < len(ONES):
        return [ONES[number]]
    return [TENS[number // 10 * 10], *([ONES[number % 10]] if number % 10 else [])]


def _distance(said: Sequence[str], heard: Sequence[str]) -> int:
    """Return the least number of words to change, take away or add."""
    row = list(range(len(heard) + 1))
    for at, word in enumerate(said, 1):
        before, row[0] = row[0], at
        for to, other in enumerate(heard, 1):
            before, row[to] = row[to], min(row[to] + 1, row[to - 1] + 1, before + (word != other))
    return row[-1]


# --- truncation ------------------------------------------------------------------------------------------------------


def words_heard(word_ends_ms: Sequence[int], heard_ms: int) -> int:
    """Return how many words were heard to their last sound."""
    return sum(end_ms <= heard_ms for end_ms in word_ends_ms)


def truncation_error(kept: str, text: str, heard: int) -> int:
    """Return by how many words the history differs from the first `heard` words of `text`: too many is above 0.

    What is kept has to be the beginning of the text; where it is not, all of it counts as wrong.
    """
    words, of = kept.split(), text.split()
    if any(word != said for word, said in zip_longest(words, of[: len(words)])):
        return len(words) + heard
    return len(words) - heard
