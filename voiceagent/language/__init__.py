"""Language: what callers mean by their words, and words that a voice can say; one per locale."""

from __future__ import annotations

from voiceagent.errors import PhaseError, nearest
from voiceagent.language.clauses import ClauseSplitter
from voiceagent.language.english import ENGLISH
from voiceagent.language.protocol import Completeness, DigitSpan, Greeting, Language, Relation
from voiceagent.language.similarity import CLEAR_SCORE, PhraseIndex
from voiceagent.language.spanish import SPANISH
from voiceagent.language.word_lengths import WordLength, spoken_as, word_ends

__all__ = [
    "CLEAR_SCORE",
    "LANGUAGES",
    "ClauseSplitter",
    "Completeness",
    "DigitSpan",
    "Greeting",
    "Language",
    "PhraseIndex",
    "Relation",
    "WordLength",
    "language_for",
    "spoken_as",
    "word_ends",
]

_LANGUAGES: dict[str, Language] = {"en": ENGLISH, "es": SPANISH}

LANGUAGES = tuple(_LANGUAGES)
"""Every language there is a module for, by its subtag."""


def language_for(locale: str) -> Language:
    """Return the language of a locale such as "en-GB": the exact one, else that of its subtag.

    Raises PhaseError, with the nearest known locale, for a language there is no module for.
    """
    tag = locale.replace("_", "-").lower()
    language = _LANGUAGES.get(tag) or _LANGUAGES.get(tag.partition("-")[0])
    if language is None:
        known = ", ".join(_LANGUAGES)
        raise PhaseError(f"no language for locale {locale!r}{nearest(tag, _LANGUAGES)} (known: {known})")
    return language
