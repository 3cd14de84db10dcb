"""Amounts, digits, dates and lists the way an agent says them; for reply templates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal

from voiceagent.language.english.dates import MONTHS

__all__ = ["spoken_amount", "spoken_date", "spoken_list"]

# ISO 4217 code: (one unit, units, one subunit, subunits); no subunits where none are said.
_CURRENCIES: dict[str, tuple[str, str, str, str]] = {
    **dict.fromkeys(("USD", "CAD", "AUD", "NZD", "SGD", "HKD"), ("dollar", "dollars", "cent", "cents")),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "CHF": ("franc", "francs", "centime", "centimes"),
    "INR": ("rupee", "rupees", "paisa", "paise"),
    "MXN": ("peso", "pesos", "centavo", "centavos"),
    "JPY": ("yen", "yen", "", ""),
    "KRW": ("won", "won", "", ""),
}


def spoken_amount(amount: Decimal, currency: str) -> str:
    """Return "1,234 dollars and 50 cents"; a currency without a known name is said by its code.

    Rounded half up to the subunit; a whole amount has no "and 0 cents".
    """
    one, many, one_sub, many_sub = _CURRENCIES.get(
        currency.upper(), (currency.upper(), currency.upper(), "cent", "cents")
    )
    step = Decimal("0.01") if many_sub else Decimal(1)
    # The default context holds 28 digits and would refuse a longer amount.
    exact = Context(prec=max(28, amount.adjusted() + 8))
    rounded = amount.copy_abs().quantize(step, rounding=ROUND_HALF_UP, context=exact)
    units, subunits = divmod(int(rounded.scaleb(2, context=exact)), 100)
    parts: list[str] = []
    if units or not subunits:
        parts.append(f"{units:,} {one if units == 1 else many}")
    if subunits:
        parts.append(f"{subunits} {one_sub if subunits == 1 else many_sub}")
    sign = "minus " if amount < 0 and rounded else ""
    return sign + " and ".join(parts)


def spoken_date(day: date) -> str:
    """Return "November 24th, 2026"."""
    return f"{MONTHS[day.month - 1]} {day.day}{_ordinal_ending(day.day)}, {day.year}"


def spoken_list(items: Sequence[str]) -> str:
    """Return "a", "a and b", or "a, b, and c"; empty for no items."""
    if len(items) < 3:
        return " and ".join(items)
    return f"{', '.join(items[:-1])}, and {items[-1]}"


def _ordinal_ending(day: int) -> str:
    if 11 <= day <= 13:
        return "th"
    return {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
