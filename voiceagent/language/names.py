"""Names by their sound: what a recognizer that has never met a payee or a product has made of one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["Names", "metaphone_of"]

_WORD = re.compile(r"⟨[^⟩]*⟩|[^\W\d_]+(?:['’-](?!s\b)[^\W\d_]+)*")
_ALIKE, _ALIKE_ALL = 0.75, 0.85
"""Jaro-Winkler similarity in letters, of words that sound alike: of each, and of several written as others."""
_SHORTEST_ALONE = 4
"""Letters: too many short words sound alike."""
_SHORTEST = 3
_CLEARLY = 0.05
"""So much better than any other name; else nobody knows which was meant."""


class _Found(NamedTuple):
    first: int
    last: int
    name: str
    likeness: float

    def overlaps(self, other: _Found) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True, slots=True)
class Names:
    """What names sound like in one language."""

    sound: Callable[[str], str]
    """Word in small letters → the same text for all words that sound the same."""
    is_common: Callable[[str], bool]
    """Whether a word in small letters is an everyday word: it is never taken for a name."""
    letters: Callable[[str], str] = str
    """What of a word in small letters is compared with another, letter by letter."""

    def in_text(self, text: str, names: Sequence[str]) -> str:
        """Return `text` with those of `names` that a few of its words sound like, and everything else as it is.

        An everyday word is never taken for a name, and nothing is where two names are as near.
        """
        spoken = {name: tuple(_WORD.findall(name.casefold())) for name in dict.fromkeys(names)}
        spoken = {name: words for name, words in spoken.items() if words}
        if not spoken:
            return text
        words = list(_WORD.finditer(text))
        said = [word[0].casefold() for word in words]
        taken = _said_already(said, list(spoken.values()))
        found = [
            near
            for name, parts in spoken.items()
            for near in self._sounds_like(name, parts, said)
            if not any(at in taken for at in range(near.first, near.last + 1)) and _is_unbroken(text, words, near)
        ]
        for near in reversed(_clear(found)):
            text = text[: words[near.first].start()] + near.name + text[words[near.last].end() :]
        return text

    def _sounds_like(self, name: str, parts: tuple[str, ...], said: Sequence[str]) -> Iterator[_Found]:
        for size in (len(parts), len(parts) - 1, len(parts) + 1):
            for first in range(len(said) - size + 1) if size else ():
                heard = tuple(said[first : first + size])
                alike = self._word_by_word if size == len(parts) else self._as_one
                if likeness := alike(heard, parts):
                    yield _Found(first, first + size - 1, name, likeness)

    def _word_by_word(self, heard: tuple[str, ...], parts: tuple[str, ...]) -> float:
        shortest = _SHORTEST_ALONE if len(parts) == 1 else _SHORTEST
        least = 1.0
        for word, part in zip(heard, parts, strict=True):
            if word == part:
                continue
            if self.is_common(word) or min(len(word), len(part)) < shortest or self.sound(word) != self.sound(part):
                return 0.0
            least = min(least, self._likeness(word, part))
        return least if least >= _ALIKE else 0.0

    def _as_one(self, heard: tuple[str, ...], parts: tuple[str, ...]) -> float:
        """Compare a name with what is written in more words, or fewer: "net flicks"."""
        if any(self.is_common(word) for word in heard):
            return 0.0
        word, part = "".join(heard), "".join(parts)
        if min(len(word), len(part)) < 2 * _SHORTEST_ALONE - 2 or self.sound(word) != self.sound(part):
            return 0.0
        likeness = self._likeness(word, part)
        return likeness if likeness >= _ALIKE_ALL else 0.0

    def _likeness(self, word: str, part: str) -> float:
        from jellyfish import jaro_winkler_similarity  # names are hinted at in few calls only

        return jaro_winkler_similarity(self.letters(word), self.letters(part))


def metaphone_of(word: str) -> str:
    """Return how a word sounds to English ears: its consonants, and the vowel that it begins with."""
    from jellyfish import metaphone  # names are hinted at in few calls only

    return metaphone(word)


def _said_already(said: Sequence[str], names: Sequence[tuple[str, ...]]) -> dict[int, None]:
    """Return which words are part of a name as it is written."""
    return {
        at: None
        for parts in names
        for first in range(len(said) - len(parts) + 1)
        if tuple(said[first : first + len(parts)]) == parts
        for at in range(first, first + len(parts))
    }


def _clear(found: Sequence[_Found]) -> list[_Found]:
    """Return those that no other name comes near to, in order of their place."""
    clear: list[_Found] = []
    for near in sorted(found, key=lambda near: (-near.likeness, near.first)):
        if any(near.overlaps(other) for other in clear):
            continue
        rivals = [other for other in found if other.name != near.name and near.overlaps(other)]
        if all(other.likeness < near.likeness - _CLEARLY for other in rivals):
            clear.append(near)
    return sorted(clear)


def _is_unbroken(text: str, words: Sequence[re.Match[str]], near: _Found) -> bool:
    """Whether nothing but spaces is between the words: a name does not go over the end of a sentence."""
    return all(text[words[at].end() : words[at + 1].start()].isspace() for at in range(near.first, near.last))
