"""Times of day: "las nueve y media", "las diez menos cuarto", "las tres de la tarde", "21:30", "mediodía"."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import time

from voiceagent.language.spanish.numerals import with_numerals
from voiceagent.language.spanish.plain import without_hesitations

__all__ = ["spoken_time", "time_of_day"]

_HOUR = r"(?P<hour>\d{1,2})"
_PART = (
    r"(?: ?(?P<part>de la (?:manana|tarde|noche|madrugada)|del mediodia|[ap]\.? ?m\b\.?"
    r"|por la (?:manana|tarde|noche)))?"
)
_MINUTES = r"(?:(?P<sign> y| con| menos)? (?P<step>media|\d{1,2})(?! ?(?:de (?!la)|euros?|personas?|dias?)))?"
_WORD = re.compile(r"\b(?:12 (?:del? )?)?(?P<word>mediodia|medianoche|media noche|medio dia)\b")
_WRITTEN = re.compile(rf"(?<![\d:.]){_HOUR}[:.](?P<minute>[0-5]\d)(?![\d:])(?: ?h(?:oras)?\b)?{_PART}")
_ON_THE_CLOCK = re.compile(rf"\b(?:las?|a eso de las?|sobre las?) {_HOUR}(?: en punto)?{_MINUTES}{_PART}")
_WITH_PART = re.compile(rf"(?<![\d:.]){_HOUR}{_MINUTES}{_PART.removesuffix('?')}")
_ALONE = re.compile(rf"^(?:(?:bueno|vale|si|mejor),? )*{_HOUR}{_MINUTES}(?:,? por favor)?[.!]?$")
_FORMS = (_WORD, _WRITTEN, _ON_THE_CLOCK, _WITH_PART, _ALONE)
_PART_OF_THE_DAY = re.compile(r"\b(?P<part>(?:de|por|esta|a) (?:la )?(?:manana|tarde|noche|madrugada))\b")
_RANGE = re.compile(r"\b\d{1,2}(?:[:.]\d\d)? (?:o|a|hasta) (?:a )?(?:las? )?\d|\bentre las? \d")
_TAKEN_BACK = re.compile(r"\b(?:no|en vez de|en lugar de) (?:a )?las? \d{1,2}(?:[:.]\d\d)?(?: y (?:media|cuarto))?\b")
_ONE = re.compile(r"\bla (?:una|1)\b")
_QUARTER = re.compile(r"\b(y|menos) cuarto\b")


def time_of_day(text: str) -> time | None:
    """Return the only time of day in `text`, to the minute, or None where there is none or where several differ.

    Without "de la mañana" or "de la tarde" an hour before seven is in the afternoon, and twelve is noon.
    """
    said = _ONE.sub("la una hora", " ".join(without_hesitations(text).split()))
    numerals = with_numerals(_QUARTER.sub(r"\1 15", said)).replace("la 1 hora", "la 1")
    numerals = _TAKEN_BACK.sub(" ", numerals.strip(" .!?¿¡"))
    if _RANGE.search(numerals):
        return None
    beside = _PART_OF_THE_DAY.search(numerals)
    found = list(dict.fromkeys(_times(numerals, beside["part"] if beside else None)))
    return found[0] if len(found) == 1 else None


def spoken_time(moment: time) -> str:
    """Return "las 9 y media de la mañana", "la 1 y 5 de la tarde"."""
    hour = moment.hour % 12 or 12
    minutes = {0: "", 15: " y cuarto", 30: " y media"}.get(moment.minute, f" y {moment.minute}")
    if moment.hour < 6:
        part = "de la madrugada"
    elif moment.hour < 12:
        part = "de la mañana"
    else:
        part = "de la tarde" if moment.hour < 20 else "de la noche"
    return f"{'la' if hour == 1 else 'las'} {hour}{minutes} {part}"


def _times(numerals: str, part: str | None) -> Iterator[time]:
    """Yield every time in the text; what one form has taken is not there for the next."""
    for form in _FORMS:
        for match in form.finditer(numerals):
            yield from _time(match, part)
        numerals = form.sub(" | ", numerals)


def _time(match: re.Match[str], part: str | None) -> Iterator[time]:
    groups = match.groupdict()
    if "word" in groups:
        yield time(0 if "noche" in groups["word"] else 12)
        return
    said, minute = int(groups["hour"]), int(groups.get("minute") or 0)
    step = groups.get("step")
    minutes = (30 if step == "media" else int(step)) if step else minute
    before = (groups.get("sign") or "").strip() == "menos"
    hour = said if said > 12 or not said else _in_half(said, groups.get("part") or part)
    if hour < 24 and minutes < 60:
        yield time((hour - (before and minutes > 0)) % 24, (60 - minutes) % 60 if before else minutes)


def _in_half(said: int, part: str | None) -> int:
    """Return the hour of the day for an hour on the dial, 1 to 12."""
    if part is None:
        later = said == 12 or said < 7
    elif part.startswith("a") and "m" in part and "manana" not in part:
        later = False  # a.m.
    elif part.startswith("p") and "por" not in part:
        later = True  # p.m.
    elif "noche" in part:
        later = said >= 6 and said != 12
    else:
        later = "tarde" in part or ("mediodia" in part)
    return said % 12 + (12 if later else 0)
