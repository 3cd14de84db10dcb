"""Letters as people spell them in Spanish: "be de Barcelona", "efe", "doble ele", "i griega"."""

from __future__ import annotations

import re

from voiceagent.language.spanish.plain import without_hesitations

__all__ = ["letters"]

# Names of letters that are no everyday words.
_NAMES: dict[str, str] = {
    "be": "b", "ce": "c", "efe": "f", "ge": "g", "hache": "h", "jota": "j", "ka": "k", "ele": "l", "eme": "m",
    "ene": "n", "pe": "p", "cu": "q", "erre": "r", "uve": "v", "equis": "x", "zeta": "z", "ye": "y",
}  # fmt: skip
_ALSO_WORDS: dict[str, str] = {
    "a": "a", "e": "e", "i": "i", "o": "o", "u": "u", "y": "y", "de": "d", "te": "t", "ese": "s", "ve": "v", "ere": "r",
}  # fmt: skip
"""Letters only where a letter stands beside them."""
_TIMES = {"doble": 2, "triple": 3}
_LONG_NAMES = (
    (re.compile(r"\b(?:uve doble|doble (?:uve|ve|u))\b"), "w"),
    (re.compile(r"\bi griega\b"), "y"),
    (re.compile(r"\b(?:be|ve) (?:larga|alta|grande)\b"), "b"),
    (re.compile(r"\b(?:uve|be|ve) (?:corta|baja|chica)\b"), "v"),
)
_LETTER = "|".join([*sorted({**_NAMES, **_ALSO_WORDS}, key=len, reverse=True), "[a-zñ]"])
_SPELLED = re.compile(rf"\b(?:{_LETTER}) (?:de|como|como en) (?P<word>[a-zñ])[a-zñ]{{2,}}\b")
_WORD = re.compile(r"[^\W\d_]+")


def letters(text: str) -> str:
    """Return the letters spelled in `text`, in capitals; other words are passed over.

    Where letter and word disagree ("be de Valencia") the word counts: it is heard better.
    """
    # Plain text has no ñ, which is a letter of its own here.
    said = without_hesitations(text.lower().replace("eñe", "ñ").replace("ñ", "ç")).replace("ç", "ñ")
    for name, letter in _LONG_NAMES:
        said = name.sub(letter, said)
    said = _SPELLED.sub(lambda spelled: spelled["word"].upper() + " ", said)
    found: list[str] = _WORD.findall(said)
    sure = [word in _NAMES or (len(word) == 1 and word not in _ALSO_WORDS) for word in found]
    spelled: list[str] = []
    for at, word in enumerate(found):
        beside = any(sure[max(at - 1, 0) : at + 2])
        if sure[at] or (word in _ALSO_WORDS and beside):
            times = _TIMES.get(found[at - 1], 1) if at else 1
            spelled.append((_NAMES.get(word) or _ALSO_WORDS.get(word) or word) * times)
            sure[at] = True
    return "".join(spelled).upper()
