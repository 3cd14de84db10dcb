"""Corrections: "four five one nine, no sorry, four five one nine two two seven"."""

from __future__ import annotations

import re

from voiceagent.language.words import word_set

__all__ = ["is_correction"]

_TAKES_BACK = word_set(
    "no nope sorry oops whoops correction scratch mean meant rather apologies mistake strike actually"
)
_STARTS_OVER = re.compile(r"\b(?:start|begin|try)(?:ing)? (?:over|again|from the (?:beginning|start|top))\b")
_MAY_STAND_BY = word_set(
    """
    i it it's its is that's that was wrong me let let's i'll try begin start over again from the beginning top my make
    oh well and so should be say said please hold on hang wait um uh er erm a an to all old previous ignore forget
    excuse pardon made i've got there here your what
    """
)
_NAMES = word_set("number account pin code card digits passcode zip phone telephone reference order")
_WORD = re.compile(r"[\w]+(?:'\w+)?")


def is_correction(before: str, between: str) -> bool:
    """Whether `between`, the words from one number to the next, say that the next one replaces the first.

    They do where they take something back and are about nothing else. What the numbers are called may be repeated,
    but "pin 1234, sorry, account 4519227" are two numbers: `before`, the words before the first, has another name.
    """
    words = _words(between)
    takes_back = any(word in _TAKES_BACK for word in words) or _STARTS_OVER.search(" ".join(words)) is not None
    names = {word for word in words if word in _NAMES}
    if not takes_back or any(word not in _TAKES_BACK | _MAY_STAND_BY | names for word in words):
        return False
    named_before = {word for word in _words(before) if word in _NAMES}
    return not named_before or names <= named_before


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))
