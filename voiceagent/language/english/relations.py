"""What little words do to a name: "from savings", "not stolen", "is it blocked"."""

from __future__ import annotations

import re

from voiceagent.language.protocol import Relation
from voiceagent.language.words import word_set

__all__ = ["asks_whether", "denied", "relation"]

# --- where something comes from and goes -----------------------------------------------------------------------------

_BESIDE_A_NAME = word_set("my our the a an that this own other regular personal joint account just only uh um")
_RELATIONS: tuple[tuple[Relation, re.Pattern[str]], ...] = (
    (
        Relation.REFUSED,
        re.compile(r"\b(?:not|never|isn't|wasn't|instead of|rather than)(?: (?:to|into|in|from|out of|for))?$"),
    ),
    (Relation.SOURCE, re.compile(r"\b(?:from|out of|off(?: of)?|out from|using)$")),
    (Relation.GOAL, re.compile(r"\b(?:to|into|in|onto|towards?|for)$")),
)
_WORD = re.compile(r"[\w]+(?:'\w+)?")


def relation(before: str) -> Relation:
    """Return how the thing is meant whose name follows `before`; articles and the like are passed over."""
    words = _words(before)
    while words and words[-1] in _BESIDE_A_NAME:
        words.pop()
    ending = " ".join(words[-3:])
    return next((found for found, pattern in _RELATIONS if pattern.search(ending)), Relation.NONE)


# --- what is not so, and what is only asked --------------------------------------------------------------------------

_DENIED = re.compile(
    r"(?:n't|\bnot|\bnever|\bnobody|\bno one|\bcannot)"
    r"(?: (?:been|be|really|actually|even|ever|yet|has|have|had|get|got|want to|want you to|need to|going to))*"
    r" (?P<word>\w+)"
)
_HEAD = (
    r"^(?:(?:and|so|but|um|uh|well|oh|hi|hello|hey|okay|ok|yes|yeah|no|sorry|excuse me|please|now|then) )*"
    r"(?:(?:can|could|would) you (?:please )?(?:tell me|say|check|see) |tell me |do you know "
    r"|i (?:just )?(?:want|wanted|need|would like) to know |i'd like to know |i (?:was|am) wondering |i'm wondering )?"
)
_IS_IT_SO = re.compile(
    _HEAD + r"(?:(?:if|whether) (?!you |we |i )"
    r"|(?:why|when|since when|who|how come) (?:(?:is|are|was|were|has|have|did|does|do|would|had)\b|(?:my|the|it)\b)"
    r"|(?:is|isn't|are|was|wasn't|were|has|hasn't|have|did|didn't|does|doesn't|had)"
    r" (?:my|the|a|an|it|that|this|you|i|we|he|she|they|anyone|anybody|somebody|someone)\b(?! (?:possible|able))"
    r"|what (?:if|happens|would happen|do i do)\b)"
)
_SUPPOSED = re.compile(r"\b(?:what if|in case|what happens (?:if|when)|if i (?:ever )?(?:lose|lost|block|had|were))\b")


def denied(text: str) -> tuple[str, ...]:
    """Return the words that "not", "never" or "nobody" stands before."""
    return tuple(match["word"] for match in _DENIED.finditer(" ".join(_words(text))))


def asks_whether(text: str) -> bool:
    """Return whether `text` asks if or why something is so, or what if it were.

    "Can you block it" and "is it possible to block it" ask for it to be done.
    """
    plain = " ".join(_words(text))
    return _IS_IT_SO.search(plain) is not None or _SUPPOSED.search(plain) is not None


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower().replace("’", "'"))
