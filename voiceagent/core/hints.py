"""Hints: the words and names that the caller is likely to say now, for whoever has to understand them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import JsonValue

from voiceagent.core.prefetch import PrefetchPlan
from voiceagent.core.state import CallState
from voiceagent.spec.expects import Choice, Expects, YesNo
from voiceagent.spec.hints import FromAnswer
from voiceagent.spec.prefetch import FromFact

__all__ = ["MOST_HINTS", "Hints"]

MOST_HINTS = 50
"""A recognizer that has hundreds to choose from hears names everywhere."""
_LONGEST_CHARACTERS = 60
"""Longer is no name, and nobody says it in one breath."""


class Hints:
    """What the phase and its expected answers hint at, as far as it is known by now."""

    def __init__(self, state: CallState, prefetch: PrefetchPlan) -> None:
        self._state = state
        self._prefetch = prefetch

    def words(self, expects: Sequence[Expects]) -> tuple[str, ...]:
        """Return all of them: of what is expected first."""
        return _bounded([*self._expected(expects), *self.names()])

    def names(self) -> tuple[str, ...]:
        """Return those that the phase declares, a fact's and a tool's answer's as they are now."""
        return _bounded(name for hint in self._state.phase.hints for name in self._names_of(hint))

    def _expected(self, expects: Sequence[Expects]) -> Iterator[str]:
        for expected in expects:
            match expected:
                case Choice(options=options):
                    yield from (word for forms in options.values() for word in forms)
                case YesNo():
                    yield from self._state.language.plain_answers
                case _:
                    pass

    def _names_of(self, hint: str | FromFact | FromAnswer) -> Iterator[str]:
        match hint:
            case FromFact(fact=fact):
                yield from _texts(self._state.facts.known().get(fact))
            case FromAnswer(tool=tool):
                for answer in self._prefetch.answers_of(tool, self._state.now_ms):
                    yield from _names_in(answer, hint)
            case _:
                yield hint


def _names_in(answer: JsonValue, hint: FromAnswer) -> Iterator[str]:
    items = answer
    if hint.for_each is not None:
        items = answer.get(hint.for_each) if isinstance(answer, dict) else None
    for item in items if isinstance(items, list) else []:
        if hint.field is None:
            yield from _texts(item)
        elif isinstance(item, dict):
            yield from _texts(item.get(hint.field))


def _texts(value: JsonValue) -> list[str]:
    values = value if isinstance(value, list) else [value]
    return [text for text in values if isinstance(text, str)]


def _bounded(names: Iterator[str] | Sequence[str]) -> tuple[str, ...]:
    plain = dict.fromkeys(" ".join(name.split()) for name in names)
    return tuple(name for name in plain if _is_name(name))[:MOST_HINTS]


def _is_name(name: str) -> bool:
    """Whether it may leave the call: what has a digit in it may be a number of somebody's, or stand for a secret."""
    return 0 < len(name) <= _LONGEST_CHARACTERS and not any(c.isdigit() or c in "⟨⟩" for c in name)
