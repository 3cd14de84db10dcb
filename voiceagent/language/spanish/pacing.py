"""Pacing: how long Spanish words take to say, by their syllables; numbers as they are spoken."""

from __future__ import annotations

import re

from voiceagent.language.spanish.speakable import speakable
from voiceagent.language.word_lengths import WordLength, lengths_of

__all__ = ["word_lengths"]

_SYLLABLE_MS = 128
"""7.8 in a second, in Spanish as it is read aloud: Pellegrino, Coupé and Marsico, Language 87 (2011), table 1."""
_LETTER_NAME_SYLLABLES = 2
"""As "efe", "ene", "jota": most letters that stand in abbreviations."""
_PART = re.compile(r"[0-9]+(?:[.,][0-9]+)*|[^\W\d_]+")
_VOWELS = re.compile(r"(?:[aeiouáéíóúàèìòùü]|y(?![aeiouáéíóú]))+")
_STRONG = re.compile(r"[aeoáéíóúàèìòù]")
"""Each is a syllable of its own; the others are one with what stands beside them."""
_ABBREVIATED = re.compile(r"[A-ZÑ]{2,4}")
_THOUSANDS = re.compile(r"[0-9]{1,3}(?:([.,])[0-9]{3})(?:\1[0-9]{3})*(?:[.,][0-9]+)?")
_DIGITS = "0123456789"
_ONES = (2, 2, 1, 1, 2, 2, 1, 2, 2, 2, 1, 2, 2, 2, 3, 2, 3, 4, 3, 4, 2, 3, 3, 3, 4, 4, 3, 4, 3, 4)
"""Syllables of "cero" to "veintinueve"."""
_TENS = (0, 0, 0, 2, 3, 3, 3, 3, 3, 3)
_HUNDREDS = (0, 2, 3, 3, 4, 3, 3, 4, 4, 4)
"""Of "ciento" to "novecientos"; "cien" is one."""
_POINT = 2
"""Of "coma" or "punto"."""


def word_lengths(text: str) -> list[WordLength]:
    """Return how long each word of `text` takes, as it stands between its spaces, with the pause after it."""
    return lengths_of(text, speakable(text), _said_ms)


def _said_ms(word: str) -> int:
    return _SYLLABLE_MS * sum(map(_syllables, _PART.findall(word)))


def _syllables(part: str) -> int:
    if part[0] in _DIGITS:
        return _syllables_of_number(part)
    if _ABBREVIATED.fullmatch(part):
        return _LETTER_NAME_SYLLABLES * len(part)
    return max(1, sum(max(1, len(_STRONG.findall(vowels))) for vowels in _VOWELS.findall(part.lower())))


def _syllables_of_number(written: str) -> int:
    """Return the syllables of "1.250" or of "3,5"; digit by digit what begins with 0 or has too many."""
    grouped = _THOUSANDS.fullmatch(written)
    whole, *decimals = re.split(r"[.,]", written.replace(grouped[1], "") if grouped else written)
    in_words = (whole[0] != "0" or len(whole) == 1) and len(whole) <= 6
    syllables = _counted(int(whole)) if in_words else _one_by_one(whole)
    return syllables + sum(_POINT + _one_by_one(digits) for digits in decimals)


def _one_by_one(digits: str) -> int:
    return sum(_ONES[int(digit)] for digit in digits)


def _counted(number: int) -> int:
    if number < len(_ONES):
        return _ONES[number]
    if number < 100:
        tens, ones = divmod(number, 10)
        return _TENS[tens] + (1 + _ONES[ones] if ones else 0)
    if number == 100:
        return 1
    if number < 1_000:
        hundreds, rest = divmod(number, 100)
        return _HUNDREDS[hundreds] + (_counted(rest) if rest else 0)
    thousands, rest = divmod(number, 1_000)
    shortened = thousands % 10 == 1 and thousands % 100 != 11  # "veintiún mil"
    before = _counted(thousands) - shortened if thousands > 1 else 0
    return before + 1 + (_counted(rest) if rest else 0)
