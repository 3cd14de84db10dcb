"""Code that a flow refers to by name: tools, predicates and facts in the modules of the agent's folder."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from voiceagent.errors import PhaseError, Source, nearest
from voiceagent.spec.tool import Tool

__all__ = ["REFERENCE", "AgentCode", "is_reference"]

REFERENCE = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*[:.][A-Za-z_]\w*$"
"""How code is named: `module:name` or `module.name`, the module as seen from the agent's folder."""


def is_reference(value: object) -> bool:
    """Whether a value has the form of a name of code."""
    return isinstance(value, str) and re.fullmatch(REFERENCE, value) is not None


@dataclass(frozen=True, slots=True)
class AgentCode:
    """The modules in the folder of one agent; they are imported when something in them is asked for."""

    folder: Path
    """The agent's folder, absolute."""
    package: str
    """The name under which the folder is imported."""

    def named(self, reference: str, source: Source, *, below: str = "") -> object:
        """Return what `module:name` refers to; a folder `below` the agent's is looked into first.

        Raises PhaseError, with the place of the reference, where there is no such module or nothing of that name.
        Whatever the module raises when it is imported is raised as it is.
        """
        module, name = re.split(r"[:.](?=\w+$)", reference)
        inside = next((place for place in dict.fromkeys((below, "")) if self._has(place, module)), None)
        if inside is None:
            raise PhaseError(
                f"{reference!r}: there is no module {module!r} in the agent's folder"
                f"{nearest(module, [*self._modules(below), *self._modules('')])}",
                source=source,
            )
        path = ".".join(part for part in (self.package, *Path(inside).parts, module) if part)
        content: Mapping[str, object] = vars(importlib.import_module(path))
        if name not in content:
            public = [known for known in content if not known.startswith("_")]
            raise PhaseError(f"{reference!r}: {module!r} has no {name!r}{nearest(name, public)}", source=source)
        return content[name]

    def tool(self, reference: str, source: Source, *, below: str = "") -> Tool:
        """Return the tool that `module:name` refers to; PhaseError where it is none."""
        found = self.named(reference, source, below=below)
        if not isinstance(found, Tool):
            raise PhaseError(f"{reference!r} is not a tool: it lacks the decorator @tool", source=source)
        return found

    def _has(self, below: str, module: str) -> bool:
        path = self.folder.joinpath(below, *module.split("."))
        return path.with_suffix(".py").is_file() or path.is_dir()

    def _modules(self, below: str) -> list[str]:
        inside = self.folder / below
        return [
            ".".join(file.relative_to(inside).with_suffix("").parts)
            for file in sorted(inside.rglob("*.py"))
            if file.name != "__init__.py"
        ]
