"""Valuation: try every combination of facts that a set of guards can tell apart."""

from __future__ import annotations

import contextlib
import enum
import itertools
import json
import types
import typing
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

from pydantic import TypeAdapter, ValidationError

from voiceagent.spec.facts import Facts
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Guard, Not, holds

__all__ = ["MOST_ATOMS", "Clause", "Valuations"]

MOST_ATOMS = 12
"""Comparisons that are decided together; each may double the combinations."""

Clause = tuple[Guard, bool]
"""A guard, and whether it is to hold."""
_Truth = Mapping[str, bool]
_DAY = timedelta(days=1)


class Valuations:
    """Tries guards over the facts of one flow, and remembers what it has tried."""

    def __init__(self, facts: type[Facts]) -> None:
        self._facts = facts
        self._defaults = facts()
        self._known: dict[tuple[bool, tuple[str, ...]], list[dict[str, bool]]] = {}

    def satisfiable(self, clauses: Sequence[Clause], changeable: frozenset[str]) -> bool | None:
        """Return whether some facts fit all clauses; None where more than `MOST_ATOMS` comparisons hang together.

        Facts that are not `changeable` keep their defaults. Clauses without a common fact do not touch each other.
        """
        undecided = False
        for component in _components(clauses):
            atoms = {_key(atom): atom for guard, _ in component for atom in _atoms(guard)}
            if len(atoms) > MOST_ATOMS:
                undecided = True
            elif not any(_fit(component, truth) for truth in self._truths(atoms, changeable)):
                return False
        return None if undecided else True

    def _truths(self, atoms: Mapping[str, Compare], changeable: frozenset[str]) -> Iterator[_Truth]:
        """Return every combination of answers to the comparisons that some facts give."""
        by_fact: dict[str, dict[str, Compare]] = {}
        for key, atom in atoms.items():
            by_fact.setdefault(atom.fact, {})[key] = atom
        answers: list[list[dict[str, bool]]] = []
        for fact, asked in by_fact.items():
            known = (fact in changeable, tuple(asked))
            if known not in self._known:
                self._known[known] = self._answers(fact, asked, changes=fact in changeable)
            answers.append(self._known[known])
        for combination in itertools.product(*answers):
            yield {key: answer for part in combination for key, answer in part.items()}

    def _answers(self, fact: str, asked: Mapping[str, Compare], *, changes: bool) -> list[dict[str, bool]]:
        values: list[object] = [getattr(self._defaults, fact)]
        if changes:
            values += _representatives(fact, list(asked.values()), self._facts)
        found: dict[tuple[bool, ...], dict[str, bool]] = {}
        for value in values:
            # The very comparison that a call makes decides, over facts that hold this value.
            held = self._facts.model_construct(**cast("Any", {fact: value}))
            answer = {key: holds(atom, held) for key, atom in asked.items()}
            found.setdefault(tuple(answer.values()), answer)
        return list(found.values())


def _components(clauses: Sequence[Clause]) -> list[list[Clause]]:
    """Part the clauses so that no fact is read in two parts."""
    parts: list[tuple[set[str], list[Clause]]] = []
    for clause in clauses:
        read = {atom.fact for atom in _atoms(clause[0])}
        touching = [part for part in parts if part[0] & read]
        parts = [part for part in parts if not part[0] & read]
        together = [*(other for _, others in touching for other in others), clause]
        parts.append((read.union(*(known for known, _ in touching)), together))
    return [part for _, part in parts]


def _fit(clauses: Sequence[Clause], truth: _Truth) -> bool:
    return all(_value(guard, truth) is wanted for guard, wanted in clauses)


def _value(guard: Guard, truth: _Truth) -> bool:
    match guard:
        case Compare():
            return truth[_key(guard)]
        case AllOf(all_of=parts):
            return all(_value(part, truth) for part in parts)
        case AnyOf(any_of=parts):
            return any(_value(part, truth) for part in parts)
        case Not(not_=part):
            return not _value(part, truth)


