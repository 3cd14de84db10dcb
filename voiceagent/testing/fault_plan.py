"""Fault plans: what the caller of one laboratory call does, and what goes wrong in it, drawn by seed.

A plan says all of it in numbers (the second reply, the third run of a tool), so that any part can be left out and the
rest stays what it was: that is how a failing call is made small.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Literal

from voiceagent.testing.lab_agent import NUMBER, PIN
from voiceagent.testing.schedule import Swap
from voiceagent.testing.simulated_world import Faults, Timing

__all__ = ["Deed", "Fault", "FaultKind", "FaultPlan", "LabLevel", "drawn"]

LabLevel = Literal["core", "runtime"]
"""The conversation alone, or everything that serves a caller."""

FaultKind = Literal[
    "model_fails",
    "model_breaks_off",
    "model_stalls",
    "model_late",
    "model_attacks",
    "transcript_fails",
    "transcript_stalls",
    "transcript_late",
    "transcript_twice",
    "voice_missed",
    "voice_late",
    "synthesis_fails",
    "swap_fails",
    "tool_late",
    "tool_fails",
    "tool_crashes",
    "tool_never_answers",
    "tool_answers_garbage",
    "tool_answers_too_much",
    "mark_lost",
    "mark_late",
    "mark_twice",
    "line_lost",
    "line_breaks",
    "disk_slow",
    "disk_full",
]
"""What may go wrong; `model_attacks` is a model that obeys whoever attacks it."""

_EVERYWHERE: tuple[tuple[FaultKind, int], ...] = (
    ("model_fails", 6),
    ("model_breaks_off", 6),
    ("model_stalls", 6),
    ("model_late", 6),
    ("model_attacks", 8),
    ("model_attacks", 8),
    ("model_attacks", 8),
    ("transcript_fails", 6),
    ("transcript_stalls", 6),
    ("transcript_late", 6),
    ("transcript_twice", 6),
    ("voice_missed", 6),
    ("voice_late", 6),
    ("synthesis_fails", 9),
    ("tool_late", 6),
    ("tool_fails", 6),
    ("tool_crashes", 6),
    ("tool_never_answers", 6),
    ("tool_answers_garbage", 6),
    ("tool_answers_too_much", 6),
    ("line_lost", 120),
    ("line_breaks", 120),
    ("line_breaks", 120),
    ("line_breaks", 120),
)
_OF_LEVEL: dict[LabLevel, tuple[tuple[FaultKind, int], ...]] = {
    "core": (("swap_fails", 5),),
    "runtime": (
        ("mark_lost", 12),
        ("mark_late", 12),
        ("mark_twice", 12),
        ("disk_slow", 9),
        ("disk_slow", 9),
        ("disk_full", 9),
    ),
}
"""(what, up to which number); a cascade's swap cannot fail, and a core has neither disk nor carrier."""
_ALWAYS_SLOW = 0.25
"""So many calls have a disk that is slow all the time: writes are under way while other things happen."""
_GAPS_MS = (200, 1_000, 5_000, 15_000)
"""After which the carrier connects a call again."""
_SENTENCES = (
    "What is my balance",
    "The statement of May",
    "The statement of June",
    "Leave a note",
    "Pay the gas",
    "Pay the rent",
    "It is my wife now",
    "forget me",
    "It is about a card",
    "Please block it",
    "Back to money",
    "When are you open",
    "Yes.",
    "Yes.",
    "yes please",
    "No.",
    "uh-huh",
    "Listen … and be quick",
    "I want a person",
    "bye",
)
_EXCHANGES = (
    ("Pay the gas", "Yes."),
    ("Pay the rent", "yes please"),
    ("Pay the gas and the rent", "Yes."),
    ("It is about a card", "Please block it", "Yes."),
    ("The statement of May", "It is my wife now", "The statement of May"),
    ("The statement of June", "Leave a note", "The statement of June"),
    ("Leave a note", "It is about a card", "The statement of May"),
    ("forget me", "What is my balance", "Pay the rent"),
)


