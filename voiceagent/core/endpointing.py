"""Endpointing: how long a caller must be silent before it is the agent's turn.

What the phase expects decides first: nobody who has read out four of eight digits is finished, and nobody who has said
a clear yes needs waiting for. Else the words do, and they say little, since a recognizer makes a sentence of whatever
stands before a pause. `make bench-turns` tells how many are cut off, and how much longer waiting would spare them it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date

from voiceagent.core.sealing import handles_in
from voiceagent.language import Completeness, Language
from voiceagent.spec.expects import Choice, Digits, Expects, FreeSpeech, SpokenAmount, SpokenDate, SpokenTime, YesNo

__all__ = ["ANSWER_MS", "COMPLETE_SLOT_MS", "INCOMPLETE_MS", "Patience", "by_sound", "patience_after"]

COMPLETE_SLOT_MS = 300
"""After all that was asked for nobody needs waiting for."""
ANSWER_MS = 400
"""After an answer that a word may follow which changes nothing: "… dollars", "… please"."""
_MORE_MS = 500
"""After an answer that a word may follow which changes it: "nineteen sixty … seven"."""
_ASKED_MS, _COMPLETE_MS = 500, 680
"""A question hands the floor over. A statement may have a second half, and a recognizer makes one of the first alone;
people who go on do so within 0.6 s, which is known 0.1 s later."""
_OPEN_MS = 950
_HALF_SAID_MS = 900
"""After an answer that people go on with: "two hundred … and fifty", "March fourteenth … nineteen eighty seven"."""
_PLAIN_ANSWER_WORDS = 4
"""More of them tell something beside yes or no, and may go on telling."""
INCOMPLETE_MS = 1_100
"""After what cannot be all: everybody may think about how it goes on."""
_SURELY_DONE, _HARDLY_DONE = 0.9, 0.5
"""In between a model's word is worth no more than none."""
_BOTH_DONE_MS = 540
"""After what is complete by its words and by its sound: the gap between two sentences sounds like that, too."""


_ANY_TWO_DAYS = (date(2023, 3, 7), date(2031, 10, 22))
"""A day whose year was said is the same whatever day it is today; without it, it is so in every year."""

