"""Amounts and numbers: "doscientos cincuenta euros", "12,50 €", "doce con cincuenta"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from voiceagent.language.spanish.numerals import with_numerals
from voiceagent.language.spanish.plain import without_hesitations

__all__ = ["amount", "number", "number_may_go_on"]

_NUMBER = r"(?<![\w.,])(?:\d{1,3}(?:\.\d{3})+(?:,\d+)?|\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:[.,]\d+)?)(?![\dºª]|[.,]\d)"
"""Written as in Spain, 1.234,50, or as in Mexico, 1,234.50."""
_MAJOR = r"(?:euros?|eur|dolar(?:es)?|usd|pesos?|mxn|libras?|gbp|pavos?)\b"
_MINOR = r"(?:centimos?|centavos?|peniques?)\b"
_AMOUNT = re.compile(
    rf"(?P<major>{_NUMBER}) ?(?:de )?{_MAJOR}"
    r"(?:,? (?P<half>y medio)\b"
    rf"|,? (?:y |con )?(?P<cents>\d\d?)(?: (?P<minor>{_MINOR})|(?=\s*(?:por favor\b|[.;!?]|$))))?"
    rf"|(?P<units>{_NUMBER}) con (?P<fraction>\d\d?)(?: {_MAJOR})?"
    rf"|(?P<only_cents>{_NUMBER}) ?{_MINOR}"
)
_ANY = re.compile(_NUMBER)
_SYMBOL = re.compile(rf"[€$£] ?({_NUMBER})|({_NUMBER}) ?[€$£]")
_PAUSED = re.compile(r"\b(mil|millon|millones|cien|ciento|[a-z]+cient[oa]s)[.…]+ (?=[a-z])")
"""A recognizer ends a sentence wherever the caller pauses: "doscientos. Cincuenta euros"."""
_VAGUE = re.compile(
    r"\b(?:unos|unas|varios|varias|algunos|algunas|par|cientos|miles|docenas?|medio|media|menos|negativo)\b"
    r"|(?<!\w)-\s*[$€£]?\d|\b(?:por|mas|entre) \d"
)
_AND_A_HALF = re.compile(r"\by media?o?\b")
_COUNTED = re.compile(
    rf"{_NUMBER} ?(?:segundos?|minutos?|horas?|dias?|noches?|semanas?|meses|mes|anos?|veces|por ciento|%|personas?)"
)
"""A number of something that is not money: "cuarenta minutos"."""
_TAKEN_BACK = re.compile(rf"\b(?:no(?: son)?|en vez de|en lugar de) {_NUMBER}(?: ?{_MAJOR})?")
_MONTH = r"(?:enero|febrero|marzo|abril|mayo|junio|julio|agosto|septiembre|setiembre|octubre|noviembre|diciembre)"
_NAMED = re.compile(
    rf"\b(?:cuentas?|tarjetas?|numero|terminad[ao] en|acaba(?:da)? en|opcion) (?:numero )?{_NUMBER}"
    rf"|{_NUMBER} de {_MONTH}"
)
"""A number that is a name, or a day: "a la cuenta dos", "el 5 de mayo"."""
_OPEN_NUMBER = re.compile(
    r"(?:\b(?:mil|millon|millones|cien|ciento|[a-z]+cient[oa]s|novecient[oa]s|quinient[oa]s)|(?<![\d.,])[1-9][\d.]*00)"
    r"[.,!…]*$"
)


def amount(text: str) -> Decimal | None:
    """Return the only amount of money in `text`, in its major unit, or None.

    "doce con cincuenta" is 12.50, and so is "doce euros y cincuenta céntimos". Without a currency only a single number
    is an amount: "doscientos". Numbers of something else ("cuarenta minutos", "la cuenta dos") and what a correction
    takes back ("no cincuenta, sesenta") are left out; any other number beside the amount makes it None, and so are
    vague ("unos doscientos") and negative ones: asking again costs less than a wrong transfer.
    """
    said = _TAKEN_BACK.sub(" ", _numerals(text))
    if _VAGUE.search(_AND_A_HALF.sub(" ", said)):
        return None
    found = [_value_of(match) for match in _AMOUNT.finditer(said)]
    beside = _numbers(_NAMED.sub(" ", _COUNTED.sub(" ", _AMOUNT.sub(" | ", said) if found else said)))
    if found and beside:
        return None
    return _only(found or [_money(value) for value in beside])


def number(text: str) -> Decimal | None:
    """Return the only number in `text`, or None where there is none or where several differ."""
    said = _numerals(text)
    return None if _VAGUE.search(said) else _only(_numbers(said))


def number_may_go_on(text: str) -> bool:
    """Return whether `text` ends in a number that more words can be part of: "doscientos", "3.000"."""
    return _OPEN_NUMBER.search(without_hesitations(text).strip()) is not None


def _numerals(text: str) -> str:
    said = _PAUSED.sub(r"\1 ", " ".join(without_hesitations(text).split()))
    return _SYMBOL.sub(lambda found: f"{found[1] or found[2]} euros", with_numerals(said))


def _numbers(said: str) -> list[Decimal | None]:
    return [_decimal(found[0]) for found in _ANY.finditer(said)]


def _only(values: Sequence[Decimal | None]) -> Decimal | None:
    """Return the value that all agree on; None where one is unclear or two differ."""
    first = values[0] if values else None
    return first if all(value == first for value in values) else None


def _value_of(match: re.Match[str]) -> Decimal | None:
    if match["only_cents"]:
        return _money(_decimal(match["only_cents"]) / 100)
    if match["fraction"]:
        units, cents = _decimal(match["units"]), match["fraction"]
    else:
        units, cents = _decimal(match["major"]), match["cents"]
        if match["half"]:
            return units + Decimal("0.5")
    if cents is None:
        return _money(units)
    if len(cents) == 1 and not match["minor"]:
        return None  # "doce euros con cinco": five what?
    return units + Decimal(cents) / 100 if units == units.to_integral_value() else None


def _decimal(written: str) -> Decimal:
    """Return a number as it is written in Spain or in Mexico; three digits behind a single mark are thousands."""
    head, mark, tail = re.fullmatch(r"(.*?)(?:([.,])(\d+))?", written, re.DOTALL).groups()  # pyright: ignore[reportOptionalMemberAccess] - it matches every text
    grouped = re.sub(r"[.,]", "", head)
    if mark is None:
        return Decimal(grouped)
    is_group = len(tail) == 3 and (mark in head or grouped == head) and head != "0"
    return Decimal(grouped + tail) if is_group else Decimal(f"{grouped}.{tail}")


def _money(value: Decimal | None) -> Decimal | None:
    """Return the value, or None where it has fractions of a cent."""
    if value is None:
        return None
    exponent = value.normalize().as_tuple().exponent
    return value if isinstance(exponent, int) and exponent >= -2 else None
