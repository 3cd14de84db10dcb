"""Language: what callers mean by their words, and words that a voice can say; one per locale."""

from __future__ import annotations

from functools import cache
from typing import Literal, assert_never, get_args

from voiceagent.errors import PhaseError, nearest
from voiceagent.language.clauses import ClauseSplitter
from voiceagent.language.protocol import Completeness, DigitSpan, Greeting, Language, Relation
from voiceagent.language.similarity import CLEAR_SCORE, PhraseIndex
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

_Subtag = Literal["en", "es"]

LANGUAGES: tuple[_Subtag, ...] = get_args(_Subtag)
"""Every language there is a module for, by its subtag."""


def language_for(locale: str) -> Language:
    """Return the language of a locale such as "en-GB": that of its subtag.

    Raises PhaseError, with the nearest known locale, for a language there is no module for.
    """
    tag = locale.replace("_", "-").lower()
    for known in LANGUAGES:
        if tag.partition("-")[0] == known:
            return _language(known)
    raise PhaseError(f"no language for locale {locale!r}{nearest(tag, LANGUAGES)} (known: {', '.join(LANGUAGES)})")


@cache
def _language(subtag: _Subtag) -> Language:
    # Imported when it is spoken: its patterns take as long as everything else that an agent is made of.
    match subtag:
        case "en":
            from voiceagent.language.english import ENGLISH

            return ENGLISH
        case "es":
            from voiceagent.language.spanish import SPANISH

            return SPANISH
        case _:
            assert_never(subtag)