def _atoms(guard: Guard) -> Iterator[Compare]:
    match guard:
        case Compare():
            yield guard
        case AllOf(all_of=parts) | AnyOf(any_of=parts):
            for part in parts:
                yield from _atoms(part)
        case Not(not_=part):
            yield from _atoms(part)


def _key(atom: Compare) -> str:
    return json.dumps([atom.fact, atom.is_, atom.value], sort_keys=True)


# --- values that stand for all others --------------------------------------------------------------------------------


def _representatives(fact: str, asked: Sequence[Compare], facts: type[Facts]) -> Iterator[object]:
    """Return values of the fact's type: every one that is compared with, its neighbours, and one like none of them."""
    field = facts.model_fields[fact]
    named: list[object] = []
    for atom in asked:
        named += cast("list[object]", atom.value) if isinstance(atom.value, list) else [atom.value]
    for kind in _kinds(field.annotation):
        adapter: TypeAdapter[object] = TypeAdapter(cast("Any", kind))
        fitting = [
            value for value in (_read(adapter, value) for value in named) if value is not None and value == value
        ]
        for value in _of_kind(kind, fitting):
            try:
                facts.model_validate({fact: value})
            except ValidationError:
                continue  # the fact's own constraints exclude it
            yield value
        if not _is_plain(kind):
            yield object()  # something else, whatever it is


def _read(adapter: TypeAdapter[object], value: object) -> object:
    try:
        return adapter.validate_python(value)
    except ValidationError:
        return None


def _kinds(annotation: object) -> list[object]:
    """Return the types a fact may have, unions taken apart."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        return _kinds(typing.get_args(annotation)[0])
    if origin in (typing.Union, types.UnionType):
        return [kind for part in typing.get_args(annotation) for kind in _kinds(part)]
    return [annotation]


def _is_plain(kind: object) -> bool:
    if kind is type(None) or typing.get_origin(kind) is Literal:
        return True
    return isinstance(kind, type) and issubclass(kind, bool | int | float | str | Decimal | date | enum.Enum)


def _of_kind(kind: object, named: Sequence[object]) -> list[object]:
    if kind is type(None):
        return [None]
    if typing.get_origin(kind) is Literal:
        return list(typing.get_args(kind))
    if not isinstance(kind, type):
        return list(named)
    if issubclass(kind, bool):
        return [True, False]
    if issubclass(kind, enum.Enum):
        return list(kind)
    if issubclass(kind, str):
        texts = cast("Sequence[str]", named)
        # Between any two texts, and beyond them, lies one that nothing is compared with.
        return [*texts, *(f"{text}\x00" for text in texts), ""]
    if issubclass(kind, int | float | Decimal):
        return _numbers(kind, cast("Sequence[Any]", named))
    if issubclass(kind, date | time | timedelta):
        return _instants(kind, cast("Sequence[Any]", named))
    return list(named)


def _numbers(kind: type, named: Sequence[Any]) -> list[object]:
    ordered = sorted(set(named))
    between = [] if issubclass(kind, int) else [(low + high) / 2 for low, high in itertools.pairwise(ordered)]
    return [kind(0), *ordered, *(value - 1 for value in ordered), *(value + 1 for value in ordered), *between]


def _instants(kind: type, named: Sequence[Any]) -> list[object]:
    try:
        ordered = sorted(set(named))
    except TypeError:
        return list(named)  # with and without a time zone: they have no order, so nothing lies between them
    if not ordered:
        return [_any_instant(kind)]  # a guard that asks only whether there is one
    if not issubclass(kind, date | timedelta):
        return ordered
    found: list[Any] = [*ordered, *(moved for value in ordered for moved in _neighbours(value))]
    if issubclass(kind, datetime | timedelta):
        found += [low + (high - low) / 2 for low, high in itertools.pairwise(ordered)]
    return found


def _any_instant(kind: type) -> object:
    if issubclass(kind, timedelta):
        return kind(0)
    return kind(12, 0) if issubclass(kind, time) else kind(2000, 1, 1)


def _neighbours(value: Any) -> Iterator[object]:
    for step in (-_DAY, _DAY):
        with contextlib.suppress(OverflowError):  # there is no day before the first
            yield value + step
