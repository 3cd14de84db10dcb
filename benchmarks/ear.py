"""An ear: when what an agent has sent is heard, through a jitter buffer, and how often it ran dry in mid-sentence."""

from __future__ import annotations

from collections import deque

__all__ = ["JITTER_MS", "SENTENCE_GAP_MS", "Ear"]

JITTER_MS = 40
"""Audio that is kept back before a sentence begins to be played, as a telephone's jitter buffer does."""
SENTENCE_GAP_MS = 400
"""Silence after which something else is being said: what comes sooner should have come before the ear ran dry."""
_NS = 1_000_000


class Ear:
    """What one caller hears. Time is an argument, in ns of one monotonic clock."""

    __slots__ = ("_ends_ns", "_jitter_ns", "_marks", "_taken_back", "heard_from_ns", "underruns")

    def __init__(self, *, jitter_ms: int = JITTER_MS) -> None:
        self._jitter_ns = jitter_ms * _NS
        self._ends_ns = 0
        self._marks: deque[tuple[int, str]] = deque()
        """(when everything before it has been played, name)."""
        self._taken_back = True
        self.heard_from_ns: int | None = None
        """When the agent was first heard since `listen_anew`."""
        self.underruns = 0
        """Times that it ran dry and more of the same sentence came."""

    def hear(self, length_ns: int, now_ns: int) -> None:
        """Take audio of this length, to be played after what came before."""
        if self._taken_back or now_ns > self._ends_ns:
            dry_ns = now_ns - self._ends_ns
            if not self._taken_back and dry_ns < SENTENCE_GAP_MS * _NS:
                self.underruns += 1
            self._ends_ns = now_ns + self._jitter_ns
        if self.heard_from_ns is None:
            self.heard_from_ns = self._ends_ns
        self._taken_back = False
        self._ends_ns += length_ns

    def mark(self, name: str) -> None:
        """Take a mark, to be sent back once everything before it has been played."""
        self._marks.append((self._ends_ns, name))

    def clear(self, now_ns: int) -> None:
        """Forget what has not been played: the marks that wait for it are due at once."""
        self._ends_ns = min(self._ends_ns, now_ns)
        self._taken_back = True
        self._marks = deque((now_ns, name) for _, name in self._marks)

    def played(self, now_ns: int) -> list[str]:
        """Return the marks that are to go back by now, in their order, each of them once."""
        due: list[str] = []
        while self._marks and self._marks[0][0] <= now_ns:
            due.append(self._marks.popleft()[1])
        return due

    def listen_anew(self) -> None:
        """Forget that the agent was heard: the next audio is an answer to something else."""
        self.heard_from_ns = None

    def quiet_ms(self, now_ns: int) -> int:
        """Return how long nothing has been heard; negative while something is still to be played."""
        return (now_ns - self._ends_ns) // _NS
