"""Valuation: try every combination of facts that a set of guards can tell apart."""

from __future__ import annotations

import contextlib
import enum
import itertools
import json
import operator
import types
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

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
        self._keys: dict[int, tuple[Compare, str]] = {}

    def satisfiable(self, clauses: Sequence[Clause], changeable: frozenset[str]) -> bool | None:
        """Return whether some facts fit all clauses; None where more than `MOST_ATOMS` comparisons hang together.

        Facts that are not `changeable` keep their defaults. Clauses without a common fact do not touch each other.
        """
        undecided = False
        for component in _components(clauses):
            atoms = {self._key(atom): atom for guard, _ in component for atom in _atoms(guard)}
            if len(atoms) > MOST_ATOMS:
                undecided = True
            elif not self._fit(component, self._truths(atoms, changeable), {}):
                return False
        return None if undecided else True

    def _truths(self, atoms: Mapping[str, Compare], changeable: frozenset[str]) -> Sequence[list[dict[str, bool]]]:
        """Return for each fact every combination of answers to its comparisons that some value gives."""
        by_fact: dict[str, dict[str, Compare]] = {}
        for key, atom in atoms.items():
            by_fact.setdefault(atom.fact, {})[key] = atom
        answers: list[list[dict[str, bool]]] = []
        for fact, asked in by_fact.items():
            known = (fact in changeable, tuple(asked))
            if known not in self._known:
                self._known[known] = self._answers(fact, asked, changes=fact in changeable)
            answers.append(self._known[known])
        return answers

    def _fit(self, clauses: Sequence[Clause], answers: Sequence[list[dict[str, bool]]], truth: _Truth) -> bool:
        """Whether answers for the facts that are left make all clauses come out as wanted.

        One fact after the other, and no further where a clause cannot come out any more. Facts stand in the order in
        which the clauses ask for them, so the clauses behind one that is open are not yet worth a look.
        """
        for at, (guard, wanted) in enumerate(clauses):
            value = self._value(guard, truth)
            if value is None:
                return any(self._fit(clauses[at:], answers[1:], {**truth, **answer}) for answer in answers[0])
            if value is not wanted:
                return False
        return True

    def _value(self, guard: Guard, truth: _Truth) -> bool | None:
        """Return whether a guard holds; None where that hangs on comparisons without an answer yet."""
        match guard:
            case Compare():
                return truth.get(self._key(guard))
            case AllOf(all_of=parts):
                return self._all(parts, truth, wanted=True)
            case AnyOf(any_of=parts):
                found = self._all(parts, truth, wanted=False)
                return None if found is None else not found
            case Not(not_=part):
                inner = self._value(part, truth)
                return None if inner is None else not inner

    def _all(self, parts: Sequence[Guard], truth: _Truth, *, wanted: bool) -> bool | None:
        unknown = False
        for part in parts:
            value = self._value(part, truth)
            if value is None:
                unknown = True
            elif value is not wanted:
                return False
        return None if unknown else True

    def _key(self, atom: Compare) -> str:
        if id(atom) not in self._keys:
            # With the comparison itself, so that no other is ever made in its place.
            self._keys[id(atom)] = (atom, json.dumps([atom.fact, atom.is_, atom.value], sort_keys=True))
        return self._keys[id(atom)][1]

    def _answers(self, fact: str, asked: Mapping[str, Compare], *, changes: bool) -> list[dict[str, bool]]:
        field = self._facts.model_fields[fact]
        if changes and any(_is_opaque(kind) for kind, _ in _kinds(field.annotation, _bounds_of(field))):
            # Nobody knows what such a value answers: it may be anything.
            return [
                dict(zip(asked, answer, strict=True)) for answer in itertools.product((True, False), repeat=len(asked))
            ]
        values: list[object] = [getattr(self._defaults, fact)]
        if changes:
            values += _representatives(field, list(asked.values()))
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


def _atoms(guard: Guard) -> Iterator[Compare]:
    match guard:
        case Compare():
            yield guard
        case AllOf(all_of=parts) | AnyOf(any_of=parts):
            for part in parts:
                yield from _atoms(part)
        case Not(not_=part):
            yield from _atoms(part)


# --- values that stand for all others --------------------------------------------------------------------------------


def _representatives(field: FieldInfo, asked: Sequence[Compare]) -> Iterator[object]:
    """Return values of the fact's type: every one that is compared with, its neighbours, and one like none of them.

    What else the author demands of a value, a pattern or a validator, is not asked: it may well be fulfilled.
    """
    named: list[object] = []
    for atom in asked:
        named += [atom.value, *(cast("list[object]", atom.value) if isinstance(atom.value, list) else ())]
    for kind, bounds in _kinds(field.annotation, _bounds_of(field)):
        adapter: TypeAdapter[object] = TypeAdapter(cast("Any", kind))
        compared = (_read(adapter, value) for value in (*named, *(bound for _, bound in bounds)))
        fitting = [value for value in compared if value is not None and value == value]
        yield from (value for value in _of_kind(kind, fitting) if _is_within(value, bounds))
        if not _is_plain(kind):
            yield object()  # something else, whatever it is


