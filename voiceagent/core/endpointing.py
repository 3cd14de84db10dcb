"""Endpointing: how long a caller must be silent before it is the agent's turn.

The base values are the field's (500-600 ms); the others follow from what the phase expects: nobody who has read out
four of eight digits is finished, and nobody who has said a clear yes needs waiting for.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from voiceagent.core.sealing import handles_in
from voiceagent.language import Completeness, Language
from voiceagent.spec.expects import Choice, Digits, Expects, FreeSpeech, SpokenAmount, SpokenDate, SpokenTime, YesNo

__all__ = ["COMPLETE_SLOT_MS", "INCOMPLETE_MS", "Patience", "patience_after"]

COMPLETE_SLOT_MS = 300
"""After all that was asked for nobody needs waiting for."""
_COMPLETE_MS = 500
_OPEN_MS = 700
INCOMPLETE_MS = 1_100
"""After what cannot be all: everybody may think about how it goes on."""


_WORD = re.compile(r"[\w']+")
_MARKS = " .,;:!?…"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait after the last sound of voice, and why."""

    ms: int
    reason: str


_all_digits = Patience(COMPLETE_SLOT_MS, "all digits are there")


def patience_after(
    text: str, *, expects: Sequence[Expects], language: Language, digits_missing: int | None = None
) -> Patience:
    """Return how much silence ends the turn after these words.

    `digits_missing` is how many digits the slot that is being filled still needs, where digits are sealed.
    """
    for expected in expects:
        judged = _slot(expected, text, language, digits_missing)
        if judged is not None:
            return judged
    match language.completeness(text):
        case Completeness.COMPLETE:
            return Patience(_COMPLETE_MS, "the sentence is complete")
        case Completeness.INCOMPLETE:
            return Patience(INCOMPLETE_MS, "the sentence is not finished")
        case Completeness.OPEN:
            return Patience(_OPEN_MS, "nothing in the words decides it")


def _slot(expected: Expects, text: str, language: Language, digits_missing: int | None) -> Patience | None:
    match expected:
        case Digits(length=length):
            return _digits(length, text, language, digits_missing)
        case YesNo():
            complete = language.yes_no(text) is not None
        case SpokenAmount():
            complete = language.amount(text) is not None
        case Choice(options=options):
            words = " ".join(_WORD.findall(text.casefold()))
            forms = (" ".join(_WORD.findall(form.casefold())) for forms in options.values() for form in forms)
            complete = any(f" {form} " in f" {words} " for form in forms if form)
        case SpokenDate() | SpokenTime() | FreeSpeech():
            # These may go on ("March fourteenth … nineteen eighty seven", "nine … thirty"): judged like any words.
            return None
    if not complete or language.completeness(text) is Completeness.INCOMPLETE:
        return None  # "two hundred and" is an amount too
    return Patience(COMPLETE_SLOT_MS, f"the {expected.name} is complete")


def _digits(length: int | None, text: str, language: Language, digits_missing: int | None) -> Patience | None:
    sealed = sum(handle.count for handle in handles_in(text))
    if sealed:
        if digits_missing is None:
            return Patience(INCOMPLETE_MS, "more digits may follow")
        if digits_missing:
            return Patience(INCOMPLETE_MS, f"{digits_missing} digits are missing")
        return _all_digits if text.rstrip(_MARKS).endswith("⟩") else None
    spans = [span for span in language.digit_spans(text) if span.digits]
    spoken = sum(len(span.digits) for span in spans)
    if not spoken:
        return None
    if length is None or spoken < length:
        return Patience(INCOMPLETE_MS, "digits are missing")
    # "…two two seven, no wait": whoever goes on after the last digit has not finished.
    ends_in_digits = spans[-1].end >= len(text.rstrip(_MARKS))
    return _all_digits if spoken == length and ends_in_digits else None
