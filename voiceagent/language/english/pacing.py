"""Pacing: how long English words take to say, by their letters and syllables; numbers as they are spoken."""

from __future__ import annotations

import re

from voiceagent.language.english.speakable import speakable
from voiceagent.language.word_lengths import WordLength, lengths_of

__all__ = ["word_lengths"]

_WORD_MS, _SYLLABLE_MS, _LETTER_MS, _NUMBER_MS = 40, 47, 50, 55
_UNSTRESSED_MS = -85
"""Fitted to what Hibari makes of 340 sentences, none of them of the agents here: least squares over its word times."""
_SHORTEST_MS = 40
_LETTERS_OF_SYLLABLE = 3
"""Of what is written in digits or capitals."""
_UNSTRESSED = frozenset(
    {
        "a", "the", "to", "of", "in", "is", "and", "it", "for", "at", "on", "or", "an", "that", "you", "i",
    }
)  # fmt: skip

_PART = re.compile(r"[0-9][0-9,]*(?:\.[0-9]+)?|[^\W\d_]+(?:['’][^\W\d_]+)*")
_VOWELS = re.compile(r"[aeiouyàâäáéèêëíîïóôöúùûü]+")
_ABBREVIATED = re.compile(r"[A-Z]{2,4}")
_DIGITS = "0123456789"
_ONES = (2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1, 3, 1, 2, 2, 2, 2, 3, 2, 2)
"""Syllables of "zero" to "nineteen"."""
_TENS = (0, 0, 2, 2, 2, 2, 2, 3, 2, 2)


def word_lengths(text: str) -> list[WordLength]:
    """Return how long each word of `text` takes, as it stands between its spaces, with the pause after it."""
    return lengths_of(text, speakable(text), _said_ms)


def _said_ms(word: str) -> int:
    parts = _PART.findall(word)
    if not parts:
        return 0
    syllables = letters = 0
    for part in parts:
        if part[0] in _DIGITS:
            count = _syllables_of_number(part)
            syllables, letters = syllables + count, letters + _LETTERS_OF_SYLLABLE * count
        elif _ABBREVIATED.fullmatch(part):
            syllables, letters = syllables + len(part), letters + _LETTERS_OF_SYLLABLE * len(part)
        else:
            syllables, letters = syllables + _syllables(part.lower()), letters + len(part)
    plain = word.strip(".,;:!?\"'()").lower()
    more_ms = _NUMBER_MS if any(part[0] in _DIGITS for part in parts) else _UNSTRESSED_MS * (plain in _UNSTRESSED)
    return max(_SHORTEST_MS, _WORD_MS + _SYLLABLE_MS * syllables + _LETTER_MS * letters + more_ms)


def _syllables(word: str) -> int:
    groups = len(_VOWELS.findall(word))
    silent = (word.endswith("e") and not word.endswith("le")) or re.search(r"[^td]ed$", word) is not None
    return max(1, groups - silent)


def _syllables_of_number(number: str) -> int:
    """Return the syllables of "1,250", of a year, of "3.75"; digit by digit what begins with 0 or has too many."""
    whole, _, decimals = number.replace(",", "").partition(".")
    in_words = whole[0] != "0" or len(whole) == 1
    syllables = _counted(int(whole)) if in_words and len(whole) <= 6 else sum(_ONES[int(digit)] for digit in whole)
    return syllables + (1 + sum(_ONES[int(digit)] for digit in decimals) if decimals else 0)


def _counted(number: int) -> int:
    if number < len(_ONES):
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10] + (_ONES[number % 10] if number % 10 else 0)
    if 1_100 <= number < 2_000 or 2_010 <= number < 2_100:
        return _counted(number // 100) + max(2, _counted(number % 100))  # a year: two numbers of two digits
    scale, unit = (1_000, 2) if number >= 1_000 else (100, 2)
    rest = number % scale
    return _counted(number // scale) + unit + (_counted(rest) if rest else 0)