def _read(adapter: TypeAdapter[object], value: object) -> object:
    try:
        return adapter.validate_python(value)
    except (ValidationError, OverflowError):
        return None


def _kinds(annotation: object, bounds: _Bounds) -> Iterator[tuple[object, _Bounds]]:
    """Return the types a fact may have, unions taken apart, each with its bounds."""
    origin = typing.get_origin(annotation)
    if origin is Annotated:
        inner, *marks = typing.get_args(annotation)
        yield from _kinds(inner, (*bounds, *(bound for mark in marks for bound in _bounds_of(mark))))
    elif origin in (typing.Union, types.UnionType):
        for part in typing.get_args(annotation):
            yield from _kinds(part, bounds)
    elif isinstance(annotation, typing.NewType):
        yield from _kinds(annotation.__supertype__, bounds)
    else:
        yield annotation, bounds


_Bounds = tuple[tuple[str, object], ...]
"""(`gt`, `ge`, `lt` or `le`, than what)."""
_ORDERS: Mapping[str, Callable[[Any, Any], bool]] = {
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}


def _bounds_of(mark: object) -> _Bounds:
    """Return the bounds that a field, or a mark in `Annotated`, sets."""
    if isinstance(mark, FieldInfo):
        return tuple(bound for inner in mark.metadata for bound in _bounds_of(inner))
    bounds = ((name, getattr(mark, name, None)) for name in _ORDERS)
    return tuple((name, value) for name, value in bounds if value is not None)


def _is_within(value: object, bounds: _Bounds) -> bool:
    try:
        return all(_ORDERS[name](value, bound) for name, bound in bounds)
    except TypeError:  # another one of the fact's types is meant
        return True


def _is_plain(kind: object) -> bool:
    if kind is type(None) or typing.get_origin(kind) is Literal:
        return True
    return isinstance(kind, type) and issubclass(kind, bool | int | float | str | Decimal | date | enum.Enum)


def _is_opaque(kind: object) -> bool:
    """Whether nothing is known of how such a value compares: it is anything, or has an order of its own."""
    if typing.get_origin(kind) is not None:
        return False
    if not isinstance(kind, type) or kind is object:
        return True
    known = (date, time, timedelta, BaseModel, list, tuple, set, frozenset, dict)
    return not (_is_plain(kind) or kind is type(None) or issubclass(kind, known))


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
    # Halves first: the sum of two large numbers may be one too many.
    between = [] if issubclass(kind, int) else [low / 2 + high / 2 for low, high in itertools.pairwise(ordered)]
    return [kind(0), *ordered, *(value - 1 for value in ordered), *(value + 1 for value in ordered), *between]


def _instants(kind: type, named: Sequence[Any]) -> list[object]:
    if not named:
        return [_any_instant(kind)]  # a guard that asks only whether there is one
    # With and without a time zone they have no order, so nothing lies between them.
    zoned = [value for value in named if getattr(value, "tzinfo", None) is not None]
    found: list[object] = []
    for comparable in (zoned, [value for value in named if value not in zoned]):
        ordered = sorted(set(comparable))
        found += ordered
        if issubclass(kind, date | timedelta):
            found += [moved for value in ordered for moved in _neighbours(value)]
        if issubclass(kind, datetime | timedelta):
            found += [low + (high - low) / 2 for low, high in itertools.pairwise(ordered)]
        if issubclass(kind, time):
            found += _times_around(ordered)
    return found


def _times_around(ordered: Sequence[time]) -> list[time]:
    """Return a time between any two, and the first and the last of the day."""
    if not ordered:
        return []
    moments = [datetime.combine(date.min, moment) for moment in ordered]
    between = [(low + (high - low) / 2).timetz() for low, high in itertools.pairwise(moments)]
    return [*between, time.min.replace(tzinfo=ordered[0].tzinfo), time.max.replace(tzinfo=ordered[0].tzinfo)]


def _any_instant(kind: type) -> object:
    if issubclass(kind, timedelta):
        return kind(0)
    return kind(12, 0) if issubclass(kind, time) else kind(2000, 1, 1)


def _neighbours(value: Any) -> Iterator[object]:
    for step in (-_DAY, _DAY):
        with contextlib.suppress(OverflowError):  # there is no day before the first
            yield value + step