_WORD = re.compile(r"[\w']+")
_MARKS = " .,;:!?…"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait after the last sound of voice, and why."""

    ms: int
    reason: str
    free: bool = False
    """Nothing that was asked for has decided it: how it was said may count too."""
    holds: bool = False
    """What was asked for is still to come: the caller keeps the floor, and what they have said is not answered."""


_all_digits = Patience(COMPLETE_SLOT_MS, "all digits are there")


def patience_after(
    text: str,
    *,
    expects: Sequence[Expects],
    language: Language,
    digits_missing: int | None = None,
    reads_back: bool = False,
) -> Patience:
    """Return how much silence ends the turn after these words.

    `digits_missing` is how many digits the slot that is being filled still needs, where digits are sealed;
    `reads_back`: something was read back, which is answered in any words, and by a yes or a no above all.
    """
    judged = _slots(text, expects, language, digits_missing) or _free(text, expects, language, reads_back=reads_back)
    awaited = next((expected for expected in expects if isinstance(expected, Digits)), None)
    if awaited is None or digits_missing == 0 or _has_digits(text, language) or not language.looks_for_it(text):
        return judged
    return replace(judged, reason=f"the {awaited.name} is still to come", holds=True)


def _slots(text: str, expects: Sequence[Expects], language: Language, digits_missing: int | None) -> Patience | None:
    for expected in expects:
        judged = _slot(expected, text, language, digits_missing)
        if judged is not None:
            return judged
    # Only now: eight digits may be too many for the first answer and all of the second, or a date.
    lengths = [expected.length for expected in expects if isinstance(expected, Digits) and expected.length is not None]
    if lengths and not handles_in(text) and _digits_in(text, language) > max(lengths):
        return Patience(INCOMPLETE_MS, "these are more digits than were asked for")
    return None


def _free(text: str, expects: Sequence[Expects], language: Language, *, reads_back: bool) -> Patience:
    match language.completeness(text):
        case Completeness.COMPLETE if reads_back and _is_plain_answer(text, language):
            return Patience(ANSWER_MS, "it answers what was read back")
        case Completeness.COMPLETE if language.hands_over(text):
            return Patience(_ASKED_MS, "the sentence is complete, and asks for an answer", free=True)
        case Completeness.COMPLETE if not reads_back and _is_no_answer(text, expects, language):
            return Patience(INCOMPLETE_MS, "it is no answer to what was asked", free=True)
        case Completeness.COMPLETE if _is_plain_answer(text, language):
            return Patience(_ASKED_MS, "it is a yes or a no", free=True)
        case Completeness.COMPLETE:
            return Patience(_COMPLETE_MS, "the sentence is complete", free=True)
        case Completeness.INCOMPLETE:
            return Patience(INCOMPLETE_MS, "the sentence is not finished", free=True)
        case Completeness.OPEN:
            return Patience(_OPEN_MS, "nothing in the words decides it", free=True)


def by_sound(patience: Patience, done: float) -> Patience:
    """Return the patience with free speech that sounds finished, or as if it went on.

    It takes words and sound to be done: a sentence that breaks off is waited for however it sounds, since words that
    are missing are certain, and one that sounds as if it went on is, however complete it is.
    """
    if not patience.free or patience.holds:
        return patience
    if done >= _SURELY_DONE and _BOTH_DONE_MS < patience.ms <= _COMPLETE_MS:
        return replace(patience, ms=_BOTH_DONE_MS, reason=f"{patience.reason}; it sounds finished ({done:.2f})")
    if done < _HARDLY_DONE and patience.ms < _OPEN_MS:
        return replace(patience, ms=_OPEN_MS, reason=f"{patience.reason}; it sounds unfinished ({done:.2f})")
    return patience


def _is_no_answer(text: str, expects: Sequence[Expects], language: Language) -> bool:
    """Return whether a number was asked for, and none of it is here.

    A plain "no, thanks" may be meant for another question; "I would" is none, it begins a sentence.
    """
    if not expects or not all(isinstance(e, Digits | SpokenAmount | SpokenDate) for e in expects):
        return False
    first = _WORD.search(text)
    if first and language.yes_no(first[0]) is not None and _is_plain_answer(text, language):
        return False
    is_day = any(isinstance(e, SpokenDate) for e in expects) and language.date(text, _ANY_TWO_DAYS[0]) is not None
    return not is_day and not _has_digits(text, language)


def _is_plain_answer(text: str, language: Language) -> bool:
    return language.yes_no(text) is not None and _words_in(text) <= _PLAIN_ANSWER_WORDS


def _words_in(text: str) -> int:
    return len(_WORD.findall(text))


def _digits_in(text: str, language: Language) -> int:
    return sum(len(span.digits) for span in language.digit_spans(text))


def _has_digits(text: str, language: Language) -> bool:
    return bool(handles_in(text)) or any(span.digits for span in language.digit_spans(text))


def _slot(expected: Expects, text: str, language: Language, digits_missing: int | None) -> Patience | None:
    patience_ms = COMPLETE_SLOT_MS
    match expected:
        case Digits(length=length):
            return _digits(length, text, language, digits_missing)
        case SpokenDate():
            return _date(expected.name, text, language)
        case SpokenAmount():
            complete = language.amount(text) is not None
            if complete and language.number_may_go_on(text):
                return Patience(_HALF_SAID_MS, f"the {expected.name} may go on")
            patience_ms = ANSWER_MS
        case YesNo():
            complete = language.yes_no(text) is not None
        case Choice(options=options):
            words = " ".join(_WORD.findall(text.casefold()))
            forms = (" ".join(_WORD.findall(form.casefold())) for forms in options.values() for form in forms)
            complete = any(f" {form} " in f" {words} " for form in forms if form)
        case SpokenTime() | FreeSpeech():
            # A time may go on ("nine … thirty"): judged like any words.
            return None
    if not complete or language.completeness(text) is Completeness.INCOMPLETE:
        return None  # "two hundred and" is an amount too
    return Patience(patience_ms, f"the {expected.name} is complete")


def _date(name: str, text: str, language: Language) -> Patience | None:
    day, other = (language.date(text, today) for today in _ANY_TWO_DAYS)
    if day is None or other is None or language.completeness(text) is Completeness.INCOMPLETE:
        return None
    if day == other and day.year % 10 == 0:
        return Patience(_MORE_MS, f"the {name} may go on with the last digit of its year")
    if day == other:
        return Patience(ANSWER_MS, f"the {name} is complete")
    if (day.month, day.day) == (other.month, other.day):
        return Patience(_HALF_SAID_MS, f"the {name} may go on with its year")
    return None  # "tomorrow … at nine"


def _digits(length: int | None, text: str, language: Language, digits_missing: int | None) -> Patience | None:
    sealed = sum(handle.count for handle in handles_in(text))
    if sealed:
        if digits_missing is None:
            return Patience(INCOMPLETE_MS, "more digits may follow")
        if digits_missing:
            return Patience(INCOMPLETE_MS, f"{digits_missing} digits are missing")
        return _all_digits if text.rstrip(_MARKS).endswith("⟩") else None
    spans = [span for span in language.digit_spans(text) if span.digits]
    spoken = _digits_in(text, language)
    if not spoken:
        return None
    if length is None or spoken < length:
        return Patience(INCOMPLETE_MS, "digits are missing")
    # "…two two seven, no wait": whoever goes on after the last digit has not finished.
    ends_in_digits = spans[-1].end >= len(text.rstrip(_MARKS))
    return _all_digits if spoken == length and ends_in_digits else None
