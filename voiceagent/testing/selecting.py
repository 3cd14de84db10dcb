"""Selecting scripted conversations by words of their names: `balance and not (cough or "uh-huh")`."""

from __future__ import annotations

import re
from collections.abc import Callable

from voiceagent.errors import ScriptError

__all__ = ["selector"]

_TOKEN = re.compile(r'\s*(?:(\()|(\))|"([^"]*)"|([^\s()"]+))')
_Matches = Callable[[str], bool]


def selector(expression: str) -> _Matches:
    """Return what says whether a name is meant: words in a row, `and`, `or`, `not`, parentheses, quotes.

    Raises ScriptError for an expression that cannot be read.
    """
    return _Expression(expression).read()


class _Expression:
    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = [match.group(0).strip() for match in _TOKEN.finditer(text)]
        self._at = 0
        if "".join(self._tokens).replace(" ", "") != text.replace(" ", ""):
            raise ScriptError(f"-k {text!r}: a quote is not closed")

    def read(self) -> _Matches:
        matches = self._either()
        if self._at < len(self._tokens):
            raise ScriptError(f"-k {self._text!r}: {self._tokens[self._at]!r} is not expected here")
        return matches

    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _took(self, token: str) -> bool:
        taken = self._next() == token
        self._at += taken
        return taken

    def _either(self) -> _Matches:
        parts = [self._both()]
        while self._took("or"):
            parts.append(self._both())
        return lambda name: any(part(name) for part in parts)

    def _both(self) -> _Matches:
        parts = [self._one()]
        while self._took("and"):
            parts.append(self._one())
        return lambda name: all(part(name) for part in parts)

    def _one(self) -> _Matches:
        if self._took("not"):
            inner = self._one()
            return lambda name: not inner(name)
        if self._took("("):
            inner = self._either()
            if not self._took(")"):
                raise ScriptError(f"-k {self._text!r}: a parenthesis is not closed")
            return inner
        return self._words()

    def _words(self) -> _Matches:
        words: list[str] = []
        while self._next() not in ("", "and", "or", "not", "(", ")"):
            words.append(self._next().strip('"'))
            self._at += 1
        if not words:
            raise ScriptError(f"-k {self._text!r}: words are expected after {self._tokens[: self._at][-1:] or 'it'}")
        phrase = " ".join(words).casefold()
        return lambda name: phrase in name.casefold()
