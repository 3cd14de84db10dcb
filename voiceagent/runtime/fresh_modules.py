"""Fresh modules: an agent that is loaded once more is made of its files as they are now."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.machinery import SOURCE_SUFFIXES, FileFinder, ModuleSpec, SourceFileLoader
from types import CodeType, ModuleType

__all__ = ["PREFIX", "FreshSource", "from_source_only"]

PREFIX = "voiceagent_agent_"
"""Of the names under which agents are imported; each load has one of its own, and so has modules of its own."""


class FreshSource(SourceFileLoader):
    """Compiles the source, always.

    Bytecode in `__pycache__` is told from its source by the second and the length: two edits in one second, such as one
    digit for another, would show the first for the second.
    """

    def get_code(self, fullname: str) -> CodeType:
        """Return what the file says now."""
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)


class _Finder:
    """Finds the modules below an agent's package, looking into its folder every time; all else is found as always."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is None or not fullname.startswith(PREFIX):
            return None
        found = (FileFinder(folder, (FreshSource, SOURCE_SUFFIXES)).find_spec(fullname, target) for folder in path)
        return next((spec for spec in found if spec is not None), None)


_finder = _Finder()


def from_source_only() -> None:
    """From now on the modules of agents are what their files say."""
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
