"""Letters as people spell them: "B as in Bravo", "d for delta", "double t"."""

from __future__ import annotations

import re

from voiceagent.language.english.hesitations import without_hesitations

__all__ = ["letters"]

_ALPHABET = (
    "alpha", "bravo", "charlie", "delta", "echo", "foxtrot", "golf", "hotel", "india", "juliet",
    "kilo", "lima", "mike", "november", "oscar", "papa", "quebec", "romeo", "sierra", "tango",
    "uniform", "victor", "whiskey", "xray", "yankee", "zulu",
)  # fmt: skip
# Spellings of the alphabet, and letter names that are no everyday words.
_NAMES: dict[str, str] = {
    "alfa": "a", "juliett": "j", "whisky": "w", "cee": "c", "dee": "d", "eff": "f", "gee": "g",
    "aitch": "h", "haitch": "h", "kay": "k", "ell": "l", "em": "m", "pee": "p", "cue": "q",
    "ess": "s", "tee": "t", "vee": "v", "zed": "z", "zee": "z",
}  # fmt: skip
_NAMES.update((word, word[0]) for word in _ALPHABET)
_TIMES: dict[str, int] = {"double": 2, "triple": 3, "treble": 3}
# "A" and "I" are words as well: letters only where a letter stands beside them.
_ALSO_WORDS = frozenset({"a", "i"})

_LINK = r"\s*,?\s+(?:as\s+in|like\s+in|like|for|is\s+for|is\s+in)\s+"
_SPELLED = re.compile(rf"\b[a-z]{_LINK}(?P<word>[a-z])[a-z]+")
_X_RAY = re.compile(r"\bx[ -]ray\b")
_DOUBLE_U = re.compile(r"\bdouble[ -](?:u|you)\b")
_WORD = re.compile(r"[^\W\d_]+(?:'[^\W\d_]+)?")


def letters(text: str) -> str:
    """Return the letters spelled in `text`, in capitals; other words are passed over.

    Where letter and word disagree ("D as in Bravo") the word counts: it is heard better.
    """
    plain = _X_RAY.sub("xray", without_hesitations(text).lower().replace("’", "'"))
    plain = _SPELLED.sub(lambda spelled: spelled["word"].upper() + " ", plain)
    plain = _DOUBLE_U.sub("w", plain)
    words: list[str] = _WORD.findall(plain)
    sure = [word in _NAMES or (len(word) == 1 and word not in _ALSO_WORDS) for word in words]
    found: list[str] = []
    for at, word in enumerate(words):
        beside_letter = any(sure[max(at - 1, 0) : at + 2])
        if sure[at] or (word in _ALSO_WORDS and beside_letter):
            times = _TIMES.get(words[at - 1], 1) if at else 1
            found.append(_NAMES.get(word, word) * times)
    return "".join(found).upper()
