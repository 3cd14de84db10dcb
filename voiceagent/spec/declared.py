"""Declarations: parts of a flow that cannot change and know where they were written."""

from __future__ import annotations

import inspect
import os
from collections.abc import Mapping
from pathlib import Path
from types import FrameType
from typing import Self

import pydantic
from pydantic import BaseModel, ConfigDict, PrivateAttr

from voiceagent.errors import Source

__all__ = ["Declared", "author_frame", "written_at"]

# As they are imported, and not where links to them lead: that is what frames say.
_OWN_CODE = tuple(f"{Path(file).parent}{os.sep}" for file in (__file__, pydantic.__file__))


def author_frame() -> FrameType | None:
    """Return the innermost frame that is neither ours nor pydantic's."""
    frame = inspect.currentframe()
    while frame is not None:
        file = frame.f_code.co_filename
        if not file.startswith(_OWN_CODE) and not file.startswith("<"):
            return frame
        frame = frame.f_back
    return None


def written_at() -> Source:
    """Return the file and line that the author's code has come to."""
    frame = author_frame()
    return Source(frame.f_code.co_filename, frame.f_lineno) if frame is not None else Source("<unknown>")


class Declared(BaseModel):
    """A frozen part of a flow. Unknown keys are refused; `source` says where it stands."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True, defer_build=True)

    _source: Source = PrivateAttr(default_factory=written_at)

    _lines: Mapping[str, Source] | None = PrivateAttr(default=None)

    @property
    def source(self) -> Source:
        """File and line of the declaration."""
        return self._source

    def source_of(self, *way: str) -> Source:
        """File and line of a field, or of an entry of one; where that is not known, of the declaration."""
        return (self._lines or {}).get(".".join(way), self._source)

    def standing_at(self, source: Source, lines: Mapping[str, Source] | None = None) -> Self:
        """Say where this was written, for what was not written in Python; return it.

        `lines` says so of its fields, and, as `field.entry`, of the entries of mappings.
        """
        self._source, self._lines = source, lines
        return self
