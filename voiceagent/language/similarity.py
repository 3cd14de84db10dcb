"""Which of a few example phrases does this sentence resemble, if any?

How a score is built, for a query and a label with its example phrases:

- A text becomes *concepts*: what is left of its words without stop words, stemmed, and with
  synonyms replaced by one of them. A concept that no phrase knows is mapped to a known one that
  begins with the same letter and shares most of its 2- to 4-letter sequences, if there is one.
- A concept weighs log(1 + labels / labels that use it), scaled so that one used by a single label
  weighs 1. A concept no label knows weighs `_UNKNOWN_WEIGHT`: it is evidence that the sentence is
  about something else. One that begins with "!" refuses, and weighs `_REFUSAL_WEIGHT`.
- words: the cosine of query and phrase over these weights, of the label's best phrase.
- coverage: the part of the query's weight that the label's phrases explain together.
- letters: the cosine over 2- to 4-letter sequences, of the label's best phrase.
- score = 0.45 words + 0.45 coverage + 0.10 letters, 0..1, and 0 where not one concept that tells
  labels apart is shared. Letters alone find a resemblance between any two sentences: this condition
  is what leaves a gap between sentences that are in the domain and those that are not.

- borrowed: where the shared concepts that tell labels apart are worth less than `_ENOUGH_EVIDENCE`
  (an everyday word 1; a rarer one, one after "my", or several words 2) and the sentence has
  concepts that no phrase knows, the score is halved: "the balance of nature" borrows a word.

What it cannot do: a sentence about something else that borrows a rare word, or two, or that has
nothing else in it ("move over"), looks like a short request.

`CLEAR_SCORE` is a threshold that suits three to six labels with four or more phrases each.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

__all__ = ["CLEAR_SCORE", "Concept", "PhraseIndex"]

CLEAR_SCORE = 0.4
"""At or above, a best label may be acted upon; below, better ask."""

_WORDS_SHARE, _COVERAGE_SHARE, _LETTERS_SHARE = 0.45, 0.45, 0.10
_UNKNOWN_WEIGHT = 0.7
_REFUSAL_WEIGHT = 4.0
_SAME_WORD_COSINE = 0.62
_LEAST_LETTERS_TO_COMPARE = 6
_GRAM_SIZES = (2, 3, 4)

_ENOUGH_EVIDENCE = 2
_BORROWED_SHARE = 0.5


class Concept(NamedTuple):
    """What one or several words of a text are about."""

    name: str
    evidence: int
    """How much it says by itself: 1 for an everyday word such as "move", 2 for one that is about few things."""


@dataclass(frozen=True, slots=True)
class _Vector:
    weights: Mapping[str, float]
    square: float
    """Of its length: taken once, since a vector is compared many times."""

    @classmethod
    def of(cls, weights: Mapping[str, float]) -> _Vector:
        return cls(weights, sum(weight * weight for weight in weights.values()))

    def cosine(self, other: _Vector) -> float:
        known = other.weights
        product = 0.0
        for key, weight in self.weights.items():  # written out: this is most of what it takes to understand a caller
            if key in known:
                product += weight * known[key]
        return product / math.sqrt(self.square * other.square) if product else 0.0


@dataclass(frozen=True, slots=True)
class _Phrase:
    words: _Vector
    letters: _Vector


@dataclass(frozen=True, slots=True)
class _Label:
    name: str
    phrases: tuple[_Phrase, ...]
    vocabulary: frozenset[str]


class PhraseIndex:
    """Example phrases by label, indexed once and asked once per turn. Deterministic."""

    def __init__(self, phrases: Mapping[str, Sequence[str]], *, concepts: Callable[[str], list[Concept]]) -> None:
        """`concepts` turns a text into its stemmed content words, in order."""
        self._concepts = concepts
        by_label = {
            name: [[concept.name for concept in concepts(text)] for text in texts] for name, texts in phrases.items()
        }
        self._weights = _concept_weights(by_label)
        self._grams = {concept: _letter_grams([concept]) for concept in self._weights}
        self._labels = tuple(
            _Label(
                name,
                tuple(_Phrase(self._weigh(words), _letter_grams(words)) for words in texts),
                frozenset(word for words in texts for word in words),
            )
            for name, texts in by_label.items()
        )

    def best(self, text: str) -> list[tuple[str, float]]:
        """Return every label with its score 0..1, the best first; equals in declared order."""
        query: dict[str, int] = {}
        for name, evidence in self._concepts(text):
            known = self._known(name)
            query[known] = max(evidence, query.get(known, 0))
        words, letters = self._weigh(query), _letter_grams(list(query))
        scores = [(label.name, self._score(label, query, words, letters)) for label in self._labels]
        return sorted(scores, key=lambda scored: -scored[1])

    def content_of(self, text: str) -> tuple[str, ...]:
        """Return the names of the concepts in a text; none where it has no words but numbers and stop words."""
        return tuple(concept.name for concept in self._concepts(text))

    def _score(self, label: _Label, query: Mapping[str, int], words: _Vector, letters: _Vector) -> float:
        weights = words.weights
        shared = [concept for concept in weights if concept in label.vocabulary]
        telling = [concept for concept in shared if self._tells_apart(concept)]
        if not telling:
            return 0.0
        explained = sum(weights[concept] for concept in shared) / sum(weights.values())
        score = (
            _WORDS_SHARE * max(words.cosine(phrase.words) for phrase in label.phrases)
            + _COVERAGE_SHARE * explained
            + _LETTERS_SHARE * max(letters.cosine(phrase.letters) for phrase in label.phrases)
        )
        return min(1.0, score) * (_BORROWED_SHARE if self._is_borrowed(telling, query) else 1)

    def _is_borrowed(self, telling: Sequence[str], query: Mapping[str, int]) -> bool:
        """Whether too little speaks for a label, beside words that no phrase knows: "the balance of nature"."""
        evidence = sum(query[concept] for concept in telling)
        return evidence < _ENOUGH_EVIDENCE and any(concept not in self._weights for concept in query)

    def _tells_apart(self, concept: str) -> bool:
        if concept.startswith("!"):
            return False
        return len(self._labels) == 1 or self._weights[concept] > min(self._all_labels_weight, 1)

    @property
    def _all_labels_weight(self) -> float:
        return math.log(2) / math.log(1 + len(self._labels))

    def _weigh(self, concepts: Iterable[str]) -> _Vector:
        return _Vector.of({concept: self._weight(concept) for concept in concepts})

    def _weight(self, concept: str) -> float:
        return _REFUSAL_WEIGHT if concept.startswith("!") else self._weights.get(concept, _UNKNOWN_WEIGHT)

    def _known(self, concept: str) -> str:
        """Return the known concept that is written most like this one, or the concept itself."""
        if concept in self._weights or " " in concept or len(concept) < _LEAST_LETTERS_TO_COMPARE:
            return concept  # several words that make one concept are not one word misspelt
        grams = _letter_grams([concept])
        likeness, nearest = max(
            (
                (grams.cosine(known), name)
                for name, known in self._grams.items()
                if name[0] == concept[0] and " " not in name
            ),
            default=(0.0, concept),
        )
        return nearest if likeness >= _SAME_WORD_COSINE else concept


def _concept_weights(by_label: Mapping[str, Sequence[Sequence[str]]]) -> dict[str, float]:
    used_by = Counter(
        concept for texts in by_label.values() for concept in dict.fromkeys(word for words in texts for word in words)
    )
    scale = math.log(1 + len(by_label))
    return {concept: math.log(1 + len(by_label) / n) / scale for concept, n in used_by.items()}


def _letter_grams(words: Sequence[str]) -> _Vector:
    grams: Counter[str] = Counter()
    for word in words:
        padded = f" {word} "
        for size in _GRAM_SIZES:
            grams.update(padded[at : at + size] for at in range(len(padded) - size + 1))
    return _Vector.of(grams)
