"""Times of day: "half past nine", "quarter to ten", "nine oh five in the evening", "14:30", "noon"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import time

from voiceagent.language.english.dates import MONTHS
from voiceagent.language.english.hesitations import without_hesitations
from voiceagent.language.english.numerals import with_numerals
from voiceagent.language.english.pronouns import PRONOUN_ONE

__all__ = ["spoken_time", "time_of_day"]

_HOUR = r"(?P<hour>\d{1,2})"
_OF_SOMETHING = (
    r"(?![\d:.,]*\d|st\b|nd\b|rd\b|th\b|[ -]*(?:dollars?|bucks?|cents?|people|persons?|guests?|of us|percent|%|times?"
    r"|seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?))"
)
_PART = r"(?P<part>[ap]\.? ?m\b\.?|in the (?:morning|afternoon|evening)|at night|tonight)"
_CLOCK = r"(?: ?o'? ?clock)"

_WORD = re.compile(r"\b(?:12 )?(?P<word>noon|midday|midnight)\b")
_RELATIVE = re.compile(
    rf"(?<!from )(?<!between )\b(?P<step>half|quarter|\d{{1,2}})(?P<unit> minutes?)? "
    rf"(?P<side>past|after|to|before|till|til|of) {_HOUR}{_OF_SOMETHING}{_CLOCK}?(?: ?{_PART})?"
)
_HALF = re.compile(rf"\bhalf {_HOUR}{_OF_SOMETHING}(?: ?{_PART})?")
_WITH_PART = re.compile(rf"(?<![\d:.]){_HOUR}(?:[:. ]?(?P<minute>\d\d))?{_CLOCK}? ?{_PART}")
_WRITTEN = re.compile(rf"(?<![\d:.]){_HOUR}:(?P<minute>\d\d)(?![\d:])")
_ON_THE_CLOCK = re.compile(rf"(?<![\d:.]){_HOUR}{_CLOCK}")
_MILITARY = re.compile(r"\b(?P<hour>\d\d?)(?P<minute>\d\d) hours\b")
_TWO_NUMBERS = re.compile(rf"(?<![\d:$] )(?<![\d:.$]){_HOUR} (?P<minute>[0-5]\d){_OF_SOMETHING}")
_CUED = re.compile(rf"\b(?:at|around|about) {_HOUR}(?P<minute>[0-5]\d)?{_OF_SOMETHING}")
_BARE = re.compile(
    rf"^(?:(?:well|okay|ok|yes|yeah|maybe|say|let's say|i'd say|oh),? )*{_HOUR}(?:,? (?:please|then|sharp))?$"
)
_FORMS = (
    _WORD, _RELATIVE, _HALF, _WITH_PART, _WRITTEN, _ON_THE_CLOCK, _MILITARY, _TWO_NUMBERS, _CUED, _BARE,
)  # fmt: skip

_PART_OF_THE_DAY = re.compile(r"(?<!good )\b(?P<part>morning|afternoon|evening|tonight|night)\b")
_RANGE = re.compile(
    r"\b\d{1,2}(?:[: ]\d\d)?(?: ?[ap]\.? ?m\b\.?)? (?:or|and|to|until|till|through) (?:(?:at|maybe|about) )?\d"
)
_TAKEN_BACK = re.compile(
    r"\b(?:not|instead of|rather than) (?:at )?(?:half past |quarter (?:past|to) )?\d{1,2}(?:[: ]\d\d)?\b"
)
_MONTH = rf"(?:{'|'.join(MONTHS).lower()})"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_YEAR_OF_A_DATE = re.compile(rf"\b({_MONTH},?(?: the)? {_DAY}|{_DAY}(?: of)? {_MONTH}),? (?:19|20) \d\d\b")
_OH = re.compile(r"(?<=\d )(?:oh|o) (?=\d\b)")
_ZERO_FIRST = re.compile(r"\b(?:oh|0) (?=[1-9](?!\d))|\boh (?=\d00\b)")
_MINUTES_OF_A_STEP = {"half": 30, "quarter": 15}
_BEFORE = frozenset({"to", "before", "till", "til", "of"})


def time_of_day(text: str) -> time | None:
    """Return the only time of day in `text`, to the minute, or None where there is none or where several differ.

    Where nothing tells the half of the day the hours 7 to 11 are in the morning and 12 to 6 in the afternoon, as
    people speak of appointments. A bare number is a time only where it stands alone or after "at".
    """
    plain = _TAKEN_BACK.sub(" ", _YEAR_OF_A_DATE.sub(r"\1", _numerals(text)))
    parts = list(dict.fromkeys(match["part"] for match in _PART_OF_THE_DAY.finditer(plain)))
    said = list(dict.fromkeys(_times(plain, parts[0] if len(parts) == 1 else None)))
    return said[0] if len(said) == 1 else None


def spoken_time(moment: time) -> str:
    """Return "9 30 in the morning", "2 o'clock in the afternoon", "noon"; seconds are not said."""
    if moment.minute == 0 and moment.hour in (0, 12):
        return "midnight" if moment.hour == 0 else "noon"
    return f"{_on_the_dial(moment.hour, moment.minute)} {_part_of(moment.hour)}"


def _on_the_dial(hour: int, minute: int) -> str:
    """Return what a twelve-hour clock shows: "9 30", "9 oh 5", "9 o'clock"."""
    shown = (hour - 1) % 12 + 1
    if minute == 0:
        return f"{shown} o'clock"
    return f"{shown} oh {minute}" if minute < 10 else f"{shown} {minute}"


def _part_of(hour: int) -> str:
    if hour == 0 or hour >= 22:
        return "at night"
    if hour < 12:
        return "in the morning"
    return "in the afternoon" if hour < 18 else "in the evening"


def _numerals(text: str) -> str:
    plain = PRONOUN_ONE.sub(" ", without_hesitations(text)).lower().replace("’", "'").replace("-", " ")
    plain = " ".join(with_numerals(plain).split()).strip(" .,;!?")
    plain = _OH.sub("0", plain)  # nine oh five: 9 05
    return re.sub(r"\b0 (?=[1-9]\b)", "0", _ZERO_FIRST.sub("0", plain)).replace("a quarter", "quarter")


def _times(plain: str, part: str | None) -> Iterator[time]:
    """Yield every time in the text, none for a choice or a range; what one form has taken is not there for the next."""
    if _RANGE.search(_RELATIVE.sub("|", plain)):
        return
    for form in _FORMS:
        for match in form.finditer(plain):
            yield from _time(match, part)
        plain = form.sub(" | ", plain)


def _time(match: re.Match[str], part: str | None) -> Iterator[time]:
    groups = match.groupdict()
    if "word" in groups:
        yield time(0 if groups["word"] == "midnight" else 12)
        return
    said, minute = int(groups["hour"]), int(groups.get("minute") or 0)
    is_before = False
    if match.re is _HALF:
        minute = 30  # British: "half nine" is half past
    if match.re is _RELATIVE:
        step = _step(groups)
        if step is None:
            return
        is_before = groups["side"] in _BEFORE
        minute = 60 - step if is_before else step
    if match.re is _MILITARY or said > 12 or (said == 0 and match.re is _WRITTEN):
        hour = said
    elif said:
        hour = _in_half(said, groups.get("part") or part)
    else:
        return
    if hour < 24 and minute < 60:
        yield time((hour - is_before) % 24, minute)


def _step(groups: dict[str, str]) -> int | None:
    """Return the minutes in "ten past"; None where it may be a range, such as "two to five"."""
    minutes = _MINUTES_OF_A_STEP.get(groups["step"])
    if minutes is not None:
        return None if groups["step"] == "half" and groups["side"] != "past" else minutes
    minutes = int(groups["step"])
    plausible = groups["unit"] or minutes % 5 == 0
    return minutes if 0 < minutes < 30 and plausible else None


def _in_half(said: int, part: str | None) -> int:
    """Return the hour of the day for an hour on the dial, 1 to 12."""
    at_night = part is not None and part.endswith("night")
    if part is None:
        later = said == 12 or said < 7
    elif part.startswith("a") and part not in ("afternoon", "at night"):
        later = False  # a.m.
    else:
        later = not part.endswith("morning") and not (at_night and (said == 12 or said < 6))
    return said % 12 + (12 if later else 0)
