"""What earlier calls have taught the process: how long tools take and how long phrases are."""

from __future__ import annotations

from collections import deque
from statistics import median

__all__ = ["Learned"]

_REMEMBERED = 64


class Learned:
    """Shared by all calls of a process; each call inherits a copy at its start, so that it can be replayed."""

    def __init__(self) -> None:
        self._latencies_ms: dict[str, deque[int]] = {}
        self._phrases_ms: dict[str, int] = {}

    def tool_took(self, tool: str, ms: int) -> None:
        """A run of a tool has ended after this long."""
        self._latencies_ms.setdefault(tool, deque(maxlen=_REMEMBERED)).append(ms)

    def phrase_is(self, text: str, ms: int) -> None:
        """A phrase that was rendered ahead is this long."""
        self._phrases_ms[text] = ms

    @property
    def tool_latency_ms(self) -> dict[str, int]:
        """Tool → median of its last runs."""
        return {tool: int(median(taken)) for tool, taken in sorted(self._latencies_ms.items())}

    @property
    def phrase_ms(self) -> dict[str, int]:
        """Phrase → length."""
        return dict(sorted(self._phrases_ms.items()))
