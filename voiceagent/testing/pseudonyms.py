"""Pseudonyms: what tools have told of a person is replaced by something of the same shape, everywhere by the same.

Digits become other digits, dates move by some weeks, names become other names. What decides the flow stays: the flow's
own words, true and false, numbers that count something.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from datetime import date, timedelta

from pydantic import JsonValue

__all__ = ["Pseudonyms"]

_NAMES = (
    "Alder", "Birch", "Cedar", "Dove", "Elm", "Finch", "Grove", "Hazel", "Iris", "Juniper",
    "Kestrel", "Laurel", "Maple", "Nettle", "Olive", "Poplar", "Quince", "Rowan", "Sage", "Thistle",
)  # fmt: skip
_DATE = re.compile(r"(\d{4})-(\d{2})-(\d{2})")
_NAME = re.compile(r"\b[A-Z][a-z'’]+(?:-[A-Z][a-z'’]+)*\b")
_DIGIT = re.compile(r"\d")
_MOST_DAYS = 28
_SHORTEST_NAME = 3


class Pseudonyms:
    """The replacements of one call."""

    def __init__(self, *, seed: str, kept: Iterable[str]) -> None:
        """`kept` are the words that the flow itself uses; `seed` makes two calls' replacements different."""
        self._seed = seed
        self._kept = {word.casefold() for text in kept for word in re.findall(r"[\w'’-]+", text)}
        self._names: dict[str, str] = {}
        """Name as it was → as it is."""

    def of(self, value: JsonValue) -> JsonValue:
        """Return what a tool answered, replaced."""
        match value:
            case str():
                return self._text(value)
            case list():
                return [self.of(item) for item in value]
            case dict():
                return {key: self.of(item) for key, item in value.items()}
            case _:
                return value

    def spoken(self, words: str) -> str:
        """Return a caller's words with the names in them that tools have told replaced."""
        for name, other in self._names.items():
            words = re.sub(rf"\b{re.escape(name)}\b", other, words, flags=re.IGNORECASE)
        return words

    def _text(self, text: str) -> str:
        if text.casefold() in self._kept:
            return text
        moved = _DATE.fullmatch(text)
        if moved is not None:
            return self._date(text)
        return _NAME.sub(lambda name: self._name(name[0]), self._digits(text))

    def _date(self, text: str) -> str:
        try:
            day = date.fromisoformat(text)
        except ValueError:
            return self._digits(text)
        return (day - timedelta(days=1 + self._drawn("days", "") % _MOST_DAYS)).isoformat()

    def _digits(self, text: str) -> str:
        """Replace every digit; a number keeps its length, its zeros and its decimal point."""
        return _DIGIT.sub(lambda digit: self._digit(digit[0], digit.start(), text), text)

    def _digit(self, digit: str, position: int, text: str) -> str:
        return digit if digit == "0" else str(1 + (int(digit) + self._drawn(text, str(position))) % 9)

    def _name(self, name: str) -> str:
        if name.casefold() in self._kept or len(name) < _SHORTEST_NAME:
            return name
        if name not in self._names:
            self._names[name] = _NAMES[(self._drawn("names", "") + len(self._names)) % len(_NAMES)]
        return self._names[name]

    def _drawn(self, *of: str) -> int:
        return int.from_bytes(hashlib.sha256("\0".join((self._seed, *of)).encode()).digest()[:8], "big")
