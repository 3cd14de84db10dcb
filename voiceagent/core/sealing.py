"""Sealing: secret digits are taken out of what the caller says or presses before anything else sees them.

In a sensitive phase every digit is sealed. What is left in the words is a handle with a shape, `⟨pin#1: 4 digits⟩`;
the digits themselves go to the call's vault. The plan is made here, without the digits; the edge carries it out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field

from voiceagent.language import DigitSpan, Language
from voiceagent.spec.expects import Digits

_WORD = re.compile(r"\w+")
_FEW_WORDS = 5
UNASKED = "digits#0"
"""Handle of numbers that belong to no answer."""

__all__ = [
    "UNASKED",
    "Handle",
    "Sealing",
    "SealingState",
    "digits_at_end",
    "handle_text",
    "handles_in",
    "with_each_handle_once",
    "with_words_changed",
    "without_handles",
]

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


def without_these(text: str, handles: Collection[str]) -> str:
    """Return a text in which an ellipsis stands for secrets that are gone."""
    return _HANDLE.sub(lambda match: "…" if match["handle"] in handles else match[0], text)


def each_handle_once(texts: Sequence[str]) -> list[str]:
    """Return texts that follow each other, with every handle only where it was mentioned last of all."""
    kept: list[str] = []
    later: set[str] = set()
    for text in reversed(texts):
        kept.append(with_each_handle_once(_without(text, later)))
        later |= {match["handle"] for match in _HANDLE.finditer(text)}
    return kept[::-1]


def _without(text: str, handles: Collection[str]) -> str:
    return _HANDLE.sub(lambda match: "" if match["handle"] in handles else match[0], text)


def without_handles(text: str) -> str:
    """Return the words alone."""
    return _HANDLE.sub(" ", text)


def with_words_changed(text: str, change: Callable[[str], str]) -> str:
    """Return a text in which `change` was made to all that stands around handles; they stay as they are."""
    parts: list[str] = []
    at = 0
    for match in _HANDLE.finditer(text):
        parts += [change(text[at : match.start()]), match[0]]
        at = match.end()
    return "".join([*parts, change(text[at:])])


def handles_in(text: str) -> tuple[Handle, ...]:
    """Return the handles that stand in a text, in order."""
    return tuple(Handle(m["handle"], m["slot"], int(m["count"])) for m in _HANDLE.finditer(text))


def digits_at_end(text: str, language: Language) -> int:
    """Return how many digits of a number that may go on the words end with, those behind a handle included."""
    unsealed = _HANDLE.sub(lambda match: "0" * int(match["count"]), text)
    spans = language.digit_spans(unsealed)
    return len(spans[-1].digits) if spans and language.goes_on(unsealed[spans[-1].end :]) else 0


@dataclass(frozen=True, slots=True)
class Sealing:
    """Which handle the next digits belong to: published by the core, carried out at the edge."""

    slots: tuple[tuple[str, int], ...]
    """(handle, how many digits it still takes), in the order in which they fill up; 0 takes any number."""
    counts: tuple[tuple[str, int], ...]
    """(handle, digits it already holds), within this turn."""
    any_order: bool = False
    """The answers are given a second time, so a run that fits exactly one slot is taken for that one."""
    anew: tuple[tuple[str, str, int], ...] = ()
    """(handle, the one that takes its place, digits): a run of so many digits is the whole answer, given anew."""
    unasked: bool = False
    """Nobody has asked for a secret here: only what is plainly one is sealed, all other numbers stay."""
    broken_off: tuple[tuple[str, str, int, int], ...] = ()
    """(handle, the one of the turn before, digits that one holds, digits it lacks): a run of so many completes it."""
    long_from: int | None = None
    """Where nobody asks for a secret: a number of so many digits is one, whatever it is."""
    said_before: int = 0
    """Digits that the turn's words end with so far: a card number is often said with pauses."""
    keys_shown: int = 0
    """Where nobody asks for a secret: how many more keys of this run may be seen."""

    def secrets(self, text: str, spans: Sequence[DigitSpan], language: Language) -> Sequence[DigitSpan]:
        """Return the numbers in `text` that are to be sealed: all of them where a secret is asked for.

        Where it is not, those that are as long as a slot and stand after its name ("my pin is 1234"), those that
        fill several slots exactly, one right after the other ("4519227, 1234"), and long ones.
        """
        if not self.unasked:
            return spans
        named = self._named(text, spans)
        long = [
            number for number in self._whole_numbers(text, spans, language) if self._is_long(text, number, language)
        ]
        apart = [span for span in named if not any(number.start <= span.start < number.end for number in long)]
        return sorted([*apart, *long])

    def hides_partial(self, text: str, language: Language) -> bool:
        """Return whether nothing is shown of words that are still being said: they hold a secret, or half of one."""
        spans = language.digit_spans(text)
        may_become_long = self.long_from is not None and sum(len(span.digits) for span in spans) >= self.long_from // 2
        return not self.unasked or may_become_long or bool(self.secrets(text, spans, language))

    def hides_keys(self, count: int) -> bool:
        """Return whether the next keys, so many at once, are sealed."""
        return not self.unasked or (self.long_from is not None and count > self.keys_shown)

    def key_handle(self, count: int) -> str:
        """Return the handle of the next keys, which are sealed."""
        return UNASKED if self.unasked else self.plan([count])[0][0][0]

    def _whole_numbers(self, text: str, spans: Sequence[DigitSpan], language: Language) -> list[DigitSpan]:
        """Return the numbers with those taken together that are one: "4111 1111, and then, 1111 1111"."""
        numbers: list[DigitSpan] = []
        for span in spans:
            if numbers and language.goes_on(text[numbers[-1].end : span.start]):
                begun = numbers.pop()
                numbers.append(DigitSpan(begun.start, span.end, begun.digits + span.digits))
            else:
                numbers.append(span)
        return numbers

    def _is_long(self, text: str, number: DigitSpan, language: Language) -> bool:
        if self.long_from is None:
            return False
        before = self.said_before if language.goes_on(text[: number.start]) else 0
        return before + len(number.digits) >= self.long_from

    def _named(self, text: str, spans: Sequence[DigitSpan]) -> list[DigitSpan]:
        found: list[DigitSpan] = []
        for at, span in enumerate(spans):
            before = _WORD.findall(text[spans[at - 1].end if at else 0 : span.start].lower())
            named = any(
                room == len(span.digits) and set(handle.partition("#")[0].split("_")) & set(before)
                for handle, room in self.slots
            )
            follows = at > 0 and spans[at - 1] in found and len(before) <= _FEW_WORDS
            fits = any(room == len(span.digits) for _, room in self.slots)
            together = len(self.slots) > 1 and sum(room for _, room in self.slots) == len(span.digits)
            if named or together or (follows and fits):
                found.append(span)
        return found

    def plan(self, lengths: Sequence[int]) -> list[list[tuple[str, int, int]]]:
        """Divide runs of digits among the handles.

        A run belongs to one handle, by its length where that tells; it is divided only where it fills several handles
        exactly, in their order. Returns for each run a list of (handle, digits taken from the run, digits the handle
        then holds).
        """
        filling = _Filling(self)
        return [
            [(UNASKED, length, length)] if self._belongs_nowhere(length) else filling.take(length, lengths[at + 1 :])
            for at, length in enumerate(lengths)
        ]

    def _belongs_nowhere(self, count: int) -> bool:
        """Whether a number that nobody asked for is neither what one slot takes nor what all of them together do."""
        rooms = [room for _, room in self.slots]
        return self.unasked and not (count in rooms or (len(rooms) > 1 and sum(rooms) == count))


