"""Slots: the value a caller gave for one of the things the agent must learn."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date

from voiceagent.core.sealing import Handle, handle_text, handles_in
from voiceagent.language import Language
from voiceagent.spec.expects import Choice, Digits, Expects, FreeSpeech, SpokenAmount, SpokenDate, YesNo
from voiceagent.spec.guided import Slot

__all__ = ["value_of"]

SlotValue = str | bool


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
        case YesNo():
            return language.yes_no(text) if asked else None
        case Choice(options=options):
            return _choice(options, text)
        case FreeSpeech():
            return text.strip() or None if asked else None


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


def _choice(options: Mapping[str, tuple[str, ...]], text: str) -> str | None:
    """Return the option that was named last: "from checking to savings" is about savings, "not savings" is not."""
    words = text.casefold()
    named: list[tuple[int, str]] = []
    for option, forms in options.items():
        for form in forms:
            pattern = re.compile(rf"(?<![\w])(not\s+(?:to\s+|the\s+|my\s+)*)?{re.escape(form.casefold())}(?![\w])")
            named += [(match.start(), option) for match in pattern.finditer(words) if match[1] is None]
    return max(named)[1] if named else None
