"""How punctual the telephone company itself was: a late one measures its own machine, not the agent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Lateness"]


@dataclass(frozen=True, slots=True)
class Lateness:
    """How late a call's own frames were: above some 20 ms the machine is too busy to measure anything."""

    max_ms: int
    p99_ms: int
    """Ninety-nine of a hundred frames were not later."""

    @classmethod
    def of(cls, frames_by_ms: Mapping[int, int]) -> Lateness:
        """Sum up a histogram: how many frames were late by how many milliseconds."""
        if not frames_by_ms:
            return cls(0, 0)
        worst_first = sorted(frames_by_ms, reverse=True)
        later, allowed = 0, sum(frames_by_ms.values()) // 100
        p99_ms = worst_first[0]
        for p99_ms in worst_first:
            later += frames_by_ms[p99_ms]
            if later > allowed:
                break
        return cls(worst_first[0], p99_ms)