class _Filling:
    """The handles while runs are put into them."""

    def __init__(self, sealing: Sealing) -> None:
        self._order = [handle for handle, _ in sealing.slots]
        self._room = dict(sealing.slots)
        self._counts = dict(sealing.counts)
        self._anew = {handle: (other, digits) for handle, other, digits in sealing.anew}
        self._broken_off = {handle: (other, held, lacks) for handle, other, held, lacks in sealing.broken_off}
        self._any_order = sealing.any_order and not sealing.counts
        self._alone = True

    def take(self, length: int, rest: Sequence[int]) -> list[tuple[str, int, int]]:
        """Return the parts of one run; `rest` are the runs of the same utterance after it."""
        if not length:
            return []
        first, alone = self._order[0], self._alone and not rest
        self._alone = False
        room = self._room[first]
        if room == length or self._completes(room, (length, *rest)):
            return self._whole(first, length)
        other = self._fitting(length, rest)
        if other is not None and (self._any_order or not alone):
            return self._whole(other, length)
        if length > 1 and first in self._broken_off and self._broken_off[first][2] == length:
            continued, held, _ = self._broken_off.pop(first)
            self._close(first)
            return [(continued, length, held + length)]
        again = next((handle for handle, (_, digits) in self._anew.items() if digits == length > 1), None)
        if again is not None:
            replacing, _ = self._anew.pop(again)
            self._close(again)
            return [(replacing, length, length)]
        return self._divided(length) or self._whole(first, length)

    def _completes(self, room: int, lengths: Sequence[int]) -> bool:
        """Whether the first of several runs together are just as long as there is room."""
        total = 0
        for length in lengths:
            total += length
            if total >= room:
                return total == room
        return False

    def _fitting(self, length: int, rest: Sequence[int]) -> str | None:
        """Return the only untouched slot of this length, where what follows finds a slot of its own length too."""
        free = [handle for handle in self._order if not self._counts.get(handle) and self._room[handle]]
        fitting = [handle for handle in free if self._room[handle] == length]
        if len(fitting) != 1:
            return None
        others = sorted(self._room[handle] for handle in free if handle != fitting[0])
        for next_length in rest:
            if next_length not in others:
                return None
            others.remove(next_length)
        return fitting[0]

    def _divided(self, length: int) -> list[tuple[str, int, int]]:
        """Return the parts of a run that fills several handles one after the other; none where it does not."""
        handles: list[str] = []
        total = 0
        for handle in self._order:
            if not self._room[handle]:
                break
            handles.append(handle)
            total += self._room[handle]
            if total == length:
                return [part for handle in handles for part in self._whole(handle, self._room[handle])]
        return []

    def _whole(self, handle: str, length: int) -> list[tuple[str, int, int]]:
        self._counts[handle] = self._counts.get(handle, 0) + length
        limited = self._room[handle] > 0
        self._room[handle] = max(0, self._room[handle] - length)
        if limited and not self._room[handle]:
            self._close(handle)
        return [(handle, length, self._counts[handle])]

    def _close(self, handle: str) -> None:
        self._room[handle] = 0
        self._any_order = False
        if len(self._order) > 1 and handle in self._order:
            self._order.remove(handle)


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
    _of_slot: dict[str, str] = field(default_factory=dict[str, str])
    """The handle a slot has in this turn, where it is not the one with the turn's number."""
    _broken_off: dict[str, tuple[str, int]] = field(default_factory=dict[str, tuple[str, int]])
    """Handle and digits of an answer that the last turn with digits left too short."""

    def sealing(self) -> Sealing:
        """Return where the next digits go."""
        slots = self._in_order()
        return Sealing(
            slots=tuple((self._handle(slot.name), self._room(slot)) for slot in slots),
            counts=tuple((self._handle(name), count) for name, count in self.counts.items()),
            any_order=self.any_order and self.asks is None,
            anew=tuple(
                (self._handle(slot.name), f"{slot.name}#{self._newest() + 1}", slot.length)
                for slot in slots
                if slot.length and self.counts.get(slot.name)
            ),
            broken_off=tuple(
                (self._handle(slot.name), *self._broken_off[slot.name], self._lacks(slot))
                for slot in slots
                if slot.name in self._broken_off and not self.counts.get(slot.name)
            ),
        )

    def collected(self, handle: str, count: int) -> None:
        """Note that a handle now holds `count` digits."""
        slot = handle.partition("#")[0]
        self.counts[slot] = count
        self._of_slot[slot] = handle
        self.handles[handle] = None

    def turn_over(self) -> None:
        """Close the handles of this turn: what is said next is another answer, or the rest of one left too short."""
        for slot in self.expected:
            count = self.counts.get(slot.name, 0)
            if not count:
                continue
            self._broken_off.pop(slot.name, None)
            if slot.length is None or count == slot.length:
                self.filled[slot.name] = self._handle(slot.name)
            elif count < slot.length:
                self._broken_off[slot.name] = (self._handle(slot.name), count)
        if self.counts:
            self.serial = self._newest() + 1
            self.counts.clear()
            self._of_slot.clear()
            self.asks = None

    def start_over(self) -> None:
        """A tool has used the answers and the phase goes on."""
        self.filled.clear()
        self._broken_off.clear()
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
        return self._of_slot.get(name, f"{name}#{self.serial}")

    def _lacks(self, slot: Digits) -> int:
        return (slot.length or 0) - self._broken_off[slot.name][1]

    def _newest(self) -> int:
        """Return the highest number that a handle of this phase has, or will have in this turn."""
        return max([self.serial, *(int(handle.partition("#")[2]) for handle in self.handles)])
