"""Finding: one thing that is wrong with a flow, and how it is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from voiceagent.errors import Source

__all__ = ["Finding", "error", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong, or looks wrong, with the line that says so."""

    code: str
    severity: Literal["error", "warning"]
    message: str
    source: Source
    path: tuple[str, ...] = ()
    """Phases on the way to the mistake, where there is a way."""

    def __str__(self) -> str:
        way = f" (by way of {' → '.join(self.path)})" if self.path else ""
        return f"{self.source}: {self.severity}: {self.message}{way} [{self.code}]"


def error(code: str, message: str, source: Source, path: tuple[str, ...] = ()) -> Finding:
    """Return a mistake: the flow may not be called."""
    return Finding(code, "error", message, source, path)


def warning(code: str, message: str, source: Source, path: tuple[str, ...] = ()) -> Finding:
    """Return something that looks wrong, or that could not be looked at."""
    return Finding(code, "warning", message, source, path)
