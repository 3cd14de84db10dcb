"""Text for the voice: what a model wrote, as words that can be read out."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from voiceagent.language.english.spoken import spoken_amount, spoken_date
from voiceagent.language.markup import plain_typography, sentences, speakable_characters, without_markup
from voiceagent.language.spelling import spoken_digits

__all__ = ["ABBREVIATIONS", "speakable"]

_EXPANSIONS = {
    "e.g.": "for example", "i.e.": "that is", "etc.": "et cetera", "vs.": "versus",
    "approx.": "approximately", "acct.": "account", "mr.": "Mister", "mrs.": "Missus",
    "ms.": "Miz", "dr.": "Doctor", "prof.": "Professor", "dept.": "department", "w/": "with",
}  # fmt: skip
ABBREVIATIONS = frozenset(_EXPANSIONS) | {
    "st.", "jr.", "sr.", "inc.", "ltd.", "co.", "no.", "a.m.", "p.m.", "u.s.", "u.k.", "ave.",
    "jan.", "feb.", "mar.", "apr.", "jun.", "jul.", "aug.", "sept.", "sep.", "oct.", "nov.", "dec.",
}  # fmt: skip
"""Words whose full stop ends no sentence, in lower case."""

_ABBREVIATION = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, _EXPANSIONS)) + r")(?!\w)", re.IGNORECASE)

_SENTENCE_AFTER = re.compile(r"\s*$|\s+[A-Z]")

# --- addresses -------------------------------------------------------------------------------------

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]", re.IGNORECASE)
_ADDRESS_MARKS = {".": " dot ", "@": " at ", "-": " dash ", "_": " underscore ", "/": " slash ", "+": " plus "}

# --- numbers ---------------------------------------------------------------------------------------

_AMOUNT = r"(?P<amount>(?:\d{1,3}(?:,\d{3}){1,5}|\d{1,18})(?:\.\d{1,18})?)"
_SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY", "₹": "INR"}
_SYMBOL_AMOUNT = re.compile(
    rf"(?P<sign>(?<!\w)[-−])?(?P<currency>[$€£¥₹])\s?{_AMOUNT}(?!\d)"
    r"(?:\s?(?P<scale>thousand|million|billion|[kK]\b|[mM]\b|bn\b))?"
)
_CODE_AMOUNT = re.compile(
    rf"\b(?:(?P<before>USD|EUR|GBP|CAD|AUD|CHF|JPY|INR) {_AMOUNT}"
    rf"|{_AMOUNT.replace('amount', 'first')} (?P<after>USD|EUR|GBP|CAD|AUD|CHF|JPY|INR))\b"
)
_SCALES = {"k": "thousand", "m": "million", "bn": "billion"}
_UNIT_NAMES = {"USD": "dollars", "EUR": "euros", "GBP": "pounds", "JPY": "yen", "INR": "rupees"}

_ISO_DATE = re.compile(r"(?<![\w-])(\d{4})-(\d{2})-(\d{2})(?![\w-])")
_US_DATE = re.compile(r"(?<![\w/])(\d{1,2})/(\d{1,2})/(\d{4})(?![\w/])")
_PERCENT = re.compile(r"(?<=\d)\s?%")
_RANGE = re.compile(r"(?<![\w.,-])(\d{1,3}|(?:19|20)\d\d)[-–](\d{1,3}|(?:19|20)\d\d)(?![\w-]|[.,]\d)")
_GROUPED = re.compile(r"(?<![\w.,-])(?:\+\d{1,3}[ -])?(?:\(\d{2,4}\) ?)?\d+(?:-\d+)+(?![\w-])")
_IN_BRACKETS = re.compile(r"(?<![\w.,-])(?:\+\d{1,3}[ -])?\(\d{3}\) ?\d{3}[ -]?\d{4}(?![\w-])")
_INTERNATIONAL = re.compile(r"(?<!\w)\+\d[\d ]{5,}\d\b")
_UNIT_AFTER = (
    r"(?!\s?(?:dollar|euro|pound|franc|rupee|peso|yen|won|cent|pence|percent|%|thousand|million"
    r"|billion|points?|miles?|times|USD|EUR|GBP|CAD|AUD|CHF|JPY|INR))"
)
_CUE_LINK = r"(?:(?: number| code| id| is| are| was|:| #){0,4}\s+)"
_SURE_CUE = re.compile(
    r"\b((?:numbers?|codes?|pins?|passcodes?|ending(?: in| with)?|ends (?:in|with)|reference|confirmation|ids?"
    rf"|zip|extension|ext|digits|routing){_CUE_LINK})"
    rf"([A-Z]{{0,4}}\d{{2,}}[A-Z\d]*(?:[ -]\d{{3,}})*)(?![\w]|[.,:/]\d){_UNIT_AFTER}",
    re.IGNORECASE,
)
# "order 15 pizzas", but "order 4519".
_LIKELY_CUE = re.compile(
    rf"\b((?:accounts?|cards?|phone|case|ticket|order|invoice|policy){_CUE_LINK})"
    rf"([A-Z]{{0,4}}\d{{4,}}[A-Z\d]*(?:[ -]\d{{3,}})*)(?![\w]|[.,:/]\d){_UNIT_AFTER}",
    re.IGNORECASE,
)
_BARE_CODE = re.compile(rf"(?<![\w.,$€£¥₹/:+-])(0\d+|\d{{6,}})(?![\w]|[.,:/-]\d){_UNIT_AFTER}")
_NUMBER_SIGN = re.compile(r"#\s?(?=\d)")


def speakable(text: str) -> str:
    """Return `text` as plain words: no markup, symbols or emoji, codes digit by digit.

    Amounts, dates, addresses and common abbreviations become words. Lines become sentences. Plain
    prose comes back as it was, apart from white space and typographic quotes.
    """
    plain = without_markup(text)
    plain = _URL.sub(_spoken_url, _EMAIL.sub(_spoken_address, plain))
    plain = _numbers(plain)
    plain = _ABBREVIATION.sub(_expanded, plain)
    plain = _symbols(plain)
    return sentences(plain)


def _numbers(plain: str) -> str:
    plain = _ISO_DATE.sub(lambda found: _spoken_day(found[0], found[1], found[2], found[3]), plain)
    plain = _US_DATE.sub(lambda found: _spoken_day(found[0], found[3], found[1], found[2]), plain)
    plain = _SYMBOL_AMOUNT.sub(_spoken_symbol_amount, plain)
    plain = _CODE_AMOUNT.sub(_spoken_code_amount, plain)
    plain = _PERCENT.sub(" percent", plain)
    plain = _NUMBER_SIGN.sub("number ", plain)
    plain = _RANGE.sub(_spoken_range, plain)
    for code in (_IN_BRACKETS, _GROUPED, _INTERNATIONAL):
        plain = code.sub(lambda found: spoken_digits(found[0]), plain)
    for cue in (_SURE_CUE, _LIKELY_CUE):
        plain = cue.sub(lambda found: found[1] + spoken_digits(found[2]), plain)
    return _BARE_CODE.sub(lambda found: spoken_digits(found[1]), plain)


def _symbols(plain: str) -> str:
    plain = plain_typography(plain).replace("&", " and ")
    plain = re.sub(r"[—–]+", ", ", plain)
    plain = re.sub(r"(?<=\w)/(?=\w)", " ", plain)
    plain = re.sub(r"\s?\+\s?(?=\d)", " plus ", plain)
    plain = re.sub(r"\s=\s", " equals ", plain)
    plain = re.sub(r"[@#=/]+", " ", plain)
    plain = re.sub(r"°\s?([CF])\b", " degrees", plain).replace("°", " degrees ")
    return speakable_characters(plain)


def _expanded(found: re.Match[str]) -> str:
    ends_sentence = found[0].lower() == "etc." and _SENTENCE_AFTER.match(found.string, found.end())
    return _EXPANSIONS[found[0].lower()] + ("." if ends_sentence else "")


def _spoken_day(written: str, year: str, month: str, day: str) -> str:
    try:
        return spoken_date(date(int(year), int(month), int(day)))
    except ValueError:
        return written  # no such day: perhaps a number of another kind


def _spoken_symbol_amount(found: re.Match[str]) -> str:
    currency, scale = _SYMBOLS[found["currency"]], found["scale"]
    sign = "minus " if found["sign"] else ""
    if scale:
        name = _SCALES.get(scale.lower(), scale)
        return f"{sign}{found['amount']} {name} {_UNIT_NAMES[currency]}"
    return sign + spoken_amount(Decimal(found["amount"].replace(",", "")), currency)


def _spoken_code_amount(found: re.Match[str]) -> str:
    amount = Decimal((found["amount"] or found["first"]).replace(",", ""))
    return spoken_amount(amount, found["before"] or found["after"])


def _spoken_range(found: re.Match[str]) -> str:
    return f"{found[1]} to {found[2]}" if int(found[1]) < int(found[2]) else found[0]


def _spoken_url(found: re.Match[str]) -> str:
    """Return the host and a short path; nobody can note down a query."""
    address = re.sub(r"^(?:https?://)?(?:www\.)?", "", found[0], flags=re.IGNORECASE)
    host, _, path = re.split(r"[?#]", address)[0].partition("/")
    path = path.strip("/")
    return _spelled(f"{host}/{path}" if path and len(path) <= 24 else host)


def _spoken_address(found: re.Match[str]) -> str:
    return _spelled(found[0])


def _spelled(address: str) -> str:
    for mark, name in _ADDRESS_MARKS.items():
        address = address.replace(mark, name)
    return " ".join(address.split())
