"""Text for the voice: what a model wrote, as Spanish words that can be read out."""

from __future__ import annotations

import re
from datetime import date
from decimal import Decimal

from voiceagent.language.markup import plain_typography, sentences, speakable_characters, without_markup
from voiceagent.language.spanish.spoken import spoken_amount, spoken_date
from voiceagent.language.spelling import spoken_digits

__all__ = ["ABBREVIATIONS", "speakable"]

_EXPANSIONS = {
    "p. ej.": "por ejemplo", "p.ej.": "por ejemplo", "etc.": "etcétera", "sr.": "señor", "sra.": "señora",
    "srta.": "señorita", "dr.": "doctor", "dra.": "doctora", "d.": "don", "ud.": "usted", "uds.": "ustedes",
    "núm.": "número", "tel.": "teléfono", "aprox.": "aproximadamente", "avda.": "avenida", "c/": "calle ",
}  # fmt: skip
ABBREVIATIONS = frozenset(_EXPANSIONS) | {
    "ej.", "a.m.", "p.m.", "ee.", "s.a.", "s.l.", "cía.", "prof.", "ing.", "lic.", "pág.",
    "ene.", "feb.", "mar.", "abr.", "jun.", "jul.", "ago.", "sept.", "sep.", "oct.", "nov.", "dic.",
}  # fmt: skip
"""Words whose full stop ends no sentence, in lower case."""
_ABBREVIATION = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, _EXPANSIONS)) + ")", re.IGNORECASE)
_SENTENCE_AFTER = re.compile(r"\s*$|\s+[¿¡]?[A-ZÁÉÍÓÚÑ]")

_EMAIL = re.compile(r"(?<![\w.+-])[\w.+-]{1,64}@[\w-]+(?:\.[\w-]+)+")
_URL = re.compile(r"\b(?:https?://|www\.)[^\s<>\"')\]]*[^\s<>\"')\].,;:!?]", re.IGNORECASE)
_ADDRESS_MARKS = {".": " punto ", "@": " arroba ", "-": " guion ", "_": " guion bajo ", "/": " barra ", "+": " más "}

_AMOUNT = r"(?:\d{1,3}(?:\.\d{3}){1,5}(?:,\d{1,18})?|\d{1,3}(?:,\d{3}){1,5}(?:\.\d{1,18})?|\d{1,18}(?:[.,]\d{1,18})?)"
_SYMBOLS = {"$": "USD", "€": "EUR", "£": "GBP", "¥": "JPY"}
_CODES = "EUR|USD|GBP|MXN|ARS|COP|CLP|PEN|CHF|JPY"
_SIGN = r"(?P<sign>(?<!\w)[-−])?"
_BEFORE = re.compile(rf"{_SIGN}(?:(?P<symbol>[$€£¥])\s?|\b(?P<code>{_CODES})\s)(?P<amount>{_AMOUNT})(?!\d)")
_AFTER = re.compile(rf"{_SIGN}(?<![\w.,])(?P<amount>{_AMOUNT})\s?(?:(?P<symbol>[$€£¥])|(?P<code>{_CODES})\b)")
_ISO_DATE = re.compile(r"(?<![\w-])(?P<year>\d{4})-(?P<month>\d{2})-(?P<day>\d{2})(?![\w-])")
_DATE = re.compile(r"(?<![\w/])(?P<day>\d{1,2})/(?P<month>\d{1,2})/(?P<year>\d{4})(?![\w/])")
_PERCENT = re.compile(r"(?<=\d)\s?%")
_RANGE = re.compile(r"(?<![\w.,-])(\d{1,3}|(?:19|20)\d\d)[-–](\d{1,3}|(?:19|20)\d\d)(?![\w-]|[.,]\d)")
_GROUPED = re.compile(r"(?<![\w.,-])(?:\+\d{1,3}[ -])?\d+(?:-\d+)+(?![\w-])|(?<!\w)\+\d[\d ]{5,}\d\b")
_UNIT_AFTER = r"(?!\s?(?:euros?|dólar|pesos?|libras?|céntimos|centavos|por ciento|%|mil\b|millones|puntos|veces))"
_CUE = re.compile(
    r"\b((?:números?|códigos?|pin|claves?|terminad[ao] en|acaba en|referencia|cuentas?|tarjetas?|pedido|expediente)"
    r"(?:(?: número| es| son|:| #){0,3}\s+))"
    rf"([A-Z]{{0,4}}\d{{3,}}[A-Z\d]*(?:[ -]\d{{3,}})*)(?!\w|[.,:/]\d){_UNIT_AFTER}",
    re.IGNORECASE,
)
_BARE_CODE = re.compile(rf"(?<![\w.,$€£¥/:+-])(0\d+|\d{{7,}})(?![\w]|[.,:/-]\d){_UNIT_AFTER}")
_NUMBER_SIGN = re.compile(r"#\s?(?=\d)|\bn[.º°]\s?(?=\d)", re.IGNORECASE)


