"""Dates: "March fourteenth, nineteen eighty seven", "3/14/1987", "next Tuesday"."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from datetime import date as Date  # noqa: N812 - `date` is the name of the function here
from datetime import datetime, time, timedelta

from voiceagent.language.calendar_days import calendar_day, days_of_this_and_next_month, full_year, nearest_day
from voiceagent.language.english.digits import digit_spans, digits
from voiceagent.language.english.hesitations import without_hesitations
from voiceagent.language.english.numerals import with_numerals

__all__ = ["MONTHS", "date"]

MONTHS = (
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
)  # fmt: skip

_MONTH_NUMBERS = {
    **{name.lower(): value for value, name in enumerate(MONTHS, 1)},
    **{name[:3].lower(): value for value, name in enumerate(MONTHS, 1)},
    "sept": 9,
}
_MONTH = r"(?P<month>" + "|".join(sorted(_MONTH_NUMBERS, key=len, reverse=True)) + r")\b\.?"
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th)?\b"
_YEAR = r"(?:,? (?P<year>\d{4}|\d{2})\b(?!st|nd|rd|th|:|\s*[ap]\.?\s?m\b|\s*o'clock))?"

_DAY_MONTH = re.compile(rf"(?<!\d){_DAY}(?: day)?(?: of)? {_MONTH}{_YEAR}")
_MONTH_DAY = re.compile(rf"\b{_MONTH},?(?: the)? {_DAY}{_YEAR}")
_YEAR_MONTH_DAY = re.compile(rf"(?<!\d)(?P<year>\d{{4}}),?(?: the| on| in)? {_MONTH},?(?: the)? {_DAY}")
_PAUSED = re.compile(
    r"(\d(?:st|nd|rd|th)|first|second|third|[a-z]+th)[.…]+ (?=(?:19|20)\d\d\b|(?:nineteen|two thousand)\b)"
)
"""A recognizer ends a sentence wherever the caller pauses: "October third. 1992"."""
_BARE_DAY = re.compile(
    r"\b(?:(?:on|for|by|is|say) )?the (?P<day>\d{1,2})(?:st|nd|rd|th)(?: of (?P<which>this|next|the) month)?"
    r"(?=\s*(?:[.,;!?]|$|(?:please|at|then|in the|works|would|if|instead|for|around)\b))"
    r"|^(?P<alone>\d{1,2})(?:st|nd|rd|th)[.!?]?$"
)
_FOUND = "|"
"""Stands where a date was found."""
# A number right beside a date is a part of it that was not understood, unless it is a time or counts something.
_LEFT_OVER = re.compile(
    r"\|[\s,]*(?:(?:of|the|in|oh|year)\s+)*\d+\b(?!:|\s*(?:[ap]\.?\s?m\b|o'clock|[a-z]+s\b))(?<![\s,]\d[0-5]\d)"
    r"|(?<![\d:])\d+(?:st|nd|rd|th)?[\s,]*(?:(?:of|the)\s+)*\|"
)
_ISO = re.compile(r"(?<!\d)(\d{4})-(\d{1,2})-(\d{1,2})(?!\d)")
_SLASHED = re.compile(r"(?<!\d)\d{1,2}[/.-]\d{1,2}[/.-](?:\d{4}|\d{2})(?!\d)")

_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_UNIT = r"(?:days?|weeks?|fortnights?|months?|years?)"
_RELATIVE = re.compile(
    rf"\b(?:(?:the )?day (?:after tomorrow|before yesterday)|today|tonight|tomorrow|yesterday"
    rf"|in (?:an?|\d{{1,3}}) {_UNIT}|(?:an?|\d{{1,3}}) {_UNIT} (?:ago|from (?:now|today))"
    rf"|(?:(?:next|last|this|past) )?{_WEEKDAY})\b"
)
_WEEKS_FROM = re.compile(
    rf"\b(?P<count>an?|\d{{1,2}}) weeks? (?:from|after) (?P<day>tomorrow|(?:(?:next|this) )?{_WEEKDAY})\b"
)
_WEEKDAY_AND_DAY = re.compile(
    rf"\b(?P<weekday>{_WEEKDAY}),? (?:the )?(?P<day>\d{{1,2}})(?:st|nd|rd|th)\b(?!,?(?: of)? {_MONTH})"
)
_OF_NEXT_WEEK = re.compile(rf"\b(?:next week(?: on)? (?P<first>{_WEEKDAY})|(?P<last>{_WEEKDAY}) (?:of )?next week)\b")
_A_YEAR = 366
_WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def date(text: str, today: Date) -> Date | None:
    """Return the only date in `text`, or None where there is none, no such day, or two.

    Numeric dates are month first, unless that is impossible. Eight digits and nothing else are
    MMDDYYYY. A two-digit year lies at most ten years ahead of `today`. Without a year the nearest
    such day is meant; a bare weekday is the coming one, `today` excluded, and so is "next Friday"; "the fifteenth" is
    the coming one, `today` included. None where a number beside the date is left over: it may have been the year.
    """
    plain = _PAUSED.sub(r"\1 ", " ".join(without_hesitations(text).lower().split()))
    found = list(dict.fromkeys(_numeric(plain, today)))
    if not found:
        numerals = _numerals(plain)
        found = list(dict.fromkeys([*_named(numerals, today), *_relative(numerals, today)]))
        if not found:
            found = list(_bare_days(numerals, today))
    if not found:
        found = list(_keyed(plain))
    return found[0] if len(found) == 1 else None


def _numerals(plain: str) -> str:
    """Return the text with number words as numerals: "march 14th, 1987"."""
    # Ordinals first: "twenty third" would else be read as the digits 20.
    plain = re.sub(r"\bsecond\b(?! (?:please|thought))", "2nd", plain)
    plain = re.sub(r"[^\W\d]+", lambda word: _ORDINALS.get(word[0], word[0]), plain)
    plain = re.sub(r"\b(twenty|thirty)[ -](\d)(st|nd|rd|th)\b", _tens_and_ordinal, plain)
    numerals, at = "", 0
    for span in digit_spans(plain):
        spoken = plain[span.start : span.end]
        # Numerals are left as they stand: "14, 1987" must not become "141987".
        numerals += plain[at : span.start] + (_spaced(spoken) if spoken[0].isalpha() else spoken)
        at = span.end
    return re.sub(r"\boh (?=\d\b)", "0", numerals + plain[at:])  # "december first oh one"


def _tens_and_ordinal(match: re.Match[str]) -> str:
    return f"{'2' if match[1] == 'twenty' else '3'}{match[2]}{match[3]}"


def _spaced(spoken: str) -> str:
    """Return a spoken day and year, or either, with a space between them."""
    together = digits(spoken)
    match len(together):
        case 5:  # four, 1987
            return f"{together[0]} {together[1:]}"
        case 6:  # fourteen, 1987
            return f"{together[:2]} {together[2:]}"
        case 4 if not together.startswith(("19", "20")):  # fourteen eighty seven
            return f"{together[:2]} {together[2:]}"
        case _:
            return together


def _numeric(plain: str, today: Date) -> Iterator[Date]:
    for match in _ISO.finditer(plain):
        yield from calendar_day(int(match[1]), int(match[2]), int(match[3]))
    for match in _SLASHED.finditer(_ISO.sub(" ", plain)):
        first, second, year = (int(part) for part in re.split(r"[/.-]", match[0]))
        month, day = (second, first) if first > 12 else (first, second)
        yield from calendar_day(full_year(year, today), month, day)


def _named(numerals: str, today: Date) -> list[Date]:
    """Return the days that are named by their month; none where a number beside one of them is left over."""
    found: list[Date] = []
    for form in (_YEAR_MONTH_DAY, _DAY_MONTH, _MONTH_DAY):
        for match in form.finditer(numerals):
            found += _from_parts(match, today)
        numerals = form.sub(_FOUND, numerals)
    return [] if _LEFT_OVER.search(numerals) else found


def _bare_days(numerals: str, today: Date) -> Iterator[Date]:
    """Yield the coming "fifteenth", or that of this or the next month."""
    for match in _BARE_DAY.finditer(numerals):
        this, coming = days_of_this_and_next_month(int(match["day"] or match["alone"]), today)
        if match["which"] == "next":
            yield from coming
        elif match["which"] == "this":
            yield from this
        else:
            yield from this if this and this[0] >= today else coming


def _from_parts(match: re.Match[str], today: Date) -> Sequence[Date]:
    day, month = int(match["day"]), _MONTH_NUMBERS[match["month"]]
    if match["year"]:
        return calendar_day(full_year(int(match["year"]), today), month, day)
    return nearest_day(month, day, today)


def _relative(numerals: str, today: Date) -> Iterator[Date]:
    for match in _WEEKS_FROM.finditer(numerals):
        count = int(match["count"]) if match["count"].isdecimal() else 1
        for start in _relative(match["day"], today):
            yield start + timedelta(weeks=count)
    numerals = _WEEKS_FROM.sub(" | ", numerals)
    for match in _WEEKDAY_AND_DAY.finditer(numerals):
        coming = (today + timedelta(days=ahead) for ahead in range(_A_YEAR))
        wanted = (int(match["day"]), _WEEKDAYS.index(match["weekday"][:3]))
        first = next((day for day in coming if (day.day, day.weekday()) == wanted), None)
        if first is not None:
            yield first
    numerals = _WEEKDAY_AND_DAY.sub(" | ", numerals)
    for match in _OF_NEXT_WEEK.finditer(numerals):
        weekday = _WEEKDAYS.index((match["first"] or match["last"])[:3])
        yield today + timedelta(days=7 - today.weekday() + weekday)
    numerals = _OF_NEXT_WEEK.sub(" | ", numerals)
    phrases = [match[0] for match in _RELATIVE.finditer(numerals)]
    if not phrases:
        return
    import dateparser

    for phrase in phrases:
        parsed = dateparser.parse(
            phrase.removeprefix("the ").replace("from today", "from now"),
            languages=["en"],
            settings={
                "RELATIVE_BASE": datetime.combine(today, time()),
                "PREFER_DATES_FROM": "future",
                "TIMEZONE": "UTC",
                "RETURN_AS_TIMEZONE_AWARE": False,
            },
        )
        if parsed is not None:
            yield parsed.date()


def _keyed(plain: str) -> Iterator[Date]:
    spoken = digits(plain)
    if len(spoken) == 8:
        yield from calendar_day(int(spoken[4:]), int(spoken[:2]), int(spoken[2:4]))


# "second" is more often a part of a minute, or a thought; it is looked at apart.
_ORDINALS = {
    name: with_numerals(name)
    for name in (
        "first", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth",
        "eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth",
        "seventeenth", "eighteenth", "nineteenth", "twentieth", "thirtieth",
    )
}  # fmt: skip
