"""Clauses: start to speak before the sentence is finished."""

from __future__ import annotations

import re
from collections.abc import Set as AbstractSet

__all__ = ["ClauseSplitter"]

# Punctuation, the quotes and brackets that may close after it, and the space that proves it is no
# decimal point; the next character is looked at where it is there already.
_BOUNDARY = re.compile(r"((?<![.!?…])[.!?…]++|[,;:—–])[\"'”’)\]*_]*+(\s++)(?=(\S?))|\n")
_WEAK_MARKS = frozenset(",;:—–")
_MAY_GROW = ".!?…,;:—–\"'”’)]*_"


class ClauseSplitter:
    """Cuts streamed text into pieces that can be synthesised one by one.

    A sentence end always cuts. A comma, semicolon, colon or dash cuts the first clause, so that
    the voice starts early, and later only clauses that have become long: short pieces sound chopped.
    Nothing is lost: the pieces joined are the input, but for white space at the cuts.
    """

    _FIRST_CLAUSE_CHARS = 12
    _LATER_CLAUSE_CHARS = 60

    def __init__(self, *, abbreviations: AbstractSet[str]) -> None:
        """`abbreviations` are lower-case words that end in a full stop within a sentence: "mr."."""
        self._abbreviations = abbreviations
        self._text = ""
        self._searched = 0
        self._min_chars = self._FIRST_CLAUSE_CHARS

    def feed(self, delta: str) -> list[str]:
        """Take the next piece of text and return the clauses that are now finished."""
        self._text += delta
        clauses: list[str] = []
        while (end := self._next_cut()) is not None:
            clauses += self._cut(end)
        return clauses

    def flush(self) -> list[str]:
        """Return what is left, at the end of the text, and start anew."""
        clauses = self._cut(len(self._text))
        self._min_chars = self._FIRST_CLAUSE_CHARS
        return clauses

    def _cut(self, end: int) -> list[str]:
        clause, self._text = self._text[:end].strip(), self._text[end:]
        self._searched = 0
        if not clause:
            return []
        self._min_chars = self._LATER_CLAUSE_CHARS
        return [clause]

    def _next_cut(self) -> int | None:
        for match in _BOUNDARY.finditer(self._text, self._searched):
            before = self._text[: match.start()]
            if match[1] in _WEAK_MARKS and not match[3] and _ends_in_number(before):
                # "March 14, " may go on with a year: wait for the next character.
                self._searched = match.start()
                return None
            self._searched = match.end()
            if self._is_cut(match, before):
                return match.end()
        # Punctuation at the very end may still grow, or be a decimal point: look at it again.
        self._searched = max(self._searched, len(self._text.rstrip(_MAY_GROW)))
        return None

    def _is_cut(self, match: re.Match[str], before: str) -> bool:
        mark = match[1]
        if mark is None:
            return bool(before.strip())
        if "\n" in match[2]:
            return True
        if mark == ".":
            return not self._is_abbreviation(before)
        if mark[0] in ".!?…":
            return True
        inside_number = match[3].isdigit() and _ends_in_number(before)
        return len(before.strip()) + 1 >= self._min_chars and not inside_number

    def _is_abbreviation(self, before: str) -> bool:
        words = before.split()
        word = words[-1].lstrip("\"'“‘([*_") if words else ""
        initial = len(word) == 1 and word.isupper() and word != "I"  # J. Smith
        numbered = len(words) == 1 and word.isdigit()  # the "1. " of a list
        return initial or numbered or f"{word.lower()}." in self._abbreviations


def _ends_in_number(text: str) -> bool:
    """Whether the last word is a number or an ordinal: a year may follow "March 14," and "March 14th,"."""
    last = text.rsplit(maxsplit=1)[-1:]
    return bool(last) and last[0][:1].isdigit()
