"""Number words as numerals: "doscientos cincuenta" becomes "250", the rest stays, in plain Spanish."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import cast

# Compiled, without type stubs: the cast below says what its docstring does.
from text_to_num import alpha2digit  # pyright: ignore[reportUnknownVariableType] - untyped

from voiceagent.language.spanish.digits import PRONOUN

__all__ = ["with_numerals"]

_alpha2digit = cast("Callable[..., str]", alpha2digit)
_SHORT_ONE = re.compile(r"\b(veintiun|(?:treinta|cuarenta|cincuenta|sesenta|setenta|ochenta|noventa) y un)a?\b")
_ONE = re.compile(
    r"\buna? (?=(?:euros?|dolar|peso|libra|hora|dia|semana|mes|ano|centavo|centimo|penique|minuto|sol|franco|yen)\b)"
)
_CENTAVOS = re.compile(r"\bcentavos?\b")
"""The library takes it for a hundredth."""
_ARTICLE = re.compile(r"(?<! y )(?<!\w)una? (?!millon\b)")
_FEMININE = re.compile(r"(?<=ient)as\b")
_ACCENTED = {"veintidos": "veintidós", "veintitres": "veintitrés"}
_UNACCENTED = re.compile("|".join(_ACCENTED))


def with_numerals(said: str) -> str:
    """Return plain text with every cardinal and ordinal written in numerals ("1º"); articles are left out."""
    spelled = _ONE.sub("1 ", _SHORT_ONE.sub(r"\1o", _FEMININE.sub("os", PRONOUN.sub(" ", said))))
    spelled = _UNACCENTED.sub(lambda word: _ACCENTED[word[0]], _ARTICLE.sub("", spelled))
    return _alpha2digit(_CENTAVOS.sub("centimos", spelled), "es", threshold=0)
