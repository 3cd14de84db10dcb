"""Masking: what is shown of a caller to somebody who has not asked to see it.

A word is shown where it tells nothing of a person: because the agent's own texts have it, or because everybody says it.
Numbers, names, and whatever tools have told are dots. What was sealed has no words here: its handle is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from pydantic import JsonValue

from voiceagent.core.sealing import with_words_changed
from voiceagent.errors import PhaseError
from voiceagent.language import Language, language_for
from voiceagent.language.words import word_set
from voiceagent.spec.described import described
from voiceagent.spec.flow import Flow

__all__ = ["HIDDEN", "Mask", "words_in"]

HIDDEN = "•••"
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_DIGITS = re.compile(r"\d[\d.,:/-]*\d|\d")
_NAMES = word_set(
    """
    angel april art august carol chance christian dean dolores faith frank grace grant guy joy june luz mark miles penny
    rose sky sol star summer victor
    """
)
"""Words that callers are named by: everybody's, or such as agents talk of."""
_SELDOM_NAMES = word_set("bill hope long may will young")
"""Such as are in every other sentence: a name where they are written as one, or are all that was said."""
_MOST_WORDS_OF_A_NAME = 2
_SENTENCE_ENDS = ".?!…:"
_MOST_REMEMBERED = 20_000
_MOST_PERSONAL = 20_000


@dataclass(slots=True)
class Mask:
    """What hides the words of one call."""

    own_words: frozenset[str] = frozenset()
    """The flow's, in small letters."""
    phrases: frozenset[str] = frozenset()
    """What it says word for word."""
    languages: dict[str, Language] = field(default_factory=dict[str, Language])
    """What is spoken in the call; in a language that this version does not have no word is everybody's."""
    personal: dict[str, None] = field(default_factory=dict[str, None])
    """What tools have told, in small letters."""
    _masked: dict[tuple[str, bool], str] = field(default_factory=dict[tuple[str, bool], str])

    @classmethod
    def of(cls, flow: Flow | None, locale: str) -> Mask:
        """Return the mask of a call on this flow; without one only everyday words are shown."""
        texts = [*_texts(described(flow)), *(prompt.static for prompt in flow.prompts.values())] if flow else []
        mask = cls(frozenset(word for text in texts for word in words_in(text)), frozenset(texts))
        mask.speak(locale)
        return mask

    def speak(self, locale: str) -> None:
        """Know the words of another language, which is spoken from now on."""
        with suppress(PhaseError):
            language = language_for(locale)
            if language.locale not in self.languages:
                self.languages[language.locale] = language
                self._masked.clear()

    def learn(self, told: JsonValue) -> None:
        """Hide from now on what a tool has told; the flow's own words tell nothing."""
        words = [word for text in _texts(told) for word in words_in(text) if word not in self.own_words]
        new = [word for word in words if word not in self.personal][: _MOST_PERSONAL - len(self.personal)]
        if new:
            self.personal |= dict.fromkeys(new)
            self._masked.clear()

    def text(self, text: str, *, of_caller: bool = False) -> str:
        """Return words with dots in place of what may tell who somebody is, or what they have.

        Those `of_caller`, who may be asked for a name at any time, are hidden where they may be one.
        """
        known = self._masked.get((text, of_caller))
        if known is None:
            known = text if text in self.phrases else self._hidden(text, of_caller=of_caller)
            if len(self._masked) >= _MOST_REMEMBERED:
                self._masked.clear()
            self._masked[text, of_caller] = known
        return known

    def numbers(self, text: str) -> str:
        """Return words with dots in place of numbers alone."""
        return with_words_changed(text, lambda part: _dotted(part, self._numbers(part)))

    def _hidden(self, text: str, *, of_caller: bool) -> str:
        names_alone = of_caller and _is_nothing_but_names(text)
        return with_words_changed(
            text,
            lambda part: _dotted(
                part, [*self._numbers(part), *self._names(part, of_caller=of_caller, names_alone=names_alone)]
            ),
        )

    def _numbers(self, text: str) -> Iterator[tuple[int, int]]:
        yield from (found.span() for found in _DIGITS.finditer(text))
        for language in self.languages.values():
            yield from ((span.start, span.end) for span in language.digit_spans(text))

    def _names(self, text: str, *, of_caller: bool, names_alone: bool) -> Iterator[tuple[int, int]]:
        for found in _WORD.finditer(text):
            begins = _begins_a_sentence(text, found.start())
            may_be_one = names_alone or _may_be_a_name(found[0], of_caller=of_caller, begins=begins)
            if may_be_one or not self._is_harmless(found[0], begins=begins):
                yield found.span()

    def _is_harmless(self, word: str, *, begins: bool) -> bool:
        small = word.casefold()
        if small in self.personal:
            return False
        if small in self.own_words:
            return True
        looks_like_a_name = word[0].isupper() and len(word) > 1 and not begins  # Rose, Mark and Bill are words as well
        return not looks_like_a_name and any(language.is_everyday(small) for language in self.languages.values())


def words_in(text: str) -> Iterator[str]:
    """Yield the words of a text in small letters."""
    return (found[0].casefold() for found in _WORD.finditer(text))


def _texts(value: JsonValue) -> Iterator[str]:
    match value:
        case str():
            yield value
        case list():
            for item in value:
                yield from _texts(item)
        case dict():
            for item in value.values():
                yield from _texts(item)
        case _:
            return


def _is_nothing_but_names(text: str) -> bool:
    words = list(words_in(text))
    return 0 < len(words) <= _MOST_WORDS_OF_A_NAME and all(word in _NAMES | _SELDOM_NAMES for word in words)


def _may_be_a_name(word: str, *, of_caller: bool, begins: bool) -> bool:
    """Whether a word is a name as well, which it may be though the flow has it."""
    small, written_as_one = word.casefold(), word[0].isupper() and (of_caller or not begins)
    return (of_caller and small in _NAMES) or (written_as_one and small in _NAMES | _SELDOM_NAMES)


def _begins_a_sentence(text: str, at: int) -> bool:
    before = text[:at].rstrip(" \"'“‘(¿¡")
    return not before or before[-1] in _SENTENCE_ENDS


def _dotted(text: str, hidden: Iterable[tuple[int, int]]) -> str:
    """Return a text with dots in these places; where they touch or follow each other, once."""
    parts: list[str] = []
    at = 0
    for start, end in sorted(hidden):
        between = text[at:start]
        if end <= at:
            continue
        if not parts or between.strip():
            parts += [between, HIDDEN]
        at = end
    return "".join([*parts, text[at:]])
