"""Dates: "catorce de marzo de 1987", "14/3/1987", "el martes que viene", "dentro de dos semanas"."""

from __future__ import annotations

import re
from calendar import monthrange
from collections.abc import Iterator, Sequence
from datetime import date as Date  # noqa: N812 - `date` is the name of the function here
from datetime import timedelta

from voiceagent.language.calendar_days import calendar_day, days_of_this_and_next_month, full_year, nearest_day
from voiceagent.language.spanish.digits import digits
from voiceagent.language.spanish.numerals import with_numerals
from voiceagent.language.spanish.plain import without_hesitations

__all__ = ["MONTHS", "date"]

MONTHS = (
    "enero", "febrero", "marzo", "abril", "mayo", "junio", "julio", "agosto", "septiembre", "octubre", "noviembre",
    "diciembre",
)  # fmt: skip
_MONTH_NUMBERS = {**{name: value for value, name in enumerate(MONTHS, 1)}, "setiembre": 9}
_MONTH = r"(?P<month>" + "|".join(_MONTH_NUMBERS) + r")\b"
_YEAR = r"(?:,?(?: de| del)?(?: ano)? (?P<year>\d{4}|\d{2})\b(?!º|:| ?(?:horas?|de la|euros?)))?"
_NAMED = re.compile(rf"(?<![\d/.,-])(?P<day>\d{{1,2}})º?(?: dia)?(?: de)? {_MONTH}{_YEAR}")
_FIRST = re.compile(r"\b1(?:º|ª|er|ero)(?=\W)")
_ISO = re.compile(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_SLASHED = re.compile(r"(?<!\d)(\d{1,2})[/.-](\d{1,2})[/.-](\d{4}|\d{2})(?!\d)")
_LEFT_OVER = re.compile(
    r"\|[\s,]*(?:(?:de|del|ano)\s+)*\d+\b(?!:| ?(?:de la|horas?|euros?))|(?<![\d:])\d+[\s,]*(?:de\s+)*\|"
)
"""A number right beside a date is a part of it that was not understood."""
_PAUSED = re.compile(rf"({_MONTH.replace('?P<month>', '?:')})[.…]+ (?=(?:del? )?(?:19|20|mil|dos mil|\d))")
"""A recognizer ends a sentence wherever the caller pauses: "tres de octubre. De 1992"."""
_BARE_DAY = re.compile(
    r"\b(?:el|del|dia|el dia|al) (?P<day>\d{1,2})(?: (?:de|del) (?P<which>este|mes que viene|proximo) ?(?:mes)?)?"
    r"(?=\s*(?:[.,;!?]|$|(?:por favor|a las|entonces|me|por la)\b))"
)
_WEEKDAYS = ("lunes", "martes", "miercoles", "jueves", "viernes", "sabado", "domingo")
_WEEKDAY = rf"(?P<weekday>{'|'.join(_WEEKDAYS)})"
_UNIT = r"(?P<unit>dias?|semanas?|quincenas?|mes(?:es)?|anos?)"
_RELATIVE = re.compile(
    rf"\b(?:(?P<word>pasado manana|anteayer|antes de ayer|hoy|ayer|(?<!la )(?<!de la )manana(?! por manana))"
    rf"|(?:dentro de|en) (?P<ahead>\d{{1,3}}) {_UNIT}|hace (?P<ago>\d{{1,3}}) {_UNIT.replace('unit', 'past_unit')}"
    rf"|(?:(?P<last>pasado) )?{_WEEKDAY}(?P<after> pasado)?)\b"
)
_WORDS = {"hoy": 0, "manana": 1, "pasado manana": 2, "ayer": -1, "anteayer": -2, "antes de ayer": -2}


def date(text: str, today: Date) -> Date | None:
    """Return the only date in `text`, or None where there is none, no such day, or two.

    Numeric dates are day first, unless that is impossible. Eight digits and nothing else are DDMMYYYY. A two-digit year
    lies at most ten years ahead of `today`. Without a year the nearest such day is meant; a weekday is the coming one,
    `today` excluded; "el quince" is the coming one, `today` included. None where a number beside the date is left over.
    """
    said = _PAUSED.sub(r"\1 ", " ".join(without_hesitations(text).split()))
    found = list(dict.fromkeys(_numeric(said, today)))
    if not found:
        numerals = _FIRST.sub("1", with_numerals(said))
        found = list(dict.fromkeys([*_named(numerals, today), *_relative(numerals, today)]))
        found = found or list(_bare_days(numerals, today))
    found = found or list(_keyed(said))
    return found[0] if len(found) == 1 else None


def _numeric(said: str, today: Date) -> Iterator[Date]:
    for match in _ISO.finditer(said):
        yield from calendar_day(int(match[1]), int(match[2]), int(match[3]))
    for match in _SLASHED.finditer(_ISO.sub(" ", said)):
        first, second, year = (int(part) for part in match.groups())
        day, month = (second, first) if second > 12 else (first, second)
        yield from calendar_day(full_year(year, today), month, day)


def _named(numerals: str, today: Date) -> list[Date]:
    """Return the days that are named by their month; none where a number beside one of them is left over."""
    found = [day for match in _NAMED.finditer(numerals) for day in _from_parts(match, today)]
    return [] if _LEFT_OVER.search(_NAMED.sub("|", numerals)) else found


def _from_parts(match: re.Match[str], today: Date) -> Sequence[Date]:
    day, month = int(match["day"]), _MONTH_NUMBERS[match["month"]]
    if match["year"]:
        return calendar_day(full_year(int(match["year"]), today), month, day)
    return nearest_day(month, day, today)


def _relative(numerals: str, today: Date) -> Iterator[Date]:
    for match in _RELATIVE.finditer(_NAMED.sub("|", numerals)):
        if match["word"]:
            yield today + timedelta(days=_WORDS[match["word"]])
        elif match["ahead"]:
            yield from _moved(today, int(match["ahead"]), match["unit"])
        elif match["ago"]:
            yield from _moved(today, -int(match["ago"]), match["past_unit"])
        else:
            ahead = (_WEEKDAYS.index(match["weekday"]) - today.weekday()) % 7 or 7
            back = bool(match["last"] or match["after"])
            yield today + timedelta(days=ahead % 7 - 7 if back else ahead)


def _moved(today: Date, count: int, unit: str) -> Iterator[Date]:
    days = {"d": 1, "s": 7, "q": 15}.get(unit[0])
    if days is not None:
        yield today + timedelta(days=count * days)
        return
    months = today.year * 12 + today.month - 1 + count * (12 if unit.startswith("a") else 1)
    year, month = months // 12, months % 12 + 1
    if 1 <= year <= 9999:
        yield Date(year, month, min(today.day, monthrange(year, month)[1]))


def _bare_days(numerals: str, today: Date) -> Iterator[Date]:
    """Yield the coming "quince", or that of this or the next month."""
    for match in _BARE_DAY.finditer(numerals):
        this, coming = days_of_this_and_next_month(int(match["day"]), today)
        if match["which"] == "este":
            yield from this
        elif match["which"]:
            yield from coming
        else:
            yield from this if this and this[0] >= today else coming


def _keyed(said: str) -> Iterator[Date]:
    spoken = digits(said)
    if len(spoken) == 8:
        yield from calendar_day(int(spoken[4:]), int(spoken[2:4]), int(spoken[:2]))
