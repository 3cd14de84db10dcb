"""YAML that remembers on which line everything stands, so that an error can say where to look.

Every scalar stays text: a phone number keeps its plus, a PIN its leading zero, and `no` is not False. Only where
JSON is asked for, with `json_at`, unquoted `true`, `false`, `null` and numbers are what they look like.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import yaml
from pydantic import BaseModel, JsonValue, ValidationError
from yaml.reader import ReaderError

from voiceagent.errors import AuthorError, ScriptError, Source, nearest

__all__ = ["MAX_FILE_BYTES", "LocatedYaml", "Place", "read_text"]

MAX_FILE_BYTES = 256 * 1024
"""A larger file is refused unread."""

_MAX_DEPTH = 16
_MOST_VALUES = 100_000
"""Three times what five hundred phases need; a megabyte of commas would be looked at for half a minute."""
_JSON_SCALAR = re.compile(r"true|false|null|-?(0|[1-9][0-9]{0,17})(\.[0-9]{1,17})?")

_HALF_A_CHARACTER = re.compile("[\ud800-\udfff]")
_SAID: Mapping[str, str] = {
    "dict_type": "keys are expected here, written `key: value`",
    "list_type": "a list is expected here, written `[one, two]` or with a dash before each",
    "tuple_type": "a list is expected here, written `[one, two]` or with a dash before each",
    "model_type": "keys are expected here, written `key: value`",
    "string_type": "a text is expected here",
}
"""What is wrong with a value of another type, for somebody who does not program; by pydantic's name for it."""

Place = tuple[str | int, ...]
"""The way from the top of a file to one of its values: keys and positions."""

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class LocatedYaml:
    """A file's content and the lines of its parts."""

    file: str
    content: JsonValue
    """Text, lists and mappings; no numbers, no booleans, no null."""
    lines: dict[Place, int]
    unquoted: Mapping[Place, None]
    """The scalars that were written without quotes."""
    wrong: type[AuthorError] = ScriptError
    """What is raised where the content does not fit."""

    @classmethod
    def read(
        cls, path: Path, *, wrong: type[AuthorError] = ScriptError, max_bytes: int = MAX_FILE_BYTES
    ) -> LocatedYaml:
        """Read a file; raises `wrong` where it is missing or too large, and for all that `parse` refuses."""
        return cls.parse(read_text(path, wrong=wrong, max_bytes=max_bytes), str(path), wrong=wrong)

    @classmethod
    def parse(cls, text: str, file: str, *, wrong: type[AuthorError] = ScriptError) -> LocatedYaml:
        """Read the text of a file.

        Raises `wrong`, with file and line, where it is empty, not YAML, too deep, has a key twice, or uses tags
        (`!!python/…`) or aliases: those let a few lines of text unfold to gigabytes.
        """
        try:
            _refuse_bombs(text, file, wrong)
            node = yaml.compose(text, Loader=yaml.BaseLoader)
        except ReaderError as exc:
            line = text.count("\n", 0, exc.position) + 1
            raise wrong(f"is not YAML: it has the character #x{exc.character:04x}", source=Source(file, line)) from exc
        except yaml.MarkedYAMLError as exc:
            line = exc.problem_mark.line + 1 if exc.problem_mark else 0
            hint = "; inside { } and [ ] a text with , ? or : in it needs quotes" if "got '?'" in str(exc) else ""
            raise wrong(f"is not YAML: {exc.problem}{hint}", source=Source(file, line)) from exc
        except yaml.YAMLError as exc:
            raise wrong(f"is not YAML: {' '.join(str(exc).split())}", source=Source(file)) from exc
        if node is None:
            raise wrong("is empty", source=Source(file))
        reading = _Reading(file, wrong)
        return cls(file, reading.plain(node, ()), reading.lines, reading.unquoted, wrong)

    def source(self, place: Place) -> Source:
        """Return file and line of a value, or of the nearest thing around it."""
        while place not in self.lines:
            place = place[:-1]
        return Source(self.file, self.lines[place])

    def at(self, place: Place) -> JsonValue:
        """Return what stands at a place, every scalar as text."""
        found = self.content
        for part in place:
            match found, part:
                case dict(), str():
                    found = found[part]
                case list(), int():
                    found = found[part]
                case _:
                    raise KeyError(part)
        return found

    def items_at(self, place: Place) -> list[Place]:
        """Return where the items of a list stand; what is no list is the only item."""
        found = self.at(place)
        return [(*place, number) for number in range(len(found))] if isinstance(found, list) else [place]

    def json_at(self, place: Place) -> JsonValue:
        """Return what stands at a place as JSON: unquoted numbers, `true`, `false`, `null` and nothing are no text."""
        match self.at(place):
            case dict(mapping):
                return {key: self.json_at((*place, key)) for key in mapping}
            case list(items):
                return [self.json_at((*place, number)) for number in range(len(items))]
            case "" if place in self.unquoted:
                return None
            case str(text) if place in self.unquoted and _JSON_SCALAR.fullmatch(text):
                return json.loads(text)
            case scalar:
                return scalar

    def check(self, model: type[Model], content: JsonValue, place: Place) -> Model:
        """Return `content`, which stands at `place`, as a model.

        Raises `wrong` for the first thing that does not fit, with its line and, for an unknown key, the nearest
        one that exists.
        """
        try:
            return model.model_validate(content)
        except ValidationError as exc:
            # A misspelt key is both unknown and missing; the author wants to see the one that was written.
            errors = exc.errors(include_url=False)
            first = min(errors, key=lambda error: error["type"] != "extra_forbidden")
        inside = first["loc"]
        said = _SAID.get(first["type"], first["msg"].removeprefix("Value error, "))
        message = f"{'.'.join(map(str, inside))}: {said}" if inside else said
        if first["type"] == "extra_forbidden":
            known = _keys_at(model, inside[:-1])
            message = f"unknown key {inside[-1]!r}{nearest(str(inside[-1]), known)}"
            if " " in str(inside[-1]):
                message += "; inside { } a text with a comma in it needs quotes"
        elif first["type"] == "missing":
            message = f"the key {inside[-1]!r} is missing"
        raise self.wrong(message, source=self.source((*place, *inside)))


