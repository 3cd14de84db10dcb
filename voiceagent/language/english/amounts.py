"""Amounts and numbers: "two hundred and fifty dollars", "$250", "twelve dollars fifty"."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal

from voiceagent.language.english.dates import MONTHS
from voiceagent.language.english.hesitations import without_hesitations
from voiceagent.language.english.numerals import with_numerals
from voiceagent.language.english.pronouns import PRONOUN_ONE

__all__ = ["amount", "number"]

_NUMBER = r"(?<![\w.,])(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?!\d|(?:st|nd|rd|th)\b)"
_NUMBERS = rf"{_NUMBER}(?:[ -]+{_NUMBER}){{0,20}}"
_MAJOR = r"(?:us |american |canadian )?(?:dollars?|bucks?|euros?|pounds?|quid|usd|eur|gbp)\b"
_MINOR = r"(?:cents?|pence|pennies|penny|p)\b"
_MONTH = r"(?:" + "|".join(f"{name[:3]}(?:{name[3:]})?" for name in map(str.lower, MONTHS)) + r")\b"
_SENTENCE_END = r"(?=\s*(?:please\b|[.,;!?]|$))"

_AMOUNT = re.compile(
    rf"(?P<major>{_NUMBERS})[ -]*{_MAJOR}"
    rf"(?:,? (?P<and>and )?(?P<cents>\d\d?)(?: (?P<minor>{_MINOR})|{_SENTENCE_END}|(?= (?:to|into|in|from)\b)))?"
    rf"|(?P<only_cents>{_NUMBER}) ?{_MINOR}"
)
_RUN_OF_NUMBERS = re.compile(_NUMBERS)
_SYMBOL = re.compile(rf"[$€£]\s*({_NUMBER})(k\b| (?:100|1000|1000000)\b)?")
_THOUSANDS = re.compile(r"(?<=\d) ?k\b")
_PAUSED = re.compile(r"\b(hundred|thousand|million)[.,…]+ (?=and\b)")
"""A recognizer ends a sentence wherever the caller pauses: "two hundred. And fifty dollars"."""
_GRAND = re.compile(r"\bgrand\b")
_ALONE_A = re.compile(r"\ba (?=100)")
_ONE = re.compile(rf"\b(?:an?|another) (?={_MAJOR})")
_POINT_FIRST = re.compile(r"(?<![\d.] )\bpoint (\d+)(?: (?=\d\b))?(\d)?\b")
_OH = re.compile(r"(?<=\d )(?:oh|o)\b")
_VAGUE = re.compile(
    r"\b(?:couple|few|several|half|dozens?|some|minus|negative|hundreds|thousands)\b"
    r"|(?<!\w)-\s*[$€£]?\d|\b(?:times|plus|divided by) \d"
)
_COUNTED = re.compile(
    rf"{_NUMBERS}[ -]*(?:seconds?|minutes?|hours?|days?|nights?|weeks?|months?|years?|times?"
    r"|percent|%|o'clock|[ap]\.?m)"
    r"(?!\w)"
)
"""A number of something that is not money: "forty minutes"."""
_TAKEN_BACK = re.compile(rf"\b(?:not|instead of|rather than) {_NUMBERS}(?:[ -]*{_MAJOR})?")
"""What a correction leaves behind: "fifty, not fifteen"."""
_NAMED = re.compile(
    rf"\b(?:accounts?|cards?|number|ending in|ending with|option|{_MONTH}) (?:number )?{_NUMBERS}"
    rf"|{_NUMBER} (?:of )?{_MONTH}"
    rf"|\b(?:at|called|named) (?:[a-z']+ ){{0,3}}{_NUMBERS}(?! ?(?:or|to|and|until|[-|,/]))"
)
"""A number that is a name, or a day: "to account two", "on May 5", "at Studio 54"."""
_SCALES = frozenset({Decimal(100), Decimal(1000), Decimal(1_000_000), Decimal(1_000_000_000)})


def amount(text: str) -> Decimal | None:
    """Return the only amount of money in `text`, in its major unit, or None.

    Two numbers of two digits before the currency are units and cents: "twelve fifty dollars" is 12.50, and so is
    "twelve dollars fifty"; "two fifty dollars" could be 2.50 or 250 and is None. Without a currency only a single
    number is an amount: "two hundred" is 200, "twelve fifty" is None. Numbers of something else ("forty minutes",
    "account two") and what a correction takes back ("fifty, not fifteen") are left out; any other number beside the
    amount ("five or six dollars") makes it None, and so are vague ("a couple hundred") and negative ones: asking again
    costs less than a wrong transfer.
    """
    plain = _TAKEN_BACK.sub(" ", _numerals(text))
    if _VAGUE.search(plain):
        return None
    said = [_amount_value(match) for match in _AMOUNT.finditer(plain)]
    beside = _numbers(_NAMED.sub(" ", _COUNTED.sub(" ", _AMOUNT.sub(" | ", plain) if said else plain)))
    if said and beside:
        return None
    return _only(said or [_money(value) for value in beside])


def number(text: str) -> Decimal | None:
    """Return the only number in `text`, or None where there is none or where several differ.

    A number said digit by digit ("two five oh") is an identifier, which `digits` reads.
    """
    plain = _numerals(text)
    if _VAGUE.search(plain):
        return None
    return _only(_numbers(plain))


def _numerals(text: str) -> str:
    """Return `text` in lower case with number words as numerals and currency signs as words."""
    plain = PRONOUN_ONE.sub(" ", without_hesitations(text)).lower().replace("’", "'").replace("\n", " ")
    plain = _PAUSED.sub(r"\1 ", plain)
    plain = _ALONE_A.sub("", with_numerals(_GRAND.sub("thousand dollars", plain)))
    plain = _ONE.sub("1 ", _THOUSANDS.sub(" 1000", plain))
    return _SYMBOL.sub(r"\1\2 dollars", _OH.sub("0", _POINT_FIRST.sub(r"0.\1\2", plain)))


def _numbers(plain: str) -> list[Decimal | None]:
    return [_scaled(_parts(found[0])) for found in _RUN_OF_NUMBERS.finditer(plain)]


def _only(values: Sequence[Decimal | None]) -> Decimal | None:
    """Return the value that all agree on; None where one is unclear or two differ."""
    first = values[0] if values else None
    return first if all(value == first for value in values) else None


def _amount_value(match: re.Match[str]) -> Decimal | None:
    if match["only_cents"]:
        return _money(Decimal(match["only_cents"].replace(",", "")) / 100)
    units = _units(_parts(match["major"]))
    if units is None or match["cents"] is None:
        return _money(units)
    if not match["minor"] and (len(match["cents"]) == 1 or (match["and"] and units >= 100)):
        return None  # "a hundred dollars and fifty": fifty what?
    return units + Decimal(match["cents"]) / 100 if units == units.to_integral_value() else None


def _units(parts: Sequence[Decimal]) -> Decimal | None:
    """Return what the numbers before a currency make together."""
    scaled = _scaled(parts)
    if scaled is not None:
        return scaled
    if all(part < 10 and part == part.to_integral_value() for part in parts):
        return Decimal("".join(str(part) for part in parts))  # "two five oh dollars"
    if len(parts) == 2 and 10 <= parts[0] < 100 and 10 <= parts[1] < 100 and not _has_cents(parts):
        return parts[0] + parts[1] / 100
    return None


def _scaled(parts: Sequence[Decimal]) -> Decimal | None:
    """Return "5" and "1.5 1000000" (that is how "one point five million" comes) as one number."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) == 2 and parts[1] in _SCALES and parts[0] < parts[1]:
        return parts[0] * parts[1]
    return None


def _parts(numbers: str) -> list[Decimal]:
    return [Decimal(part.replace(",", "")) for part in re.split(r"[ -]+", numbers)]


def _has_cents(parts: Sequence[Decimal]) -> bool:
    return any(part != part.to_integral_value() for part in parts)


def _money(value: Decimal | None) -> Decimal | None:
    """Return the value, or None where it has fractions of a cent."""
    if value is None:
        return None
    exponent = value.normalize().as_tuple().exponent
    return value if isinstance(exponent, int) and exponent >= -2 else None
