"""What little words do to a name: "desde ahorros", "no robada", "¿está bloqueada?"."""

from __future__ import annotations

import re

from voiceagent.language.protocol import Relation
from voiceagent.language.spanish.plain import plain, words
from voiceagent.language.words import word_set

__all__ = ["asks_whether", "denied", "relation"]

_BESIDE_A_NAME = word_set("mi mis su sus la el los las un una esa ese esta este otra cuenta tarjeta propia eh em solo")
_RELATIONS: tuple[tuple[Relation, re.Pattern[str]], ...] = (
    (Relation.REFUSED, re.compile(r"\b(?:no|nunca|en vez de|en lugar de|ni)(?: (?:a|al|en|de|desde|para))?$")),
    (Relation.SOURCE, re.compile(r"\b(?:de|del|desde|sacar de)$")),
    (Relation.GOAL, re.compile(r"\b(?:a|al|hacia|hasta|para|en)$")),
)
_DENIED = re.compile(
    r"\b(?:no|nunca|nadie|tampoco|ni)"
    r"(?: (?:me|te|se|la|lo|las|los|le|ha|han|he|esta|estaba|es|era|fue|sido|sea|quiero|realmente|aun|todavia|que))*"
    r" (?P<word>\w+)"
)
_HEAD = r"^(?:(?:y|pero|eh|hola|buenas|si|bueno|oiga|perdone|por favor) )*"
_ASKS = re.compile(
    _HEAD + r"(?:(?:me )?(?:puede|podria) (?:decirme|decir|mirar|comprobar) |digame |sabe |quiero saber "
    r"|quisiera saber |queria saber )?(?:si (?:ya )?(?:esta|estaba|ha|han|es|fue|se|hay|tengo|me)\b"
    r"|por que\b|desde cuando\b|cuando (?:se|me|ha|fue)\b|quien\b|que pasa si\b|que pasaria si\b)"
)
_VERB_FIRST = re.compile(_HEAD + r"(?:esta|estaba|ha|han|es|fue|se ha|me han|hay|sigue|tengo)\b")


def relation(before: str) -> Relation:
    """Return how the thing is meant whose name follows `before`; articles and the like are passed over."""
    said = words(before)
    while said and said[-1] in _BESIDE_A_NAME:
        said.pop()
    ending = " ".join(said[-4:])
    return next((found for found, pattern in _RELATIONS if pattern.search(ending)), Relation.NONE)


def denied(text: str) -> tuple[str, ...]:
    """Return the words that "no", "nunca" or "nadie" stands before."""
    return tuple(match["word"] for match in _DENIED.finditer(" ".join(words(text))))


def asks_whether(text: str) -> bool:
    """Return whether `text` asks if or why something is so, or what if it were.

    "¿Puede bloquearla?" asks for it to be done. What is said like a statement is a question by its marks.
    """
    said = " ".join(words(text))
    is_marked = "?" in plain(text) or "¿" in text
    return _ASKS.search(said) is not None or (is_marked and _VERB_FIRST.search(said) is not None)