def speakable(text: str) -> str:
    """Return `text` as plain words: no markup, symbols or emoji, codes digit by digit.

    Amounts, dates (day first), addresses and common abbreviations become words. Lines become sentences.
    """
    said = without_markup(text)
    said = _URL.sub(lambda found: _spelled(_short(found[0])), _EMAIL.sub(lambda found: _spelled(found[0]), said))
    said = _ABBREVIATION.sub(_expanded, _numbers(said))
    return sentences(_symbols(said))


def _numbers(said: str) -> str:
    said = _DATE.sub(_day, _ISO_DATE.sub(_day, said))
    said = _AFTER.sub(_money, _BEFORE.sub(_money, said))
    said = _NUMBER_SIGN.sub("número ", _PERCENT.sub(" por ciento", said))
    said = _RANGE.sub(lambda r: f"{r[1]} a {r[2]}" if int(r[1]) < int(r[2]) else r[0], said)
    said = _GROUPED.sub(lambda found: spoken_digits(found[0]), said)
    said = _CUE.sub(lambda found: found[1] + spoken_digits(found[2]), said)
    return _BARE_CODE.sub(lambda found: spoken_digits(found[1]), said)


def _symbols(said: str) -> str:
    said = plain_typography(said).replace("&", " y ")
    said = re.sub(r"[—–]+", ", ", said)
    said = re.sub(r"(?<=\w)/(?=\w)", " ", said)
    said = re.sub(r"\s?\+\s?(?=\d)", " más ", said)
    said = re.sub(r"\s=\s", " igual a ", said)
    said = re.sub(r"[@#=/]+", " ", said)
    said = re.sub(r"°\s?[CF]?\b", " grados", said).replace("°", " grados ")
    return speakable_characters(said)


def _expanded(found: re.Match[str]) -> str:
    ends_sentence = found[0].lower() == "etc." and _SENTENCE_AFTER.match(found.string, found.end())
    return _EXPANSIONS[found[0].lower()] + ("." if ends_sentence else "")


def _day(found: re.Match[str]) -> str:
    try:
        return spoken_date(date(int(found["year"]), int(found["month"]), int(found["day"])))
    except ValueError:
        return found[0]  # no such day: perhaps a number of another kind


def _money(found: re.Match[str]) -> str:
    written = found["amount"]
    mark = next((char for char in reversed(written) if char in ".,"), "")
    whole, _, tail = written.rpartition(mark) if mark else (written, "", "")
    if len(tail) == 3 and whole != "0":
        whole, tail = written, ""
    digits = re.sub(r"[.,]", "", whole)
    currency = _SYMBOLS[found["symbol"]] if found["symbol"] else found["code"]
    return ("menos " if found["sign"] else "") + spoken_amount(Decimal(f"{digits}.{tail or '0'}"), currency)


def _short(address: str) -> str:
    """Return the host and a short path; nobody can note down a query."""
    bare = re.sub(r"^(?:https?://)?(?:www\.)?", "", address, flags=re.IGNORECASE)
    host, _, path = re.split(r"[?#]", bare)[0].partition("/")
    path = path.strip("/")
    return f"{host}/{path}" if path and len(path) <= 24 else host


def _spelled(address: str) -> str:
    for mark, name in _ADDRESS_MARKS.items():
        address = address.replace(mark, name)
    return " ".join(address.split())
