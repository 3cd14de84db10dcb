"""Shapes: how the parts of a flow are written in YAML, read off the very models that Python flows are made of."""

from __future__ import annotations

import re
import types
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, TypeGuard, Union, get_args, get_origin

from pydantic.fields import FieldInfo

from voiceagent.spec.declared import Declared
from voiceagent.spec.flow import Flow
from voiceagent.spec.phase import Phase

__all__ = [
    "SKILL",
    "entries_of",
    "fields_of",
    "is_declared",
    "items_of",
    "keys_of",
    "may_be_none",
    "only_key_of",
    "parts_of",
    "variants_of",
    "words_of",
]

SKILL = "skill"
"""Key of a phase whose name, prompt and tools stand in the SKILL.md of a folder."""


def is_declared(kind: object) -> TypeGuard[type[Declared]]:
    """Whether a type is a part of a flow that is written as keys and values."""
    return isinstance(kind, type) and issubclass(kind, Declared)


def fields_of(kind: type[Declared]) -> dict[str, FieldInfo]:
    """Return what may be written of a declaration: key → field."""
    hidden = {"kind", "prompts"} if kind is Flow else {"kind"}
    return {name: field for name, field in kind.model_fields.items() if name not in hidden}


def keys_of(kind: type[Declared]) -> list[str]:
    """Return every key that a declaration may have."""
    return [*fields_of(kind), *([SKILL] if kind is Phase else [])]


def only_key_of(kind: type[Declared]) -> str | None:
    """Return the key whose value may stand for the whole declaration; None where there are several, or none."""
    fields = fields_of(kind)
    needed = [name for name, field in fields.items() if field.is_required()] or list(fields)
    return needed[0] if len(needed) == 1 else None


def parts_of(kind: object) -> tuple[object, ...]:
    """Return the alternatives that a type consists of, nothing left out but None."""
    if get_origin(kind) is Annotated:
        return parts_of(get_args(kind)[0])
    if get_origin(kind) in (Union, types.UnionType):
        return tuple(part for alternative in get_args(kind) for part in parts_of(alternative))
    return () if kind is types.NoneType else (kind,)


def may_be_none(kind: object) -> bool:
    """Whether `null` may stand for a value of a type."""
    return types.NoneType in get_args(kind)


def items_of(kind: object) -> object | None:
    """Return the type of a list's items; None for what is no list."""
    return get_args(kind)[0] if get_origin(kind) is tuple else None


def entries_of(kind: object) -> object | None:
    """Return the type of the values of a mapping whose keys are free; None for what is none."""
    return get_args(kind)[1] if get_origin(kind) is Mapping else None


def variants_of(parts: Sequence[object]) -> dict[str, type[Declared]]:
    """Return the declarations among several alternatives, each with the word that says which of them it is.

    One of several is written as its word, with its keys and values below it: `requested: {name: …}`. One without
    values is the word alone: `silent`. Where it needs a single value, that is enough: `pressed: "0"`.
    """
    return {_word(part): part for part in parts if is_declared(part)} if len(parts) > 1 else {}


def words_of(parts: Sequence[object]) -> list[str]:
    """Return the words that stand for themselves among several alternatives."""
    return [str(word) for part in parts if get_origin(part) is Literal for word in get_args(part)]


def _word(kind: type[Declared]) -> str:
    field = kind.model_fields.get("kind")
    return str(field.default) if field is not None else re.sub(r"(?<!^)(?=[A-Z])", "_", kind.__name__).lower()
