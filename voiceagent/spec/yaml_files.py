"""The YAML files of an agent, put together: what each value is, and in which file and line it stands."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.located_yaml import LocatedYaml, Place

__all__ = ["INCLUDE", "MAX_FLOW_BYTES", "Written", "place_in", "read_files"]

MAX_FLOW_BYTES = 1024 * 1024
"""All files of a flow together, one that is included twice counted twice; a larger flow is refused."""

_MOST_INCLUDES = 2_000

INCLUDE = "include"
"""The only key of a mapping that stands for the content of another file."""


@dataclass(frozen=True, slots=True)
class Written:
    """A value as its author wrote it."""

    value: str | int | float | bool | list[Written] | dict[str, Written] | None
    """Quoted text is text; unquoted `true`, `false`, `null` and numbers are what they look like."""
    source: Source

    def plain(self) -> JsonValue:
        """Return the value without its places."""
        match self.value:
            case list(items):
                return [item.plain() for item in items]
            case dict(entries):
                return {key: entry.plain() for key, entry in entries.items()}
            case scalar:
                return scalar

    def refused(self, message: str) -> PhaseError:
        """Return the error that says what is wrong here."""
        return PhaseError(message, source=self.source)


def read_files(folder: Path, name: str) -> Written:
    """Read a file of the agent's folder and everything that it includes.

    `{include: other.yaml}` stands for the content of that file, named as seen from the agent's folder; where both it
    and what it stands in are lists, its items are put in that place. Raises PhaseError, with file and line, for files
    that are missing, not YAML, outside of the folder, too large together, or include one another in a circle.
    """
    return _Files(folder.resolve()).read(name, asked_at=None, within=())


def place_in(folder: Path, name: str, asked_at: Source | None) -> Path:
    """Return the path of a file below a folder; PhaseError where there can be none of that name."""
    try:
        path = (folder / name).resolve()
        path.is_file()
    except (OSError, ValueError, RuntimeError) as exc:  # too long, impossible, or a link that leads to itself
        raise PhaseError(f"no file can be called {name!r}", source=asked_at) from exc
    if not path.is_relative_to(folder):
        raise PhaseError(f"{name!r} leads out of the agent's folder", source=asked_at)
    return path


class _Files:
    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._bytes_left = MAX_FLOW_BYTES
        self._includes = 0
        self._read: dict[str, LocatedYaml] = {}

    def read(self, name: str, *, asked_at: Source | None, within: tuple[str, ...]) -> Written:
        path = place_in(self._folder, name, asked_at)
        if asked_at is not None and not path.is_file():
            raise PhaseError(f"there is no file {name!r}{nearest(name, self._names())}", source=asked_at)
        here = path.relative_to(self._folder).as_posix()
        if here in within:
            circle = " → ".join((*within[within.index(here) :], here))
            raise PhaseError(f"files include one another in a circle: {circle}", source=asked_at)
        self._includes += 1
        if self._includes > _MOST_INCLUDES:
            raise PhaseError(f"the flow includes more than {_MOST_INCLUDES} files", source=asked_at)
        yaml = self._yaml(path, here, asked_at)
        return self._written(yaml, yaml.json_at(()), (), (*within, here))

    def _yaml(self, path: Path, here: str, asked_at: Source | None) -> LocatedYaml:
        self._bytes_left -= path.stat().st_size if path.is_file() else 0
        if self._bytes_left < 0:
            message = f"the flow is larger than {MAX_FLOW_BYTES // 1024} KiB, with all that it includes"
            raise PhaseError(message, source=asked_at or Source(str(path)))
        if here not in self._read:
            self._read[here] = LocatedYaml.read(path, wrong=PhaseError, max_bytes=MAX_FLOW_BYTES)
        return self._read[here]

    def _names(self) -> list[str]:
        return [
            file.relative_to(self._folder).as_posix() for file in sorted(self._folder.rglob("*.yaml")) if file.is_file()
        ]

    def _written(self, yaml: LocatedYaml, value: JsonValue, place: Place, within: tuple[str, ...]) -> Written:
        source = yaml.source(place)
        match value:
            case dict() if INCLUDE in value:
                return self._included(value, source, within)
            case dict():
                entries = {key: self._written(yaml, part, (*place, key), within) for key, part in value.items()}
                return Written(entries, source)
            case list():
                items: list[Written] = []
                for number, part in enumerate(value):
                    item = self._written(yaml, part, (*place, number), within)
                    included = isinstance(part, dict) and INCLUDE in part
                    items += item.value if included and isinstance(item.value, list) else [item]
                return Written(items, source)
            case scalar:
                return Written(scalar, source)

    def _included(self, value: dict[str, JsonValue], source: Source, within: tuple[str, ...]) -> Written:
        name = value[INCLUDE]
        if len(value) > 1:
            others = ", ".join(key for key in value if key != INCLUDE)
            raise PhaseError(f"{INCLUDE!r} stands alone: it cannot be mixed with {others}", source=source)
        if not isinstance(name, str) or not name:
            raise PhaseError(f"{INCLUDE!r} needs the name of a file", source=source)
        return self.read(name, asked_at=source, within=within)
