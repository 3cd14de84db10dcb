"""Slots: the value a caller gave for one of the things the agent must learn."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import date

from voiceagent.core.sealing import Handle, handle_text, handles_in
from voiceagent.language import Language, Relation
from voiceagent.spec.expects import Choice, Digits, Expects, FreeSpeech, SpokenAmount, SpokenDate, SpokenTime, YesNo
from voiceagent.spec.guided import Slot

__all__ = ["SlotValue", "begun_in", "completed", "value_of"]

SlotValue = str | bool
_MARKS = " .,;:!?…"


def begun_in(slot: Slot, text: str, *, language: Language) -> str | None:
    """Return the digits of a number that `text` leaves too short; None where the slot is another, or sealed."""
    if not isinstance(slot.expects, Digits) or slot.expects.length is None or handles_in(text):
        return None
    digits = language.digits(text)
    return digits if 1 < len(digits) < slot.expects.length else None


def completed(slot: Slot, begun: str, rest: str) -> str | None:
    """Return the number of two parts that were given one after the other; None where they do not make one."""
    length = slot.expects.length if isinstance(slot.expects, Digits) else None
    return begun + rest if length == len(begun) + len(rest) else None


def value_of(
    slot: Slot, text: str, *, language: Language, today: date, asked: bool, others: tuple[str, ...] = ()
) -> SlotValue | None:
    """Return what `text` says about the slot, as the tool's argument; None where it says nothing.

    `asked`: the agent has just asked for it, so a bare answer counts. `others` are the names of the other slots: a
    handle that carries one of them is not this slot's.
    """
    return _read(slot.expects, slot.name, text, language=language, today=today, asked=asked, others=others)


def _read(
    expects: Expects,
    name: str,
    text: str,
    *,
    language: Language,
    today: date,
    asked: bool,
    others: tuple[str, ...],
) -> SlotValue | None:
    match expects:
        case Digits():
            return _digits(expects, name, text, language, others)
        case SpokenAmount():
            amount = language.amount(text)
            return str(amount) if amount is not None and amount > 0 else None
        case SpokenDate():
            day = language.date(text, today)
            return day.isoformat() if day else None
        case SpokenTime():
            moment = language.time_of_day(text)
            return moment.isoformat("minutes") if moment else None
        case YesNo():
            return language.yes_no(text) if asked else None
        case Choice(options=options):
            return _choice(options, name, text, language)
        case FreeSpeech():
            # Recognizers put a full stop after anything.
            return text.strip().rstrip(_MARKS) or None if asked else None


def _digits(expects: Digits, name: str, text: str, language: Language, others: tuple[str, ...]) -> str | None:
    """Return the digits, or the handle that stands for them, if there are as many as expected."""

    def fits(handle: Handle) -> bool:
        return expects.length is None or handle.count == expects.length

    handles = [handle for handle in handles_in(text) if fits(handle)]
    own = [handle for handle in handles if handle.slot == name] or [h for h in handles if h.slot not in others]
    if own:
        return handle_text(own[-1].handle, own[-1].count)
    digits = "" if handles_in(text) else language.digits(text)
    return digits if digits and expects.length in (None, len(digits)) else None


def _choice(options: Mapping[str, tuple[str, ...]], name: str, text: str, language: Language) -> str | None:
    """Return the option that was named last and is not refused: "not savings" is not about savings.

    A slot called `to_…` or `from_…` takes what something goes to, or comes from: `to_account` is "checking" in "to
    checking from savings", and in "out of savings" where there are only these two.
    """
    named = _named(options, text, language)
    directions = _DIRECTIONS.get(name.partition("_")[0])
    if directions is None:
        meant = [option for option, relation in named if relation is not Relation.REFUSED]
        return meant[-1] if meant else None
    own, opposite = directions
    away = {option for option, relation in named if relation is opposite}
    meant = [option for option, relation in named if relation is own] or [
        option for option, relation in named if relation is Relation.NONE
    ]
    if meant:
        return meant[-1] if meant[-1] not in away else None
    left = [option for option in options if option not in away]
    return left[0] if away and len(options) == 2 and len(left) == 1 else None


_DIRECTIONS = {
    "to": (Relation.GOAL, Relation.SOURCE),
    "from": (Relation.SOURCE, Relation.GOAL),
}


def _named(options: Mapping[str, tuple[str, ...]], text: str, language: Language) -> Sequence[tuple[str, Relation]]:
    """Return the options that are named, in order, and how each is meant."""
    words = text.casefold()
    found = {
        match.start(): (option, language.relation(words[: match.start()]))
        for option, forms in options.items()
        for form in sorted(forms, key=len)
        for match in re.finditer(rf"(?<![\w]){re.escape(form.casefold())}(?![\w])", words)
    }
    return [found[at] for at in sorted(found)]
