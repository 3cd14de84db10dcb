"""Sealing: secret digits are taken out of what the caller says or presses before anything else sees them.

In a sensitive phase every digit is sealed. What is left in the words is a handle with a shape, `⟨pin#1: 4 digits⟩`;
the digits themselves go to the call's vault. The plan is made here, without the digits; the edge carries it out.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from voiceagent.spec.expects import Digits

__all__ = ["Handle", "Sealing", "SealingState", "handle_text", "handles_in", "with_each_handle_once"]

_HANDLE = re.compile(r"⟨(?P<handle>(?P<slot>[A-Za-z_][A-Za-z0-9_]*)#\d+): (?P<count>\d+) digits?⟩")


@dataclass(frozen=True, slots=True)
class Handle:
    """A secret as it stands in words."""

    handle: str
    slot: str
    count: int


def handle_text(handle: str, count: int) -> str:
    """Return what stands in the words in place of `count` digits."""
    return f"⟨{handle}: {count} digit{'' if count == 1 else 's'}⟩"


def with_each_handle_once(text: str) -> str:
    """Return a text in which every handle stands only where it was mentioned last, with all its digits."""
    last = {match["handle"]: match.start() for match in _HANDLE.finditer(text)}
    once = _HANDLE.sub(lambda match: match[0] if last[match["handle"]] == match.start() else "", text)
    return " ".join(once.split())


def handles_in(text: str) -> tuple[Handle, ...]:
    """Return the handles that stand in a text, in order."""
    return tuple(Handle(m["handle"], m["slot"], int(m["count"])) for m in _HANDLE.finditer(text))


@dataclass(frozen=True, slots=True)
class Sealing:
    """Which handle the next digits belong to: published by the core, carried out at the edge."""

    slots: tuple[tuple[str, int], ...]
    """(handle, how many digits it still takes), in the order in which they fill up; 0 takes any number."""
    counts: tuple[tuple[str, int], ...]
    """(handle, digits it already holds), within this turn."""
    any_order: bool = False
    """The answers are given a second time, so a run that fits exactly one slot is taken for that one."""

    def plan(self, lengths: Sequence[int]) -> list[list[tuple[str, int, int]]]:
        """Divide runs of digits among the handles.

        Returns for each run a list of (handle, digits taken from the run, digits the handle then holds).
        """
        counts = dict(self.counts)
        room = dict(self.slots)
        order = self._order(lengths)
        runs: list[list[tuple[str, int, int]]] = []
        for length in lengths:
            parts: list[tuple[str, int, int]] = []
            left = length
            while left:
                handle = order[0]
                last = len(order) == 1 or room[handle] == 0
                taken = left if last else min(left, room[handle])
                counts[handle] = counts.get(handle, 0) + taken
                parts.append((handle, taken, counts[handle]))
                left -= taken
                room[handle] = max(0, room[handle] - taken)
                if not last and not room[handle]:
                    order.pop(0)
            runs.append(parts)
        return runs

    def _order(self, lengths: Sequence[int]) -> list[str]:
        order = [handle for handle, _ in self.slots]
        exact = [handle for handle, room in self.slots if lengths and room == lengths[0]]
        if self.any_order and not self.counts and len(exact) == 1:
            order.remove(exact[0])
            order.insert(0, exact[0])
        return order


@dataclass(slots=True)
class SealingState:
    """What has been collected in one entry of a sensitive phase."""

    expected: tuple[Digits, ...]
    serial: int
    """Number of the handles of the coming turn; rises over the whole call, so that no handle is ever used twice."""
    asks: str | None = None
    """Slot that the last reply asked for, where the model said so."""
    any_order: bool = False
    """A tool has used the answers and the phase goes on: they may be given anew, one or all of them."""
    filled: dict[str, str] = field(default_factory=dict[str, str])
    counts: dict[str, int] = field(default_factory=dict[str, int])
    handles: dict[str, None] = field(default_factory=dict[str, None])
    """Every handle made in this phase, in order."""

    def sealing(self) -> Sealing:
        """Return where the next digits go."""
        slots = self._in_order()
        return Sealing(
            slots=tuple((self._handle(slot.name), self._room(slot)) for slot in slots),
            counts=tuple((self._handle(name), count) for name, count in self.counts.items()),
            any_order=self.any_order and self.asks is None,
        )

    def collected(self, handle: str, count: int) -> None:
        """Note that a handle now holds `count` digits."""
        self.counts[handle.partition("#")[0]] = count
        self.handles[handle] = None

    def turn_over(self) -> None:
        """Close the handles of this turn: what is said next is another answer."""
        for slot in self.expected:
            count = self.counts.get(slot.name, 0)
            if count and (slot.length is None or count == slot.length):
                self.filled[slot.name] = self._handle(slot.name)
        if self.counts:
            self.serial += 1
            self.counts.clear()
            self.asks = None

    def start_over(self) -> None:
        """A tool has used the answers and the phase goes on."""
        self.filled.clear()
        self.any_order = True

    def missing(self) -> int | None:
        """Return how many digits the slot that is being filled still needs; None where that is not known."""
        begun = [slot for slot in self.expected if self.counts.get(slot.name)]
        if not begun or any(slot.length is None for slot in begun):
            return None
        return sum(self._room(slot) for slot in begun)

    def _room(self, slot: Digits) -> int:
        return 0 if slot.length is None else max(0, slot.length - self.counts.get(slot.name, 0))

    def _in_order(self) -> tuple[Digits, ...]:
        """Slots in the order in which they take digits: the one asked for, the open ones, then the rest."""
        asked = [slot for slot in self.expected if slot.name == self.asks]
        open_ = [slot for slot in self.expected if slot.name not in self.filled and slot.name != self.asks]
        filled = [slot for slot in self.expected if slot.name in self.filled and slot.name != self.asks]
        order = [*asked, *open_, *filled]
        begun = [slot for slot in order if self.counts.get(slot.name) and self._room(slot)]
        full = [slot for slot in order if self.counts.get(slot.name) and not self._room(slot)]
        fresh = [slot for slot in order if slot not in begun and slot not in full]
        return (*begun, *fresh, *full) or (Digits(),)

    def _handle(self, name: str) -> str:
        return f"{name}#{self.serial}"
