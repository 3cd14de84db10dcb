"""Names by their sound in Spanish: "Giménez" and "Jiménez", "Vanesa" and "Banessa" are the same to the ear."""

from __future__ import annotations

import re
from collections.abc import Sequence

from voiceagent.language.names import Names
from voiceagent.language.spanish.common_words import is_common
from voiceagent.language.spanish.plain import plain

__all__ = ["with_names"]

# In this order, over plain words in which ñ is "ny".
_SOUNDS = tuple(
    (re.compile(letters), sound)
    for letters, sound in (
        ("ll", "y"), ("sch|sh|ch", "x"), ("ph", "f"), ("th", "t"), ("h", ""), ("qu|ck|c(?![ei])|q", "k"),
        ("g(?=[eiy])", "j"), ("gu(?=[ei])", "g"), ("c|z", "s"), ("w(?=[aeo])", "gu"), ("[vw]", "b"),
        ("y(?![aeiou])", "i"), ("(?<=[aeou])i(?=[aeou])", "y"), ("m(?=[bpf])", "n"),
    )
)  # fmt: skip
_FOREIGN_BEGINNING = re.compile(r"^e?s(?=[ptkmnlbdfg])")
"""A name that begins with "sm" is said with an "e" before it."""
_VOWELS = re.compile(r"(?<!^)[aeiou]+")
_DOUBLED = re.compile(r"(.)\1+")


def with_names(text: str, names: Sequence[str]) -> str:
    """Return `text` with those of `names` that a few of its words sound like, and everything else as it is."""
    return _NAMES.in_text(text, names)


def _as_said(word: str) -> str:
    """Return a word as it is said from Mexico to Chile, where "z" is "s", with one letter for each sound."""
    said = plain(word.replace("ñ", "ny"))
    for letters, sound in _SOUNDS:
        said = letters.sub(sound, said)
    said = _FOREIGN_BEGINNING.sub("es", "".join(char for char in said if char.isalpha()))
    return _DOUBLED.sub(r"\1", said)


def _sound(word: str) -> str:
    """Return its consonants, and the vowel that it begins with."""
    return _DOUBLED.sub(r"\1", _VOWELS.sub("", _as_said(word)))


_NAMES = Names(_sound, is_common, _as_said)
