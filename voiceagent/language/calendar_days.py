"""Which day is meant, once its numbers are known: the part of reading a date that is the same in every language."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date as Date  # noqa: N812 - readers of dates call their function `date`

__all__ = ["calendar_day", "days_of_this_and_next_month", "full_year", "nearest_day"]

_YEARS_AHEAD = 10
"""A card that expires, a contract that ends; what lies further ahead is rather the last century."""


def calendar_day(year: int, month: int, day: int) -> Sequence[Date]:
    """Return the day, or nothing where the calendar has no such day."""
    try:
        return (Date(year, month, day),)
    except (ValueError, OverflowError):
        return ()


def nearest_day(month: int, day: int, today: Date) -> Sequence[Date]:
    """Return the day of last, this or next year that is nearest to `today`; nothing where there is none."""
    days = [found for year in (today.year - 1, today.year, today.year + 1) for found in calendar_day(year, month, day)]
    return (min(days, key=lambda found: abs(found - today)),) if days else ()


def days_of_this_and_next_month(day: int, today: Date) -> tuple[Sequence[Date], Sequence[Date]]:
    """Return this day of the month that is, and of the one that comes; nothing for a month without such a day."""
    next_year, next_month = today.year + today.month // 12, today.month % 12 + 1
    return calendar_day(today.year, today.month, day), calendar_day(next_year, next_month, day)


def full_year(year: int, today: Date) -> int:
    """Return the year that is meant by two digits: at most ten years ahead of `today`. A full one stays as it is."""
    if year > 99:
        return year
    century = today.year // 100 * 100
    return century + year if century + year <= today.year + _YEARS_AHEAD else century - 100 + year
