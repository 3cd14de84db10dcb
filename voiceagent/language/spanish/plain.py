"""Plain Spanish: lower case and without accents, since recognizers leave them out as they like."""

from __future__ import annotations

import re

__all__ = ["plain", "without_hesitations", "words"]

_ACCENTS = str.maketrans("áéíóúüñàèìòù", "aeiouunaeiou")
_WORD = re.compile(r"[^\W_]+")
_HESITATION = re.compile(r",?\s*\b(?:e+h+|e+m+|m+|a+h+|h+m+|o sea|pues)\b(?:[,.…]*(?=\s+[a-z\dñ¿])|(?=[.?!]))")


def plain(text: str) -> str:
    """Return `text` in lower case without accents, letter for letter: places in it are places in `text`."""
    lowered = text.lower() if len(text.lower()) == len(text) else "".join(char.lower()[:1] or char for char in text)
    return lowered.translate(_ACCENTS)


def words(text: str) -> list[str]:
    """Return the words of `text`, plain."""
    return _WORD.findall(plain(text))


def without_hesitations(text: str) -> str:
    """Return plain `text` as if the caller had not hesitated: without "eh" and the punctuation around it."""
    return _HESITATION.sub("", plain(text))