def read_text(path: Path, *, wrong: type[AuthorError], max_bytes: int) -> str:
    """Return the text of a file; raises `wrong` where it is missing, larger than `max_bytes` or not UTF-8."""
    file = str(path)
    try:
        with path.open("rb") as opened:
            raw = opened.read(max_bytes + 1)
    except OSError as exc:
        raise wrong(f"cannot be read: {exc.strerror}", source=Source(file)) from exc
    if len(raw) > max_bytes:
        raise wrong(f"is larger than {max_bytes // 1024} KiB", source=Source(file))
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
        raise wrong("is not UTF-8 text", source=Source(file, line)) from exc


def _refuse_bombs(text: str, file: str, wrong: type[AuthorError]) -> None:
    """Raise `wrong` for aliases, tags and deep nesting, before anything is built or recursed into."""
    depth = values = 0
    for event in yaml.parse(text, Loader=yaml.BaseLoader):
        values += isinstance(event, yaml.NodeEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent):
            complaint = "aliases (*name) are not allowed"
        elif isinstance(event, yaml.ScalarEvent | yaml.CollectionStartEvent) and event.tag is not None:
            complaint = f"tags ({event.tag.replace('tag:yaml.org,2002:', '!!')}) are not allowed"
        elif isinstance(event, yaml.ScalarEvent) and _HALF_A_CHARACTER.search(event.value):
            complaint = "holds half a character (\\ud800 to \\udfff), which is no text"
        elif values > _MOST_VALUES:
            complaint = f"holds more than {_MOST_VALUES} values"
        elif depth > _MAX_DEPTH:
            complaint = f"is nested more than {_MAX_DEPTH} deep"
        else:
            continue
        line = event.start_mark.line + 1 if event.start_mark else 0
        raise wrong(complaint, source=Source(file, line))


class _Reading:
    """One file while it is taken apart."""

    def __init__(self, file: str, wrong: type[AuthorError]) -> None:
        self._file = file
        self._wrong = wrong
        self.lines: dict[Place, int] = {}
        self.unquoted: dict[Place, None] = {}

    def plain(self, node: yaml.Node, place: Place) -> JsonValue:
        """Return a node as text, lists and mappings."""
        self.lines[place] = node.start_mark.line + 1
        match node:
            case yaml.ScalarNode():
                if node.style is None:
                    self.unquoted[place] = None
                return node.value
            case yaml.SequenceNode():
                return [self.plain(item, (*place, number)) for number, item in enumerate(node.value)]
            case yaml.MappingNode():
                return self._mapping(node, place)
            case _:
                raise self._wrong("holds an unknown kind of node", source=Source(self._file, self.lines[place]))

    def _mapping(self, node: yaml.MappingNode, place: Place) -> JsonValue:
        content: dict[str, JsonValue] = {}
        for key, value in node.value:
            source = Source(self._file, key.start_mark.line + 1)
            if not isinstance(key, yaml.ScalarNode):
                raise self._wrong("a key must be text", source=source)
            if key.value in content:
                raise self._wrong(f"the key {key.value!r} stands here twice", source=source)
            content[key.value] = self.plain(value, (*place, key.value))
            self.lines[(*place, key.value)] = source.line  # where the author looks, even if the value begins below
        return content


def _keys_at(model: type[BaseModel], inside: tuple[int | str, ...]) -> list[str]:
    for name in inside:
        below = model.model_fields[str(name)].annotation
        if not (isinstance(below, type) and issubclass(below, BaseModel)):
            return []
        model = below
    return [field.alias or name for name, field in model.model_fields.items()]
