"""Amounts, dates and lists the way an agent says them in Spanish; for reply templates."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from decimal import ROUND_HALF_UP, Context, Decimal

from voiceagent.language.spanish.dates import MONTHS

__all__ = ["spoken_amount", "spoken_date", "spoken_list"]

# ISO 4217 code: (one unit, units, one subunit, subunits); no subunits where none are said.
_CURRENCIES: dict[str, tuple[str, str, str, str]] = {
    "EUR": ("un euro", "euros", "un céntimo", "céntimos"),
    **dict.fromkeys(("USD", "CAD", "AUD"), ("un dólar", "dólares", "un centavo", "centavos")),
    **dict.fromkeys(("MXN", "ARS", "COP", "UYU", "DOP"), ("un peso", "pesos", "un centavo", "centavos")),
    "CLP": ("un peso", "pesos", "", ""),
    "PEN": ("un sol", "soles", "un céntimo", "céntimos"),
    "GBP": ("una libra", "libras", "un penique", "peniques"),
    "CHF": ("un franco", "francos", "un céntimo", "céntimos"),
    "JPY": ("un yen", "yenes", "", ""),
}


def spoken_amount(amount: Decimal, currency: str) -> str:
    """Return "1234 euros con 50 céntimos"; a currency without a known name is said by its code.

    Rounded half up to the subunit; a whole amount has no "con 0 céntimos". Without marks between thousands, which one
    country reads as another's decimal point.
    """
    code = currency.upper()
    one, many, one_sub, many_sub = _CURRENCIES.get(code, (f"1 {code}", code, "un céntimo", "céntimos"))
    step = Decimal("0.01") if many_sub else Decimal(1)
    exact = Context(prec=max(28, amount.adjusted() + 8))  # the default holds 28 digits and would refuse a longer amount
    rounded = amount.copy_abs().quantize(step, rounding=ROUND_HALF_UP, context=exact)
    units, subunits = divmod(int(rounded.scaleb(2, context=exact)), 100)
    parts: list[str] = []
    if units or not subunits:
        parts.append(one if units == 1 else f"{units} {many}")
    if subunits:
        parts.append(one_sub if subunits == 1 else f"{subunits} {many_sub}")
    sign = "menos " if amount < 0 and rounded else ""
    return sign + " con ".join(parts)


def spoken_date(day: date) -> str:
    """Return "24 de noviembre de 2026"; the first of a month is "1 de"."""
    return f"{day.day} de {MONTHS[day.month - 1]} de {day.year}"


def spoken_list(items: Sequence[str]) -> str:
    """Return "a", "a y b", or "a, b y c"; "e" stands before the sound of an i. Empty for no items."""
    if len(items) < 2:
        return "".join(items)
    last = items[-1]
    starts_with_i = last.lower().startswith(("i", "í", "hi", "hí")) and not last.lower().startswith(
        ("hie", "hia", "io")
    )
    return f"{', '.join(items[:-1])} {'e' if starts_with_i else 'y'} {last}"
