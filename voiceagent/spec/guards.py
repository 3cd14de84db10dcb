"""Guards: the comparison over facts that lets a transition fire."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Literal, cast, get_args

from pydantic import BeforeValidator, JsonValue, TypeAdapter

from voiceagent.errors import nearest
from voiceagent.spec.declared import Declared
from voiceagent.spec.facts import Facts

__all__ = ["AllOf", "AnyOf", "Compare", "Guard", "Not", "When", "facts_read_by", "guard_text", "holds"]

Operator = Literal["eq", "ne", "lt", "le", "gt", "ge", "in", "set"]

_OPERATORS: tuple[str, ...] = get_args(Operator)


class Compare(Declared):
    """One fact against one value. `set` asks whether the fact is known at all, `in` takes a list."""

    fact: str
    is_: Operator = "eq"
    value: JsonValue = None


class AllOf(Declared):
    """Every part holds; no part at all holds too."""

    all_of: tuple[Guard, ...]


class AnyOf(Declared):
    """At least one part holds."""

    any_of: tuple[Guard, ...]


class Not(Declared):
    """The part does not hold."""

    not_: Guard


Guard = Compare | AllOf | AnyOf | Not


def _from_short_form(value: object) -> object:
    """Read `{"verified": True, "attempts": {"lt": 3}}`: every entry must hold. An object is compared by `eq`."""
    if not isinstance(value, dict):
        return value
    entries = cast("dict[str, object]", value)
    together = [word for word in ("any_of", "all_of", "not") if word in entries]
    if together and len(entries) > 1:
        raise ValueError(f"{together[0]!r} stands alone: put the rest beside it into an `all_of`")
    if together:
        word, operand = next(iter(entries.items()))
        if word in ("any_of", "all_of"):
            if not isinstance(operand, list | tuple):
                raise ValueError(f"{word!r} takes a list of guards")
            parts = [_from_short_form(part) for part in cast("Sequence[object]", operand)]
            return (AnyOf if word == "any_of" else AllOf).model_validate({word: parts})
        return Not.model_validate({"not_": _from_short_form(operand)})
    comparisons = [
        Compare.model_validate({"fact": fact, "is_": is_, "value": operand})
        for fact, wanted in entries.items()
        for is_, operand in _operators_of(wanted).items()
    ]
    return comparisons[0] if len(comparisons) == 1 else AllOf(all_of=tuple(comparisons))


def _operators_of(wanted: object) -> dict[str, object]:
    if not isinstance(wanted, dict):
        return {"eq": wanted}
    operators = cast("dict[str, object]", wanted)
    for name in operators:
        if name not in _OPERATORS:
            # Read as a value to be equal to, a slip of the pen would be a guard that never holds.
            raise ValueError(f"{name!r} is no operator{nearest(name, _OPERATORS)} (known: {', '.join(_OPERATORS)})")
    if not operators:
        raise ValueError("a comparison needs an operator; write {'eq': {}} for an empty object")
    return operators


When = Annotated[Guard | Callable[[Facts], bool], BeforeValidator(_from_short_form)]
"""What authors write: the short form, a guard, or a pure Python predicate over the frozen facts (unknown to proofs)."""


def _compare(comparison: Compare, facts: Facts) -> bool:
    got: object = getattr(facts, comparison.fact)
    wanted = comparison.value
    match comparison.is_:
        case "set":
            return (got is not None) == (wanted is not False)
        case "eq":
            return got == wanted
        case "ne":
            return got != wanted
        case "in":
            return isinstance(wanted, list) and got in wanted
        case "lt" | "le" | "gt" | "ge":
            return _ordered(comparison.is_, got, wanted)


def _ordered(operator: Literal["lt", "le", "gt", "ge"], got: object, wanted: object) -> bool:
    if got is None or wanted is None:
        return False  # what is not known is neither more nor less than anything
    # Dates and decimals come from JSON as text: read the wanted value as the type of the fact.
    left = cast("Any", got)
    try:
        right = (
            wanted
            if isinstance(wanted, cast("type[Any]", type(left)))
            else TypeAdapter[Any](cast("Any", type(left))).validate_python(wanted)
        )
        return bool({"lt": left < right, "le": left <= right, "gt": left > right, "ge": left >= right}[operator])
    except (TypeError, ValueError):
        return False  # a fact without an order permits nothing


def holds(guard: Guard | Callable[[Facts], bool] | None, facts: Facts) -> bool:
    """Return whether the guard permits. No guard permits; a predicate that raises does not."""
    match guard:
        case None:
            return True
        case Compare():
            return _compare(guard, facts)
        case AllOf(all_of=parts):
            return all(holds(part, facts) for part in parts)
        case AnyOf(any_of=parts):
            return any(holds(part, facts) for part in parts)
        case Not(not_=part):
            return not holds(part, facts)
        case _:
            try:
                return guard(facts) is True
            except Exception:  # noqa: BLE001 - an author's predicate may raise anything; then it does not permit
                return False


def facts_read_by(guard: Guard | Callable[[Facts], bool] | None) -> tuple[str, ...]:
    """Return the facts that a declarative guard compares, in order; a predicate's are unknown, so none."""
    match guard:
        case Compare(fact=fact):
            return (fact,)
        case AllOf(all_of=parts) | AnyOf(any_of=parts):
            return tuple(dict.fromkeys(fact for part in parts for fact in facts_read_by(part)))
        case Not(not_=part):
            return facts_read_by(part)
        case _:
            return ()


_SIGNS = {"eq": "=", "ne": "≠", "lt": "<", "le": "≤", "gt": ">", "ge": "≥", "in": "in"}


def guard_text(guard: Guard) -> str:
    """Return a guard in a few words, for people."""
    match guard:
        case Compare(fact=fact, is_="eq", value=True):
            return fact
        case Compare(fact=fact, is_="eq", value=False):
            return f"not {fact}"
        case Compare(fact=fact, is_="set", value=value):
            return f"{fact} unknown" if value is False else f"{fact} known"
        case Compare(fact=fact, is_=is_, value=value):
            return f"{fact} {_SIGNS[is_]} {json.dumps(value, ensure_ascii=False)}"
        case AllOf(all_of=parts):
            return " and ".join(map(_in_brackets, parts)) or "always"
        case AnyOf(any_of=parts):
            return " or ".join(map(_in_brackets, parts)) or "never"
        case Not(not_=part):
            return f"not {_in_brackets(part)}"


def _in_brackets(guard: Guard) -> str:
    return f"({guard_text(guard)})" if isinstance(guard, AllOf | AnyOf) else guard_text(guard)