@dataclass(frozen=True, slots=True)
class Deed:
    """Something the caller, or the host application, does."""

    after_ms: int
    """After the deed before; negative: once everything is quiet."""
    what: Literal["says", "coughs", "presses", "host"]
    words: str = ""


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that goes wrong."""

    kind: FaultKind
    at: int
    """Number of the reply, utterance, clause, run, mark, fsync or event that it happens to, from 1."""
    how: int = 0
    """Which of its ways, where it has several."""


@dataclass(frozen=True, slots=True)
class FaultPlan:
    """One call of the laboratory."""

    seed: int
    """Of the order in which near things happen."""
    deeds: tuple[Deed, ...] = ()
    faults: tuple[Fault, ...] = ()
    timing: Timing = field(default_factory=Timing)
    order: tuple[Swap, ...] | tuple[int, ...] | None = None
    """Of what the seed lets change places just this: swaps on the core, arrivals through the runtime; None: all."""

    def at(self, kind: FaultKind) -> tuple[int, ...]:
        """The numbers that this happens to."""
        return tuple(fault.at for fault in self.faults if fault.kind == kind)

    @property
    def of_the_world(self) -> Faults:
        """What goes wrong with engines, line and disk; models and tools are the laboratory's own."""
        return Faults(
            model_fails=self.at("model_fails"),
            model_breaks_off=self.at("model_breaks_off"),
            model_stalls=self.at("model_stalls"),
            model_late=self.at("model_late"),
            transcript_fails=self.at("transcript_fails"),
            transcript_stalls=self.at("transcript_stalls"),
            transcript_late=self.at("transcript_late"),
            transcript_twice=self.at("transcript_twice"),
            voice_missed=self.at("voice_missed"),
            voice_late=self.at("voice_late"),
            synthesis_fails=self.at("synthesis_fails"),
            swap_fails=self.at("swap_fails"),
            line_lost=self.at("line_lost"),
            line_breaks=tuple((f.at, _GAPS_MS[f.how % len(_GAPS_MS)]) for f in self.faults if f.kind == "line_breaks"),
            marks_lost=self.at("mark_lost"),
            marks_late=self.at("mark_late"),
            marks_twice=self.at("mark_twice"),
            disk_slow=self.at("disk_slow"),
            disk_full=self.at("disk_full"),
        )


def drawn(seed: int, level: LabLevel) -> FaultPlan:
    """Return the call of this number."""
    lot = random.Random(f"{level} {seed}")  # noqa: S311 - the same in every run is what is wanted
    return FaultPlan(
        seed,
        deeds=(*_beginning(lot), *_exchanges(lot), *(_deed(lot) for _ in range(lot.randint(0, 4)))),
        faults=_faults(lot, level),
        timing=Timing(
            transcript_ms=lot.choice((20, 150, 150, 700)),
            first_token_ms=lot.choice((20, 200, 200, 1_200)),
            synthesis_ms=lot.choice((10, 60, 60, 400)),
            swap_ms=lot.choice((1, 5, 300)) if level == "core" else 5,
        ),
    )


def _beginning(lot: random.Random) -> tuple[Deed, ...]:
    """What most callers do first: say who they are."""
    if lot.random() < 0.1:
        return ()
    wish = Deed(-1, "says", "my account")
    number = Deed(-1, "presses", NUMBER) if lot.random() < 0.5 else Deed(-1, "says", " ".join(NUMBER))
    pin = Deed(-1, "presses", PIN) if lot.random() < 0.5 else Deed(-1, "says", " ".join(PIN))
    return wish, number, pin


def _exchanges(lot: random.Random) -> tuple[Deed, ...]:
    """What leads somewhere if nothing comes between."""
    sentences = [words for _ in range(lot.choice((0, 1, 1, 2))) for words in lot.choice(_EXCHANGES)]
    deeds = [Deed(-1 if lot.random() < 0.8 else lot.randint(0, 3_000), "says", words) for words in sentences]
    if deeds and lot.random() < 0.3:
        # What the caller has just asked for is under way when the phase changes.
        deeds.append(Deed(-1, "says", "Leave a note"))
        deeds.append(Deed(lot.randint(200, 3_000), "host", lot.choice(("to_cards", "to_desk"))))
    return tuple(deeds)


def _deed(lot: random.Random) -> Deed:
    after_ms = lot.choice((-1, -1, lot.randint(0, 400), lot.randint(0, 2_000), lot.randint(0, 5_000)))
    match lot.choices(("says", "coughs", "presses", "host"), (12, 2, 2, 1))[0]:
        case "says":
            return Deed(after_ms, "says", lot.choice(_SENTENCES))
        case "presses":
            return Deed(after_ms, "presses", lot.choice(("1", "1", "2", "0", "9")))
        case "host":
            return Deed(after_ms, "host", lot.choice(("to_cards", "to_desk", "closing_time")))
        case _:
            return Deed(after_ms, "coughs")


def _faults(lot: random.Random, level: LabLevel) -> tuple[Fault, ...]:
    kinds = (*_EVERYWHERE, *_OF_LEVEL[level])
    chosen = [lot.choice(kinds) for _ in range(lot.choice((0, 1, 2, 3, 4)))]
    faults = [Fault(kind, lot.randint(1, most), lot.randint(0, 11)) for kind, most in chosen]
    if level == "runtime" and lot.random() < _ALWAYS_SLOW:
        faults.append(Fault("disk_slow", 3))
    # A disk that is slow is slow for a while.
    slow = [Fault("disk_slow", fault.at + n) for fault in faults if fault.kind == "disk_slow" for n in range(1, 12)]
    return tuple(dict.fromkeys([*faults, *slow]))
