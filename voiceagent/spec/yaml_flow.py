"""Flows written in YAML: the same declarations as in Python, the same checks, and a line for every mistake."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TypeVar, cast, get_origin

from pydantic import JsonValue, TypeAdapter, ValidationError

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.declared import Declared
from voiceagent.spec.facts import Facts
from voiceagent.spec.flow import Flow
from voiceagent.spec.guards import AllOf, AnyOf, Compare, Guard, Not, When
from voiceagent.spec.phase import ToolSucceeds
from voiceagent.spec.skill import Skill, read_skill
from voiceagent.spec.tool import Tool
from voiceagent.spec.yaml_code import AgentCode, is_reference
from voiceagent.spec.yaml_facts import facts_from
from voiceagent.spec.yaml_files import Written, read_files
from voiceagent.spec.yaml_shapes import (
    SKILL,
    entries_of,
    fields_of,
    is_declared,
    items_of,
    keys_of,
    may_be_none,
    only_key_of,
    parts_of,
    variants_of,
    words_of,
)

__all__ = ["read_flow"]

Part = TypeVar("Part", bound=Declared)
_guards: TypeAdapter[object] = TypeAdapter(When)


def read_flow(file: Path, package: str) -> Flow:
    """Return the flow that a file in an agent's folder declares, without the text of its prompts.

    `package` is the name under which the folder's modules can be imported. Raises PhaseError, with file and line, for
    the first thing that does not fit; what one of the agent's own modules raises is raised as it is.
    """
    return _Reader(AgentCode(file.parent, package)).declared(Flow, read_files(file.parent, file.name))


class _Reader:
    def __init__(self, code: AgentCode) -> None:
        self._code = code

    def declared(self, kind: type[Part], written: Written) -> Part:
        """Return a declaration that is written as keys and values."""
        if not isinstance(written.value, dict):
            raise written.refused(f"keys and values are expected here: {', '.join(keys_of(kind))}")
        entries = dict(written.value)
        for key, part in entries.items():
            if key not in keys_of(kind):
                raise part.refused(f"unknown key {key!r}{nearest(key, keys_of(kind))}")
        skill = self._skill(entries.pop(SKILL)) if SKILL in entries else None
        fields = fields_of(kind)
        values = {key: self._value(fields[key].annotation, part, key) for key, part in entries.items()}
        try:
            made = kind.model_validate(skill.with_the_rest(values) if skill else values, strict=True)
        except ValidationError as exc:
            raise _misfit(exc, written) from exc
        for name in fields:
            default = getattr(made, name)
            if name not in entries and isinstance(default, Declared):
                default.standing_at(written.source)
        return made.standing_at(written.source, dict(_lines_of(entries)))

    def _skill(self, folder: Written) -> Skill:
        if not isinstance(folder.value, str):
            raise folder.refused("`skill` is the name of a folder with a SKILL.md")
        return read_skill(self._code, folder.value, folder.source)

    def _value(self, kind: object, written: Written, key: str) -> object:
        parts = parts_of(kind)
        if Compare in parts:
            return self._guard(written)
        if written.value is None and may_be_none(kind):
            return None
        if any(get_origin(part) is type for part in parts):
            return self._facts(written)
        if ToolSucceeds in parts and is_reference(written.value):
            return ToolSucceeds(tool=self._tool(written)).standing_at(written.source)
        if Tool in parts and (len(parts) == 1 or is_reference(written.value)):
            return self._tool(written)
        return self._one(parts[0], written, key) if len(parts) == 1 else self._one_of(parts, written, key)

    def _one(self, part: object, written: Written, key: str) -> object:
        items, entries = items_of(part), entries_of(part)
        if is_declared(part):
            return self.declared(part, written)
        if items is not None:
            if not isinstance(written.value, list):
                raise written.refused(f"{key}: a list is expected here")
            return tuple(self._value(items, item, key) for item in written.value)
        if entries is not None:
            if not isinstance(written.value, dict):
                raise written.refused(f"{key}: keys and values are expected here")
            return {name: self._value(entries, entry, key) for name, entry in written.value.items()}
        return written.plain()

    def _one_of(self, parts: tuple[object, ...], written: Written, key: str) -> object:
        variants, words = variants_of(parts), words_of(parts)
        known = [*variants, *words]
        lists = [part for part in parts if items_of(part) is not None]
        if lists and isinstance(written.value, list):
            return self._one(lists[0], written, key)
        match written.value:
            case str(word) if word in variants:
                return self.declared(variants[word], Written({}, written.source))
            case dict(entries) if len(entries) == 1 and (word := next(iter(entries))) in variants:
                return self.declared(variants[word], _with_its_key(variants[word], entries[word]))
            case dict(entries) if variants and JsonValue not in parts and set(entries) & set(variants):
                raise written.refused(f"{key}: one of {', '.join(entries)} is too many")
            case dict(entries) if variants and JsonValue not in parts:
                wanted = next(iter(entries), "")
            case str(word) if (variants or words) and word not in words and {str, JsonValue}.isdisjoint(parts):
                wanted = word
            case str(word) if word in words:
                return word
            case _ if variants and {str, Tool, JsonValue}.isdisjoint(parts):
                raise written.refused(f"{key}: there are: {', '.join(known)}; {written.plain()!r} is none of them")
            case _:
                return written.plain()
        hint = nearest(wanted, known) or f"; there are: {', '.join(known)}"
        raise written.refused(f"{key}: there is no {wanted!r}{hint}")

    def _tool(self, written: Written) -> Tool:
        if not is_reference(written.value):
            raise written.refused(f"a tool is named `module:function`, not {written.plain()!r}")
        return self._code.tool(str(written.value), written.source)

    def _facts(self, written: Written) -> type[Facts]:
        if not isinstance(written.value, str):
            return facts_from(written)
        if not is_reference(written.value):
            raise written.refused(f"a class of facts is named `module:name`, not {written.value!r}")
        found = self._code.named(written.value, written.source)
        if not (isinstance(found, type) and issubclass(found, Facts)):
            raise written.refused(f"{written.value!r} is not a class of Facts")
        return found

    def _guard(self, written: Written) -> Guard | Callable[[Facts], bool]:
        if is_reference(written.value):
            predicate = self._code.named(str(written.value), written.source)
            if not callable(predicate):
                raise written.refused(f"{written.value!r} is not a function over facts")
            return cast("Callable[[Facts], bool]", predicate)
        if written.value == {}:
            raise written.refused("an empty guard would permit everything: leave out `when` for that")
        if not isinstance(written.value, dict):
            raise written.refused("a guard is written as `fact: value` or `fact: {operator: value}`")
        try:
            guard = cast("Guard", _guards.validate_python(written.plain()))
        except ValidationError as exc:
            raise written.refused(f"guard: {_said(exc.errors()[0]['msg'])}") from exc
        _stand_together(guard, written)
        return guard


def _lines_of(entries: Mapping[str, Written]) -> Iterator[tuple[str, Source]]:
    for key, part in entries.items():
        yield key, part.source
        if isinstance(part.value, dict):
            yield from ((f"{key}.{name}", inner.source) for name, inner in part.value.items())


def _with_its_key(kind: type[Declared], body: Written) -> Written:
    """Read `pressed: "0"` as `pressed: {digits: "0"}`, where there is only one key to write."""
    key = only_key_of(kind)
    if isinstance(body.value, dict) or key is None:
        return body if body.value is not None else Written({}, body.source)
    return Written({key: body}, body.source)


def _stand_together(guard: Guard, written: Written) -> None:
    guard.standing_at(written.source)
    match guard:
        case AllOf(all_of=parts) | AnyOf(any_of=parts):
            for part in parts:
                _stand_together(part, written)
        case Not(not_=part):
            _stand_together(part, written)
        case Compare():
            pass


def _misfit(exc: ValidationError, written: Written) -> PhaseError:
    """Return what the author is told of a declaration that does not fit: one line, with the line it stands in."""
    errors = exc.errors(include_url=False)
    first = errors[0]
    key = str(first["loc"][0]) if first["loc"] else ""
    if first["type"] == "missing":
        return written.refused(f"{exc.title}: the key {key!r} is missing")
    # A value that may be one of several things is refused once for each of them.
    said = dict.fromkeys(_said(error["msg"]) for error in errors if error["loc"][:1] == first["loc"][:1])
    place = written
    for step in first["loc"]:
        match place.value, step:
            case dict(entries), str() if step in entries:
                place = entries[step]
            case list(items), int() if step < len(items):
                place = items[step]
            case _:
                break
    return place.refused(f"{key or exc.title}: {', or '.join(said)}")


def _said(message: str) -> str:
    return message.removeprefix("Value error, ")
